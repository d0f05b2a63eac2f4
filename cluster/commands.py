"""Our own command line as a child process."""

import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

STOP_S = 60.0
"""What a command that is interrupted may take to clean up after itself."""


def run_command(arguments: tuple[str, ...], *, environment: Mapping[str, str], output: IO[bytes] | None = None) -> int:
    """Run `learnrec ARGUMENTS`; what it says goes to `output`, or where ours goes. Returns its exit code.

    An interruption is let through only when the command has ended too.
    """
    command = [sys.executable, "-m", "cluster.cli", *arguments]
    process = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=output)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C has reached the command too; a signal that was meant for us alone has not."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
        return
    process.terminate()
    process.wait()
