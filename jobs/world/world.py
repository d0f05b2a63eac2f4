"""A whole world from its configuration and a seed: the same on every run."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.events import EVENT_SCHEMA, EVENT_TYPES, event_ids
from app.domain.ids import canonical_id
from jobs.world.config import WorldConfig
from jobs.world.courses import Courses, make_courses
from jobs.world.people import People, make_people
from jobs.world.study import Happenings, Study
from jobs.world.taste import Truth, make_popularity

BLOCK = 4096
"""Learners that are simulated together; a world depends on it."""


@dataclass(frozen=True, slots=True)
class World:
    """Rows are in the order in which `truth` numbers learners and contents; events in order of time."""

    users: pa.Table  # USER_SCHEMA
    contents: pa.Table  # CONTENT_SCHEMA
    events: pa.Table  # EVENT_SCHEMA
    truth: Truth


def make_world(config: WorldConfig, seed: int) -> World:
    """Pure: equal arguments give equal tables, bit for bit, with one NumPy on one kind of processor."""
    of_courses, of_people, of_popularity, *of_blocks = (
        np.random.default_rng(child)
        for child in np.random.SeedSequence(seed).spawn(3 + -(-config.num_learners // BLOCK))
    )
    courses = make_courses(config, of_courses)
    people = make_people(config, courses, of_people)
    popularity = make_popularity(config, len(courses.topic), of_popularity)
    skill = people.skill.copy()
    progress = np.zeros((config.num_learners, len(courses.topic)), np.int32)
    happened: list[Happenings] = []
    for start, rng in zip(range(0, config.num_learners, BLOCK), of_blocks, strict=True):
        busiest = np.argsort(-people.num_steps[start : start + BLOCK], kind="stable") + start
        study = Study(config, courses, _chosen(people, busiest), popularity=popularity)
        done = study.run(rng)
        happened.append(replace(done, learner=busiest[done.learner]))
        skill[busiest], progress[busiest] = study.skill, study.progress
    users, contents = _users(people), _contents(courses)
    return World(
        users, contents, _events(config, users, contents, happened), Truth(courses, people, popularity, skill, progress)
    )


def _chosen(people: People, learners: NDArray[np.int64]) -> People:
    arrays = {f.name: getattr(people, f.name)[learners] for f in fields(people) if f.name != "cohorts"}
    return People(cohorts=tuple(people.cohorts[i] for i in learners), **arrays)


def _users(people: People) -> pa.Table:
    names = [f"learner-{i:06d}" for i in range(len(people.cohorts))]
    columns = [[canonical_id(name) for name in names], names, list(people.cohorts), _times(people.created_s)]
    return pa.table(columns, schema=USER_SCHEMA)


def _contents(courses: Courses) -> pa.Table:
    names = [f"content-{i:05d}" for i in range(len(courses.titles))]
    difficulty = pa.array(np.round(courses.difficulty).astype(np.int8), mask=~courses.is_difficulty_known)
    columns = [
        [canonical_id(name) for name in names],
        names,
        list(courses.titles),
        courses.types.tolist(),
        [list(tags) for tags in courses.tags],
        difficulty,
        _times(courses.created_s),
    ]
    return pa.table(columns, schema=CONTENT_SCHEMA)


def _events(config: WorldConfig, users: pa.Table, contents: pa.Table, happened: list[Happenings]) -> pa.Table:
    learner, content, kind, value, ts = (
        np.concatenate([getattr(part, name) for part in happened]) for name in Happenings.__slots__
    )
    order = np.lexsort((kind, content, learner, ts))
    order = order[ts[order] < config.end_s]
    user_id = users.column("user_id").take(learner[order]).combine_chunks()
    content_id = contents.column("content_id").take(content[order]).combine_chunks()
    kinds = pa.array([str(one) for one in EVENT_TYPES], pa.string()).take(kind[order])
    times = _times(ts[order])
    ids = event_ids(user_id.to_pylist(), content_id.to_pylist(), kinds.to_pylist(), times)
    values = pa.array(value[order], pa.float64(), mask=np.isnan(value[order]))
    return pa.table([pa.array(ids, pa.string()), user_id, content_id, kinds, values, times], schema=EVENT_SCHEMA)


def _times(seconds: NDArray[np.int64]) -> pa.Array:
    return pa.array(seconds * 1_000_000, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
