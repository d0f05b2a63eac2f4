"""Progress that a terminal shows as a moving line, and a log file as plain lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

Say = Callable[[str], None]
Advance = Callable[[int, str], None]


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
