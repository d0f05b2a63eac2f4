"""The learners of a world: cohorts, interests, skill, and when they study."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.world.config import WorldConfig
from jobs.world.courses import DAY_S, Courses

# Programme -> subjects that its learners are drawn to, by weight.
PROGRAMMES: dict[str, dict[str, float]] = {
    "computer-science": {"programming": 4, "mathematics": 2, "data-science": 2},
    "data-science": {"data-science": 4, "mathematics": 2, "programming": 2},
    "physics": {"physics": 4, "mathematics": 3},
    "biology": {"life-sciences": 5, "data-science": 1},
    "management": {"business": 4, "office-skills": 2, "languages": 1},
    "liberal-arts": {"humanities": 4, "languages": 3},
    "design": {"design": 5, "office-skills": 1},
    "staff-training": {"office-skills": 4, "languages": 2, "business": 1},
}
SHARE_WITHOUT_COHORT = 0.05
SHARE_OF_NEWCOMERS = 0.4  # who join while the world runs
EVENTS_PER_STEP = 1.94  # a view, and now and then a completion, a like, a score
STEPS_PER_SESSION = 4.5


@dataclass(frozen=True, slots=True)
class People:
    """U learners."""

    cohorts: tuple[str | None, ...]  # [U]
    created_s: NDArray[np.int64]  # [U] Unix seconds
    interest: NDArray[np.float64]  # [U, T] share of the learner's attention that a topic would get; rows sum to 1
    skill: NDArray[np.float64]  # [U, number of subjects] at the start, on the scale of difficulty
    pace: NDArray[np.float64]  # [U] skill gained by a completion
    num_steps: NDArray[np.int64]  # [U] contents that are opened
    first_s: NDArray[np.int64]  # [U] no session before this
    last_s: NDArray[np.int64]  # [U] no session begins after this
    hour: NDArray[np.float64]  # [U] of the day at which the learner likes to study


def make_people(config: WorldConfig, courses: Courses, rng: np.random.Generator) -> People:
    n = config.num_learners
    programme = rng.choice(len(PROGRAMMES), n, p=_zipf(len(PROGRAMMES)))
    year = rng.integers(0, 2, n)
    newcomer = rng.random(n) < SHARE_OF_NEWCOMERS
    joined = np.where(newcomer, rng.random(n) * config.num_days * 0.98, 0.0) * DAY_S
    stay = rng.exponential(0.7 * config.num_days, n) * DAY_S + 7 * DAY_S
    first = config.start_s + joined.astype(np.int64)
    last = np.minimum(first + stay.astype(np.int64), config.end_s - 1)
    mean_steps = config.events_per_learner / EVENTS_PER_STEP
    wish = rng.lognormal(-0.5 * 0.8**2, 0.8, n) * np.sqrt(last - first)
    steps = np.clip(np.round(mean_steps * wish / wish.mean()), 2, 14 * mean_steps)
    return People(
        cohorts=_cohorts(config, programme, year, rng),
        created_s=np.where(newcomer, first, first - rng.integers(1, 400, n) * DAY_S),
        interest=_interests(courses, programme, rng),
        skill=np.clip(rng.normal(1.3 + 0.6 * year[:, None], 0.5, (n, len(courses.subjects))), 0.5, 4.0),
        pace=rng.uniform(0.02, 0.08, n),
        num_steps=steps.astype(np.int64),
        first_s=first,
        last_s=last,
        hour=rng.choice([9.5, 14.0, 20.0], n, p=[0.3, 0.3, 0.4]) + rng.normal(0, 1.0, n),
    )


def session_starts(
    config: WorldConfig, people: People, learner: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """When each session begins, in Unix seconds; `learner` says whose it is. `[n]`"""
    day_s = config.start_s + np.arange(config.num_days + 1) * DAY_S
    busy = np.r_[0.0, np.cumsum(day_weights(day_s[:-1]))]
    low, high = (np.interp(limit[learner], day_s, busy) for limit in (people.first_s, people.last_s))
    moment = np.interp(low + rng.random(len(learner)) * (high - low), busy, day_s)
    hour = rng.normal(people.hour[learner], 1.8) % 24
    start = (moment // DAY_S * DAY_S + hour * 3600).astype(np.int64)
    return np.maximum(start, people.first_s[learner])


def day_weights(day_s: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much is studied on a day: less at weekends and in holidays, more before examinations."""
    days = day_s.astype("datetime64[s]").astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 0 is Monday
    of_year = (days - days.astype("datetime64[Y]")).astype(np.int64)
    weight = np.where(weekday < 5, 1.0, 0.55)
    for middle, width, change in ((20, 15, 0.6), (165, 20, 0.6), (210, 30, -0.5), (358, 8, -0.6)):
        weight = weight * (1 + change * np.exp(-(((of_year - middle) / width) ** 2)))
    return weight


def _zipf(n: int) -> NDArray[np.float64]:
    weights = 1 / np.arange(1, n + 1) ** 0.5
    return weights / weights.sum()


def _interests(courses: Courses, programme: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A few subjects each, mostly the programme's, and in them a few topics."""
    pull = np.array([[wanted.get(tag, 0.0) for tag in courses.subjects] for wanted in PROGRAMMES.values()])
    of_subject = rng.standard_gamma(0.15 + 0.8 * pull[programme]) + 1e-9
    of_topic = rng.standard_gamma(0.7, (len(programme), len(courses.topics))) + 1e-3
    interest = (of_subject / of_subject.sum(1, keepdims=True))[:, courses.subject_of_topic] * of_topic
    return interest / interest.sum(1, keepdims=True)


def _cohorts(
    config: WorldConfig, programme: NDArray[np.int64], year: NDArray[np.int64], rng: np.random.Generator
) -> tuple[str | None, ...]:
    names = tuple(PROGRAMMES)
    known = rng.random(len(programme)) >= SHARE_WITHOUT_COHORT
    return tuple(
        f"{names[p]}-{config.end.year - int(y)}" if k else None for p, y, k in zip(programme, year, known, strict=True)
    )
