"""Every command that the documentation tells somebody to run is one that there is, with options that it has."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.errors import LearnrecError
from cluster.cli import root
from jobs.spec import load_spec
from tests.unit.doc_commands import REPOSITORY, Command, commands, pages, split

FOREIGN = {
    "argocd",
    "cp",
    "curl",
    "docker",
    "find",
    "helm",
    "helmfile",
    "jq",
    "kubectl",
    "openssl",
    "pip",
    "python",
    "ray",
    "source",
    "rclone",
    "serve",
    "terraform",
}
"""Programs of others; what else a page names is a mistake, or belongs here."""

TARGETS = set(re.findall(r"^([a-z][a-z -]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
RULES = sorted((REPOSITORY / "deploy" / "observability" / "rules").glob("*.yml"))
RUNBOOKS = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
_OF_NAMES = re.compile(r"does not exist|No such option|unexpected extra|neither ours")
_INLINE = re.compile(r"`(learnrec [^`\n]+)`")


def told(words: tuple[str, ...]) -> str | None:
    """What is wrong with a command, or None."""
    program, arguments = words[0], list(words[1:])
    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        known = {name for line in TARGETS for name in line.split()}
        return f"make knows no {set(targets) - known}" if set(targets) - known else None
    if program == "learnrec":
        return wrong_with(arguments)
    if program not in FOREIGN:
        return f"{program!r} is neither ours nor among the programs of others"
    if program == "python" or "python" in arguments:
        return wrong_with_module(words[words.index("python") :])
    for place, word in enumerate(arguments):
        if word == "learnrec" and (arguments[place - 1] == "--" or "exec" in arguments[:place]):
            inner = arguments[place + 1 :]
            if inner and inner[0] != "learnrec" and (arguments[place - 1] == "--" or inner[0] in root.COMMANDS):
                return wrong_with(inner)
    return None


def wrong_with(arguments: list[str]) -> str | None:
    """Parse what follows `learnrec` as the command line does, without running it."""
    command: Any = typer.main.get_command(root.app)
    names: list[str] = []
    while True:
        if names and not hasattr(command, "commands"):
            return parsed(command, " ".join(names), arguments) or wrong_with_job(names, arguments)
        if not arguments or arguments[0].startswith("-"):
            return parsed(command, " ".join(names), arguments)
        name, *arguments = arguments
        if name not in command.commands:
            return f"learnrec {' '.join([*names, name])} does not exist: {', '.join(command.commands)}"
        command = command.commands[name] if names else root._load(name)
        names.append(name)


def parsed(command: Any, name: str, arguments: list[str]) -> str | None:
    try:
        with command.make_context(f"learnrec {name}", list(arguments)):
            return None
    except typer.Exit:
        return None  # --help, --version
    except typer.TyperException as exc:
        return f"learnrec {name}: {exc.format_message()}"


def wrong_with_job(names: list[str], arguments: list[str]) -> str | None:
    """A job and its assignments, which the command line takes as they come."""
    if names != ["job", "run"] or not arguments or arguments[0] == "NAME":
        return None
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return job_of(arguments[0], [after for word, after in pairs if word == "--set"])


def wrong_with_module(words: tuple[str, ...]) -> str | None:
    if words[1:3] == ("-m", "jobs"):
        return job_of(words[3], [after for word, after in itertools.pairwise(words) if word == "--set"])
    if words[1:2] == ("-m",):
        return None if (REPOSITORY / f"{words[2].replace('.', '/')}.py").exists() else f"there is no module {words[2]}"
    return None


def job_of(name: str, assignments: list[str]) -> str | None:
    try:
        load_spec(name, None, assignments)
    except LearnrecError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_command_in_a_block_is_one(page: Path) -> None:
    wrong = [f"{command.where}: {fault}" for command in commands(page) if (fault := told(command.words))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_command_in_a_sentence_is_one(page: Path) -> None:
    """Sentences may leave arguments out: it is the names that count, and the options."""
    said = [words for each in _INLINE.findall(page.read_text()) for words in split(each)]
    wrong = {words: fault for words in said if (fault := told(words)) and _OF_NAMES.search(fault) and "…" not in fault}
    assert not wrong


def test_what_is_looked_for_is_found() -> None:
    """The reader of the pages sees what it should, and the parser of commands minds."""
    text = """
```
learnrec job run pipeline --promote && learnrec restore FOLDER   # both
LEARNREC_VAR_DIR=x learnrec up \\
  --no-serve > up.log
HEAD=$(kubectl get pod -o name)
kubectl exec $HEAD -c ray-head -- learnrec events setup
```
```
app/   a tree
```
```toml
learnrec = "no command"
```
"""
    found = list(commands(REPOSITORY / "README.md", text))
    assert [command.words[:2] for command in found] == [
        ("learnrec", "job"),
        ("learnrec", "restore"),
        ("learnrec", "up"),
        ("kubectl", "get"),
        ("kubectl", "exec"),
    ]
    assert found[2] == Command("README.md:4", ("learnrec", "up", "--no-serve"))
    assert not [command for command in found if told(command.words)]


@pytest.mark.parametrize(
    "wrong",
    [
        "learnrec evnts status",
        "learnrec events stats",
        "learnrec release promote --hard",
        "learnrec release promote one two",
        "learnrec restore",
        "learnrec events dead list --limit none",
        "learnrec job run ingest_event",
        "learnrec job run ingest_events --set task_from=1",
        "kubectl exec pod -- learnrec evnts setup",
        "docker compose exec learnrec learnrec release promote --hard",
        "ray job submit -- python -m jobs pipelin",
        "python -m cluster.migrat",
        "make demos",
        "pulumi up",
    ],
)
def test_what_is_wrong_is_told(wrong: str) -> None:
    assert told(tuple(wrong.split()))


def alerts() -> dict[str, dict[str, str]]:
    rules = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["annotations"] for rule in rules if "alert" in rule}


def test_every_alert_leads_to_a_page_and_pages_name_alerts_that_there_are() -> None:
    names = {page.name for page in RUNBOOKS}
    for alert, annotations in alerts().items():
        base, _, page = annotations["runbook_url"].rpartition("/")
        assert base.endswith("/docs/runbooks"), alert
        assert page in names, alert
        text = (REPOSITORY / "docs" / "runbooks" / page).read_text()
        assert alert in text or f"{re.sub('Burn.*', 'Burn1h', alert)}" in text, f"{page} says nothing of {alert}"
    named = {word for page in RUNBOOKS for word in re.findall(r"\bLearnrec[A-Z]\w+", page.read_text())}
    assert named <= alerts().keys()


def test_runbooks_name_metrics_and_pages_that_there_are() -> None:
    from app.serving.metrics import Metrics

    known = Metrics().registry._names_to_collectors.keys()
    for page in RUNBOOKS:
        text = page.read_text()
        assert set(re.findall(r"\blearnrec_[a-z_]+", text)) <= known, page.name
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
    assert {page.stem for page in RUNBOOKS} >= {
        "bad-model",
        "milvus-lost",
        "redis-lost",
        "database-restore",
        "kafka-backlog",
        "node-loss",
        "key-rotation",
    }
