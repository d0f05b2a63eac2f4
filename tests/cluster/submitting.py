"""What a CronJob of kuberay/jobs does, here: its command, its options, another script than its job."""

import os
import subprocess
import sys
from pathlib import Path

from cluster.manifests import cron_jobs


def submitted(ray_address: str, script: str, environment: dict[str, str], *, without: str = "nothing") -> str:
    """What the submitter shows, the script's output in it; an option whose name holds `without` is left out."""
    first = next(cron_jobs())["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    program, *words = first["command"]
    words = [word for word in words if without not in word]
    entrypoint = ["--", sys.executable, "-c", script]
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words, *entrypoint],
        env={**os.environ, **environment, "RAY_ADDRESS": ray_address},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout + done.stderr
