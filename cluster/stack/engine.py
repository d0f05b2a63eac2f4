"""What every embedded engine can say of itself; starting, watching and stopping are the same for all."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the main process of an engine."""

    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    uid: int | None = None  # run as this user and group; None: as ourselves


@dataclass(frozen=True)
class Engine(ABC):
    """One engine with its data in `home`, listening on `port` of the loopback interface.

    A subclass is a frozen dataclass without state of its own: what lasts is in `home`.
    """

    home: Path
    port: int

    name: ClassVar[str]
    title: ClassVar[str]
    address_field: ClassVar[str]  # the field of Settings that holds its address
    default_port: ClassVar[int]
    client: ClassVar[str]  # the module that `ping` asks with; it may take seconds to import
    start_timeout_s: ClassVar[float] = 60.0
    stop_timeout_s: ClassVar[float] = 15.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    @property
    @abstractmethod
    def address(self) -> str:
        """What clients connect to, as Settings holds it."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder where there is none, and clear what a crash left in it. Never loses data.

        Raises LearnrecError, with what to do.
        """

    @abstractmethod
    def launch(self) -> Launch:
        """The main process; it stays in the foreground and writes its log to stdout and stderr."""

    @staticmethod
    @abstractmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        """One round trip to whatever serves `address`, embedded or external. Raises Unavailable."""
