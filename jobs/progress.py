"""Progress that a terminal shows as a moving line, and a log file as plain lines."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

Say = Callable[[str], None]
Advance = Callable[[int, str], None]


@contextmanager
def native_noise_hidden() -> Iterator[None]:
    """What libraries write to the process's standard error themselves (TensorFlow, as it is imported) is not shown.

    Python's own `sys.stderr` goes on to where it went.
    """
    sys.stderr.flush()
    shown, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    python = sys.stderr
    try:
        os.dup2(nowhere, 2)
        sys.stderr = os.fdopen(os.dup(shown), "w", buffering=1)
        yield
    finally:
        sys.stderr.close()
        sys.stderr = python
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)


@contextmanager
def steps(title: str, total: int | None = None) -> Iterator[Advance]:
    """`advance(done, what)` moves the bar to `done` of `total` and says what is being done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, what: console.print(f"{title}: {what}" + (f" ({done}/{total})" if total else ""))
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, what: progress.update(task, completed=done, description=f"{title}: {what}")
