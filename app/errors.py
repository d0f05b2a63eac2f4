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

import re

_IN_FRONT = re.compile(r"(://[^\s/?#@:]*):[^\s/?#]*@")
_IN_THE_QUERY = re.compile(r"((?:pass(?:word)?|secret|token)[a-z_]*=)[^&\s'\"]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """`text` with *** for the passwords in its URLs: fit to be shown."""
    return _IN_THE_QUERY.sub(r"\1***", _IN_FRONT.sub(r"\1:***@", text))


class LearnrecError(Exception):
    """Base of all errors that learnrec raises on purpose; the message says what, what is allowed, what to try.

    Drivers like to repeat the address that they were given: passwords are taken out here, once for all.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*(without_secrets(one) if isinstance(one, str) else one for one in said))


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
        self.reason = without_secrets(reason)

    def __reduce__(self) -> tuple[type["Unavailable"], tuple[str, str]]:
        """Errors travel between processes: by default they would be made again from the message alone."""
        return type(self), (self.dependency, self.reason)


class DeadlineExceeded(Unavailable):
    """A store or a stage did not answer within the time it was given."""
