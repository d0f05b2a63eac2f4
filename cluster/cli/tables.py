"""Tables on the terminal's width, or wide enough for a file or a pipe."""

from rich.console import Console

WIDTH = 160
"""Of a table where there is no terminal."""


def for_tables() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    return console
