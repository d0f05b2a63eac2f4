"""`python -m cluster.stack.engines.mlflow_server server …` is `mlflow server …`, in one process.

MLflow's command prepares the database and then starts uvicorn, which imports all of MLflow once more: ten seconds of a
start, and 200 MB, for a parent that only waits.
"""

import os
import sys
from typing import Any, NoReturn

import uvicorn
from mlflow import server
from mlflow.cli import cli


def _become(command: list[str], *, extra_env: dict[str, str], **_: Any) -> NoReturn:
    """Run `python -m uvicorn …` here."""
    _python, _minus_m, _uvicorn, *arguments = command
    os.environ.update(extra_env)
    sys.exit(uvicorn.main(arguments))


if __name__ == "__main__":
    server._exec_cmd = _become  # noqa: SLF001  # pyright: ignore[reportPrivateImportUsage]  # there is no option for it
    cli()
