"""Where a replica's log goes: to the stderr of its process, whatever stands in the place of `sys.stderr`."""

import json
import subprocess
import sys

SCRIPT = """
import io, logging, sys
sys.stderr = io.StringIO()  # as Serve does it
from app.serving.json_log import set_up
listener = set_up("ingress", "abc")
logging.getLogger("app.serving.service").info("said")
logging.getLogger("others").error("not ours")
listener.stop()
"""


def test_lines_reach_the_stderr_of_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    (line,) = (json.loads(each) for each in done.stderr.splitlines())
    assert (line["message"], line["level"], line["replica"], line["request_id"]) == ("said", "INFO", "abc", None)
