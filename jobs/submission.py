"""A job's spec as the words of a command line: no file has to travel to the cluster."""

import json
from collections.abc import Iterator
from typing import Any

from jobs.job import JobSpec


def arguments_of(spec: JobSpec) -> list[str]:
    """What `python -m jobs NAME` takes to run with this very spec, whole."""
    assigned = [f"--set={path}={json.dumps(value)}" for path, value in _leaves(spec.model_dump(mode="json"))]
    return [*assigned, *(["--force"] if spec.force else [])]


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
