"""The one tree of errors.

LearnrecError
├── InvalidInput        what a caller sent is wrong: HTTP 4xx, exit code 2
│   └── InvalidSpec     a job's spec file
├── NotFound            what was named does not exist (a release, a run, a job)
├── Conflict            what was asked does not fit the present state (a second `up`, a taken port)
└── Unavailable         a store or a stage does not answer, or not in time: HTTP 503, or a degraded answer
    └── DeadlineExceeded
Foreign errors become one of these once, in the adapter that met them, with `raise … from exc`.
"""


class LearnrecError(Exception):
    """Base of all errors that learnrec raises on purpose; the message says what, what is allowed, what to try."""


class InvalidInput(LearnrecError, ValueError):
    """What a caller sent is wrong."""


class InvalidSpec(InvalidInput):
    """A job's spec does not validate."""


class NotFound(LearnrecError, LookupError):
    """What was named does not exist."""


class Conflict(LearnrecError):
    """What was asked does not fit the present state."""


class Unavailable(LearnrecError):
    """A store or a stage does not answer."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency} does not answer: {reason}")
        self.dependency = dependency
        self.reason = reason

    def __reduce__(self) -> tuple[type["Unavailable"], tuple[str, str]]:
        """Errors travel between processes: by default they would be made again from the message alone."""
        return type(self), (self.dependency, self.reason)


class DeadlineExceeded(Unavailable):
    """A store or a stage did not answer within the time it was given."""
