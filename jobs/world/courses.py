"""The contents of a world: courses of ten parts on the topics of `subjects.toml`, which build on one another."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.domain.contents import ContentType
from jobs.world.config import WorldConfig

SUBJECTS = Path(__file__).with_name("subjects.toml")
DAY_S = 86_400
COURSE_LENGTH = 10  # eight parts, a quiz half-way and one at the end
QUIZ_POSITIONS = {4: "Midway Quiz", 9: "Final Quiz"}

# How often a topic's course comes again, for others: title, how much harder, extra tag.
EDITIONS = (
    ("{}", 0.0, ""),
    ("Applied {}", 0.8, "applied"),
    ("Advanced {}", 1.6, "advanced"),
    ("{} Workshop", 0.4, "workshop"),
    ("{} for Professionals", 1.2, "professional"),
)
SHARE_OF_LATER_COURSES = 0.35  # courses that come out while the world runs
SHARE_WITHOUT_DIFFICULTY = 0.05


class Topic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    parts: tuple[str, ...]
    needs: str | None = None


class Subject(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: str
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class Courses:
    """S courses, T topics, I contents; content i is part i % COURSE_LENGTH of course i // COURSE_LENGTH."""

    subjects: tuple[str, ...]
    topics: tuple[str, ...]
    subject_of_topic: NDArray[np.int32]  # [T]
    topic: NDArray[np.int32]  # [S]
    needs: NDArray[np.int32]  # [S] course that should come before, -1 none
    length: NDArray[np.int32]  # [S]
    titles: tuple[str, ...]  # [I]
    tags: tuple[tuple[str, ...], ...]  # [I]
    types: NDArray[np.str_]  # [I]
    difficulty: NDArray[np.float64]  # [I] the true one, 1..5
    is_difficulty_known: NDArray[np.bool_]  # [I]
    created_s: NDArray[np.int64]  # [I] Unix seconds
    duration_s: NDArray[np.int64]  # [I] to watch, read or answer it all


def make_courses(config: WorldConfig, rng: np.random.Generator) -> Courses:
    subjects = _subjects()
    by_round = [
        (s, t)
        for round_ in range(max(len(s.topics) for s in subjects))
        for s in subjects
        for t in s.topics[round_ : round_ + 1]
    ]
    topics = [topic for _, topic in by_round]
    num_courses = -(-config.num_contents // COURSE_LENGTH)
    course = np.arange(num_courses)
    topic, edition = course % len(topics), course // len(topics)
    content = np.arange(config.num_contents)
    part = content % COURSE_LENGTH
    of = content // COURSE_LENGTH
    depth = _depths(topics)
    harder = np.array([EDITIONS[e % len(EDITIONS)][1] for e in edition])
    raw = 1.2 + 0.7 * depth[topic[of]] + harder[of] + 0.09 * part + rng.normal(0, 0.2, len(content))
    is_quiz = np.isin(part, list(QUIZ_POSITIONS))
    types = np.where(is_quiz, ContentType.QUIZ.value, np.where(rng.random(len(content)) < 0.6, "video", "article"))
    return Courses(
        subjects=tuple(subject.tag for subject in subjects),
        topics=tuple(one.name for one in topics),
        subject_of_topic=np.array([subjects.index(subject) for subject, _ in by_round], np.int32),
        topic=topic.astype(np.int32),
        needs=_needs(topics, topic, edition),
        length=np.bincount(of).astype(np.int32),
        titles=tuple(_title(topics[int(topic[c])], int(edition[c]), int(p)) for c, p in zip(of, part, strict=True)),
        tags=tuple(_tags(*by_round[int(topic[c])], int(edition[c]), int(p)) for c, p in zip(of, part, strict=True)),
        types=types,
        difficulty=np.clip(raw, 1.0, 5.0),
        is_difficulty_known=rng.random(len(content)) >= SHARE_WITHOUT_DIFFICULTY,
        created_s=np.minimum(
            _created(config, rng, num_courses)[of] + _part_delays(rng, len(content), part),
            config.end_s - 3600 * (COURSE_LENGTH - part),
        ),
        duration_s=rng.integers(180, 900, len(content)),
    )


def _subjects() -> list[Subject]:
    said = tomllib.loads(SUBJECTS.read_text(encoding="utf-8"))
    return [Subject.model_validate(subject) for subject in said["subjects"]]


def _depths(topics: list[Topic]) -> NDArray[np.float64]:
    """How many topics come before each."""
    by_name = {topic.name: topic for topic in topics}

    def depth(topic: Topic) -> int:
        return 1 + depth(by_name[topic.needs]) if topic.needs else 0

    return np.array([depth(topic) for topic in topics], np.float64)


def _needs(topics: list[Topic], topic: NDArray[np.int64], edition: NDArray[np.int64]) -> NDArray[np.int32]:
    """A later edition needs the first one of its topic, the first one that of the topic it builds on."""
    index = {one.name: i for i, one in enumerate(topics)}
    before = np.array([index[one.needs] if one.needs else -1 for one in topics])
    needs = np.where(edition > 0, topic, before[topic])
    return np.where(needs < len(topic), needs, -1).astype(np.int32)


def _created(config: WorldConfig, rng: np.random.Generator, num_courses: int) -> NDArray[np.int64]:
    is_later = rng.random(num_courses) < SHARE_OF_LATER_COURSES
    before = rng.integers(-540, -45, num_courses)
    later = rng.integers(0, max(1, int(config.num_days * 0.95)), num_courses)
    return config.start_s + np.where(is_later, later, before) * DAY_S + 8 * 3600


def _part_delays(rng: np.random.Generator, num_contents: int, part: NDArray[np.int64]) -> NDArray[np.int64]:
    """Parts come out every other day or so."""
    return part * 2 * DAY_S + rng.integers(0, 8 * 3600, num_contents)


def _title(topic: Topic, edition: int, part: int) -> str:
    name = EDITIONS[edition % len(EDITIONS)][0].format(topic.name)
    repeat = edition // len(EDITIONS)
    name += f", Edition {repeat + 1}" if repeat else ""
    if part in QUIZ_POSITIONS:
        return f"{name}: {QUIZ_POSITIONS[part]}"
    number = part if part > 4 else part + 1
    return f"{name} {number}: {topic.parts[number - 1]}"


def _tags(subject: Subject, topic: Topic, edition: int, part: int) -> tuple[str, ...]:
    extra = EDITIONS[edition % len(EDITIONS)][2]
    tags = (subject.tag, topic.name.lower().replace(" ", "-"), extra, "assessment" if part in QUIZ_POSITIONS else "")
    return tuple(tag for tag in tags if tag)
