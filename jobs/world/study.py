"""What learners do: session by session, all learners of a block at once, one content a step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.events import EVENT_TYPES, EventType
from jobs.world.config import WorldConfig
from jobs.world.courses import COURSE_LENGTH, Courses
from jobs.world.people import STEPS_PER_SESSION, People, session_starts
from jobs.world.taste import READY, UNREADY, Popularity, attraction, fit, freshness

GOING_ON, UNFINISHED, LAST_TIME = 3.2, 1.2, 1.6
"""Pull of the course of this session, of any begun course, of the course of the session before."""
REVIEW, SKIP_AHEAD, GIVE_UP_PART = 0.05, 0.04, 0.5
BETWEEN_SESSIONS_S = 45 * 60
_CODE = {kind: code for code, kind in enumerate(EVENT_TYPES)}


@dataclass(frozen=True, slots=True)
class Happenings:
    """Events as arrays, in no order. All `[n]`."""

    learner: NDArray[np.int64]
    content: NDArray[np.int64]
    event_type: NDArray[np.int8]  # code of EVENT_TYPES
    value: NDArray[np.float64]  # NaN: none
    ts: NDArray[np.int64]  # Unix seconds


class Study:
    """A block of learners at work; learners are numbered 0.. within the block, busiest first."""

    def __init__(self, config: WorldConfig, courses: Courses, people: People, *, popularity: Popularity) -> None:
        num_learners, num_courses = len(people.num_steps), len(courses.topic)
        self._config, self._courses, self._popularity, self._people = config, courses, popularity, people
        self._attraction = attraction(people.interest)[:, courses.topic]  # [U, S]
        self._subject = courses.subject_of_topic[courses.topic]  # [S]
        self._first = np.arange(num_courses) * COURSE_LENGTH  # [S] content that opens each course
        self.skill = people.skill.copy()
        self.progress = np.zeros((num_learners, num_courses), np.int32)
        self._begun = np.zeros((num_learners, num_courses), np.bool_)
        self._current = np.full(num_learners, -1)  # course of the last step
        self._free_s = np.zeros(num_learners, np.int64)  # when the last step ended
        self._done: list[Happenings] = []

    def run(self, rng: np.random.Generator) -> Happenings:
        starts, opens = self._schedule(rng)
        for step in range(starts.shape[1]):
            active = int(np.count_nonzero(self._people.num_steps > step))  # a prefix: busiest first
            rows = np.arange(active)
            is_new = opens[:active, step]
            gap = np.where(is_new, BETWEEN_SESSIONS_S, rng.integers(15, 240, active))
            moment = np.maximum(np.where(is_new, starts[:active, step], 0), self._free_s[:active] + gap)
            course = self._choose(rows, moment, is_new, rng)
            chosen = (course >= 0) & (moment < self._config.end_s)
            self._free_s[:active] = moment
            self._take(rows[chosen], course[chosen], moment[chosen], rng)
        return _joined(self._done)

    def _schedule(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Start of the session of each step, and whether the step opens it. `[U, most steps]`"""
        steps = self._people.num_steps
        opens = rng.random((len(steps), int(steps.max()))) < 1 / STEPS_PER_SESSION
        opens[:, 0] = True
        opens &= np.arange(opens.shape[1]) < steps[:, None]
        learner = np.nonzero(opens)[0]
        start = session_starts(self._config, self._people, learner, rng)
        start = start[np.lexsort((start, learner))]
        starts = np.zeros(opens.shape, np.int64)
        starts[opens] = start
        return np.maximum.accumulate(starts, axis=1), opens

    def _choose(
        self, rows: NDArray[np.int64], moment: NDArray[np.int64], is_new: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """The course that each learner turns to, -1 where nothing is left. `[n]`"""
        courses, progress = self._courses, self.progress[: len(rows)]
        part = np.minimum(progress, courses.length - 1)
        content = self._first + part  # [n, S]
        wish = self._attraction[: len(rows)] + self._popularity.at(moment)
        wish += freshness(moment[:, None] - courses.created_s[content])
        wish += fit(courses.difficulty[content], self.skill[: len(rows)][:, self._subject])
        needed = np.where(courses.needs >= 0, progress[:, courses.needs] >= 3, True)
        wish += np.where(needed, np.where(courses.needs >= 0, READY, 0.0), UNREADY)
        wish += UNFINISHED * self._begun[: len(rows)]
        current = self._current[: len(rows)]
        wish[rows, current] += np.where(current >= 0, np.where(is_new, LAST_TIME, GOING_ON), 0.0)
        impossible = (progress >= courses.length) | (courses.created_s[content] > moment[:, None])
        wish[impossible] = -np.inf
        best = np.argmax(wish + rng.gumbel(size=wish.shape), axis=1)
        return np.where(np.isfinite(wish[rows, best]), best, -1)

    def _take(
        self, rows: NDArray[np.int64], course: NDArray[np.int64], moment: NDArray[np.int64], rng: np.random.Generator
    ) -> None:
        """Open the next part (or an earlier or later one), and let follow what follows."""
        n, courses = len(rows), self._courses
        progress, chance = self.progress[rows, course], rng.random(n)
        is_review = (chance < REVIEW) & (progress > 0)
        ahead = np.where((chance > 1 - SKIP_AHEAD) & ~is_review, rng.integers(1, 3, n), 0)
        part = np.clip(progress + ahead - is_review, 0, courses.length[course] - 1)
        content = self._first[course] + part
        is_out = courses.created_s[content] <= moment
        part, content = np.where(is_out, part, progress), np.where(is_out, content, self._first[course] + progress)
        subject = self._subject[course]
        suits = fit(courses.difficulty[content], self.skill[rows, subject])
        completes = rng.random(n) < _logistic(0.9 + 0.3 * self._attraction[rows, course] + suits)
        completes &= ~is_review
        ended = self._record(rows, content, moment, completes, rng)
        self._free_s[rows] = ended
        self._current[rows] = course
        self._begun[rows, course] = True
        goes_on = ~is_review & (completes | (rng.random(n) < GIVE_UP_PART))
        self.progress[rows, course] = np.where(goes_on, part + 1, progress)
        self.skill[rows, subject] += np.where(completes, self._people.pace[rows], 0.0)

    def _record(
        self,
        rows: NDArray[np.int64],
        content: NDArray[np.int64],
        moment: NDArray[np.int64],
        completes: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """The events of a step; returns when it was over."""
        n, courses = len(rows), self._courses
        share: NDArray[np.float64] = np.where(completes, rng.uniform(0.95, 1.0, n), rng.beta(2, 3, n) * 0.9).round(3)
        over = moment + np.maximum(20, share * courses.duration_s[content]).astype(np.int64)
        subject = self._subject[content // COURSE_LENGTH]
        lead = self.skill[rows, subject] - courses.difficulty[content]
        score: NDArray[np.float64] = np.round(np.clip(_logistic(1.1 * lead + 1.2) + rng.normal(0, 0.08, n), 0, 1), 2)
        answers = (courses.types[content] == "quiz") & (share > 0.5)
        pull = self._attraction[rows, content // COURSE_LENGTH]
        likes = completes & (rng.random(n) < _logistic(-2.6 + 0.6 * pull))
        nothing = np.full(n, np.nan, np.float64)
        self._add(EventType.VIEW, rows, content, share, moment)
        for kind, mask, value, delay in (
            (EventType.QUIZ_SCORE, answers, score, 0),
            (EventType.COMPLETE, completes, nothing, 1),
            (EventType.LIKE, likes, nothing, 5),
        ):
            self._add(kind, rows[mask], content[mask], value[mask], over[mask] + delay)
        return over + 6

    def _add(
        self,
        kind: EventType,
        rows: NDArray[np.int64],
        content: NDArray[np.int64],
        value: NDArray[np.float64],
        ts: NDArray[np.int64],
    ) -> None:
        code = np.full(len(rows), _CODE[kind], np.int8)
        self._done.append(Happenings(rows, content, code, value, ts))


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _joined(parts: list[Happenings]) -> Happenings:
    columns = [[getattr(part, name) for part in parts] for name in Happenings.__slots__]
    return Happenings(*(np.concatenate(column) for column in columns))
