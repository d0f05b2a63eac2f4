"""What makes a learner open a course: the truth that a recommender is to find out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.world.config import WorldConfig
from jobs.world.courses import COURSE_LENGTH, DAY_S, Courses
from jobs.world.people import People

INTEREST, FRESH, FIT, READY, UNREADY = 1.1, 1.2, 0.45, 1.0, -0.8
CHALLENGE = 0.3
"""Learners like contents this much above their skill best."""
FRESH_DAYS = 10.0
WEEK_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Popularity:
    """What everybody likes, and how that drifts from week to week."""

    start_s: int
    weekly: NDArray[np.float64]  # [number of weeks, S]

    def at(self, moment_s: NDArray[np.int64]) -> NDArray[np.float64]:
        """`[n]` Unix seconds -> `[n, S]`."""
        week = (moment_s - self.start_s) // WEEK_S
        return self.weekly[np.clip(week, 0, len(self.weekly) - 1)]


def make_popularity(config: WorldConfig, num_courses: int, rng: np.random.Generator) -> Popularity:
    num_weeks = config.num_days // 7 + 1
    base = rng.normal(0, 0.8, num_courses)
    drift = np.zeros((num_weeks, num_courses))
    for week in range(1, num_weeks):
        drift[week] = 0.9 * drift[week - 1] + rng.normal(0, 0.3, num_courses)
    return Popularity(config.start_s, base + drift)


def attraction(interest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of attention on the scale on which choices are made."""
    return INTEREST * np.log(interest * 50 + 0.03)


def freshness(age_s: NDArray[np.int64]) -> NDArray[np.float64]:
    return FRESH * np.exp(-np.maximum(age_s, 0) / (FRESH_DAYS * DAY_S))


def fit(difficulty: NDArray[np.float64], skill: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 where a content is as hard as the learner likes it, less elsewhere."""
    return -FIT * (difficulty - skill - CHALLENGE) ** 2


@dataclass(frozen=True, slots=True)
class Truth:
    """The world as it is behind the events, at its end."""

    courses: Courses
    people: People
    popularity: Popularity
    skill: NDArray[np.float64]  # [U, number of subjects] at the end
    progress: NDArray[np.int32]  # [U, S] the part of each course that comes next

    def affinity(self, learners: NDArray[np.int64], *, at_s: int) -> NDArray[np.float64]:
        """How much each learner wants each content at a moment, whatever they did just before. `[n]` -> `[n, I]`

        -inf for contents that are not out yet. What follows from habit (the next part of a course) is in `progress`.
        """
        of = np.arange(len(self.courses.titles)) // COURSE_LENGTH
        topic = self.courses.topic[of]
        skill = self.skill[learners][:, self.courses.subject_of_topic[topic]]
        moment = np.full(len(learners), at_s)
        wish = (
            attraction(self.people.interest[learners])[:, topic]
            + self.popularity.at(moment)[:, of]
            + freshness(at_s - self.courses.created_s)
            + fit(self.courses.difficulty, skill)
        )
        return np.where(self.courses.created_s <= at_s, wish, -np.inf)
