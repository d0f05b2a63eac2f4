"""Logs of a replica: one JSON object a line on stderr, always with the same fields, written by a thread of its own.

Fields: time, level, logger, message, component, replica, request_id, release, learner, trace_id; null where there is
nothing to say. Learners go by pseudonyms. What is said of something special comes on top.
"""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import TextIO

from pythonjsonlogger.orjson import OrjsonFormatter

OURS = "app"
"""The logger above all of this application's."""

FIELDS = ("request_id", "release", "learner", "trace_id")

SAID_OF: ContextVar[Mapping[str, str | None]] = ContextVar("said_of", default={})  # noqa: B039  # never changed
"""What is known of the request, or of the batch, that is being answered; a mapping by FIELDS."""


class _Context(logging.Filter):
    """On the thread that logs: nobody knows later."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = SAID_OF.get()
        for field in FIELDS:
            if not hasattr(record, field):
                setattr(record, field, known.get(field))
        return True


def formatter(component: str, replica: str) -> logging.Formatter:
    return OrjsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"component": component, "replica": replica},
        timestamp="time",
    )


def set_up(component: str, replica: str, *, stream: TextIO | None = None) -> QueueListener:
    """From now on, all that this application says in this process; `stop` the listener to have it all written."""
    handler = logging.StreamHandler(stream or sys.__stderr__)  # Serve puts its own log in the place of sys.stderr
    handler.setFormatter(formatter(component, replica))
    queue = SimpleQueue[logging.LogRecord]()
    listener, sender = QueueListener(queue, handler), QueueHandler(queue)
    sender.addFilter(_Context())
    ours = logging.getLogger(OURS)
    ours.handlers[:] = [sender]
    ours.setLevel(logging.INFO)
    ours.propagate = False
    listener.start()
    return listener
