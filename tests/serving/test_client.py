"""The command line as a client of the running service."""

import json
import subprocess
import sys

from app.settings import child_environment
from cluster.deploy import deploy
from tests.serving.conftest import House
from tests.serving.tiny import FIRST


def learnrec(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cluster.cli", *words]
    environment = child_environment(house.settings)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_recommendations_are_printed_for_whom_one_asks(served: House) -> None:
    printed = learnrec(served, "recommend", "ada lovelace", "-k", "3", "--json")
    answer = json.loads(printed.stdout)
    assert (answer["user_id"], len(answer["items"]), answer["release"]) == ("ada lovelace", 3, FIRST)
    table = learnrec(served, "recommend", "ada lovelace", "-k", "3").stdout
    assert answer["items"][0]["title"] in table
    assert FIRST in table


def test_a_token_that_is_signed_is_good_for_its_learner_only(served: House) -> None:
    token = learnrec(served, "token", "--user", "ada").stdout.strip()
    assert learnrec(served, "recommend", "ada", "--token", token).returncode == 0
    refused = learnrec(served, "recommend", "ben", "--token", token)
    assert refused.returncode == 1
    assert "403" in refused.stderr + refused.stdout


def test_deploying_again_changes_nothing(served: House) -> None:
    before = {process.pid for process in served.replicas()}
    deploy(served.settings)
    assert before
    assert {process.pid for process in served.replicas()} == before
    assert served.health()["ready"]
