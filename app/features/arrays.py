"""Arrays of a frozen dataclass as a folder of .npy files: memory-mapped on load, free of pickles."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from app.errors import NotFound

T = TypeVar("T")


def save_arrays(folder: Path, record: Any) -> None:
    """Write every array field of `record` as `folder/FIELD.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(record):
        np.save(folder / f"{field.name}.npy", getattr(record, field.name), allow_pickle=False)


def load_arrays(folder: Path, kind: type[T]) -> T:
    """The record of `kind` whose arrays `save_arrays` wrote, memory-mapped read-only.

    Raises NotFound: a file is missing.
    """
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]  # a bound on "any dataclass" cannot be written
        path = folder / f"{field.name}.npy"
        if not path.exists():
            raise NotFound(f"{path} is missing: the folder is no {kind.__name__}; make it anew by its job")
        values[field.name] = np.load(path, mmap_mode="r", allow_pickle=False)
    return kind(**values)
