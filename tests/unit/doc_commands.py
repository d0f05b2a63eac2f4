"""The commands in fenced blocks of the documentation, each with where it stands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELLS = ("", "sh", "bash", "shell", "console")
_DRAWN = re.compile(r"[─►│┌├└▼▲]|→")
_NOT_A_COMMAND = re.compile(r"^(GET|POST|PUT|DELETE|PATCH)$|/$|^[A-Z]\w*[(:]")
_ASSIGNED = re.compile(r"^\w+=\$\((.*)\)$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command as a shell would run it; `words` are without assignments before it."""

    where: str
    words: tuple[str, ...]


def pages() -> list[Path]:
    return [REPOSITORY / "README.md", REPOSITORY / "SECURITY.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def commands(page: Path, text: str | None = None) -> Iterator[Command]:
    """Of every block that is one of a shell: neither drawn, nor a tree of files, nor requests."""
    text = page.read_text() if text is None else text
    name = page.relative_to(REPOSITORY).as_posix()
    for block in _FENCE.finditer(text):
        language, inside = block.groups()
        if language not in _SHELLS or _DRAWN.search(inside) or _starts_otherwise(inside):
            continue
        first = text.count("\n", 0, block.start()) + 2
        for number, line in _joined(inside):
            for words in split(line):
                yield Command(f"{name}:{first + number}", words)


def _starts_otherwise(inside: str) -> bool:
    words = inside.split()
    return not words or bool(_NOT_A_COMMAND.search(words[0]))


def _joined(inside: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that end in a backslash with what follows."""
    held, begun = "", 0
    for number, line in enumerate(inside.splitlines()):
        begun = begun if held else number
        if line.endswith("\\"):
            held += line[:-1]
            continue
        yield begun, held + line
        held = ""


def split(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, without comments and redirections; a substitution counts as one word."""
    if assigned := _ASSIGNED.match(line.strip()):
        line = assigned[1]
    line = re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line)
    parts = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    parts.whitespace_split = True
    words: list[str] = []
    for part in [*parts, ";"]:
        if set(part) <= set("&|;"):
            while words and re.match(r"^[A-Z_][A-Z0-9_]*=", words[0]):
                words.pop(0)
            if words:
                yield tuple(words)
            words = []
        elif part.startswith(">"):
            words.append(">")
        elif not (words and words[-1] == ">"):
            words.append(part)
        else:
            words.pop()
