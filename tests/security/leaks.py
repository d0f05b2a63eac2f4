"""Where secrets are that should not be there."""

from collections.abc import Collection, Mapping
from pathlib import Path


def leaks(secrets: Mapping[str, str], *folders: Path, lives_in: Collection[Path]) -> tuple[list[str], int]:
    """Each secret in each file below `folders`, and how many files were looked at.

    What `lives_in` names, files or folders, is where secrets are meant to be: their owner alone reads it.
    """
    found, looked_at = list[str](), 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or any(home == path or home in path.parents for home in lives_in):
            continue
        text, looked_at = path.read_bytes(), looked_at + 1
        found += [f"{name} in {path}" for name, secret in secrets.items() if secret.encode() in text]
    return found, looked_at
