"""Progress on a terminal, of the stack and of copies; elsewhere a line a change."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from cluster.stack.tell import State

COLOURS = {State.STARTING: "yellow", State.STOPPING: "yellow", State.STOPPED: "red"}


class Shown:
    """A context that shows the progress of who inherits it."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class StackProgress(Shown):
    """Shows what `tell` is told. Use as a context; `told` is how many parts there were."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._notes: dict[str, str] = {}  # the last thing said of a part stays beside it
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", style="bold"),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            refresh_per_second=5,
            disable=not console.is_terminal,
        )

    @property
    def told(self) -> int:
        return len(self._tasks)

    def tell(self, part: str, state: State, note: str) -> None:
        """See Tell."""
        working = state in (State.STARTING, State.STOPPING)
        if part not in self._tasks:
            self._tasks[part] = self._progress.add_task(f"{part:<15}", total=1, state="", note="")
        task = self._tasks[part]
        shown = f"[{COLOURS.get(state, 'green')}]{state}[/]"
        self._notes[part] = note or self._notes.get(part, "")
        self._progress.update(task, completed=0 if working else 1, state=shown, note=self._notes[part])
        if not self._console.is_terminal:
            self._console.print(f"{part}: {state}{f' ({note})' if note else ''}", highlight=False, soft_wrap=True)


class CopyProgress(Shown):
    """Bytes of every part that is copied: a bar each on a terminal, elsewhere a line when it begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description:<12}", style="bold"), BarColumn(), DownloadColumn())
        self._progress = Progress(
            *columns, TransferSpeedColumn(), TimeElapsedColumn(), console=console, disable=not console.is_terminal
        )

    def tell(self, part: str, done: int, total: int) -> None:
        """A `total` of 0 is one that nobody knows."""
        if part not in self._tasks:
            self._tasks[part] = self._progress.add_task(part, total=total or None)
            if not self._console.is_terminal:
                size = f" ({total / 1e6:,.1f} MB)" if total else ""
                self._console.print(f"{part}{size}", highlight=False, soft_wrap=True)
        self._progress.update(self._tasks[part], completed=done)
