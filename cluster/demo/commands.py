"""Our own command line, shown as the user would type it, and timed."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from app.errors import LearnrecError
from app.settings import environment_for
from cluster.commands import run_command


@dataclass
class Commands:
    """Commands on the stack in `var_dir`; `seconds` holds what each step took."""

    var_dir: Path
    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, step: str, *arguments: str) -> None:
        """Raises LearnrecError: the command failed; what it said is on the screen already."""
        self.console.print(f"\n[bold cyan]$ learnrec {' '.join(arguments)}[/]", highlight=False, soft_wrap=True)
        started = time.monotonic()
        code = run_command(arguments, environment=environment_for(self.var_dir))
        self.seconds[step] = round(time.monotonic() - started, 1)
        if code:
            raise LearnrecError(
                f"`learnrec {' '.join(arguments)}` failed with exit code {code}; logs are in {self.var_dir}/log"
            )
