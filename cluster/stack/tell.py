"""What is said of the stack while it is brought up or down."""

from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RUNNING = "already running"
    EXTERNAL = "external"
    STOPPING = "stopping"
    STOPPED = "stopped"


Tell = Callable[[str, State, str], None]
"""Hears (title of the part, its new state, a note) of all that happens, in order."""
