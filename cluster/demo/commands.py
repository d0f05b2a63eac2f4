"""Running our own command line, shown as the user would type it, and timed."""

import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from app.errors import LearnrecError
from app.settings import environment_for

STOP_S = 60.0
"""What a command that is interrupted may take to clean up after itself."""


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
        command = [sys.executable, "-m", "cluster.cli", *arguments]
        process = subprocess.Popen(command, env=environment_for(self.var_dir))
        try:
            code = process.wait()
        except KeyboardInterrupt:
            _end(process)
            raise
        self.seconds[step] = round(time.monotonic() - started, 1)
        if code:
            raise LearnrecError(
                f"`learnrec {' '.join(arguments)}` failed with exit code {code}; logs are in {self.var_dir}/log"
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C has reached the command too; a signal that was meant for us alone has not."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
        return
    process.terminate()
    process.wait()
