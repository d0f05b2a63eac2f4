"""Programs of Prometheus, which a machine may lack."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OBSERVABILITY = REPOSITORY / "deploy" / "observability"


def program(name: str) -> str:
    """Its path; without it a test is skipped, but in continuous integration it fails."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"continuous integration lacks {name}: install the package prometheus")
        pytest.skip(f"this machine lacks {name}, of the package prometheus")
    return path
