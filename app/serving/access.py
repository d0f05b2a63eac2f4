"""Who may what: the one table of routes and roles. A route that is not in it is open to nobody."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.ids import canonical_id


class Role(StrEnum):
    LEARNER = "learner"  # for themselves only
    SERVICE = "service"  # for any learner
    ANALYST = "analyst"  # reads how jobs fare; nothing of any learner
    ADMIN = "admin"


PUBLIC = frozenset({("GET", "/health"), ("GET", "/metrics")})
"""Asked by probes and scrapers, which have no token; they say nothing about any learner."""

_OF_LEARNERS = frozenset({Role.LEARNER, Role.SERVICE, Role.ADMIN})
_READING = frozenset({Role.ANALYST, Role.ADMIN})

ACCESS: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/recommend/{user_id}"): _OF_LEARNERS,
    ("POST", "/events"): _OF_LEARNERS,
    ("POST", "/xapi/statements"): _OF_LEARNERS,
    ("PUT", "/users/{user_id}/opt-out"): _OF_LEARNERS,
    ("DELETE", "/users/{user_id}/opt-out"): _OF_LEARNERS,
    ("GET", "/users/{user_id}/export"): _OF_LEARNERS,
    ("DELETE", "/users/{user_id}"): _OF_LEARNERS,
    ("GET", "/users/{user_id}/erasure"): _OF_LEARNERS,
    ("POST", "/admin/train"): frozenset({Role.ADMIN}),
    ("POST", "/admin/reindex"): frozenset({Role.ADMIN}),
    ("GET", "/admin/jobs/{submission_id}"): _READING,
    ("GET", "/openapi.json"): frozenset(Role),
}

COSTS: dict[tuple[str, str], int] = {
    ("POST", "/admin/train"): 20,
    ("POST", "/admin/reindex"): 20,
    ("GET", "/users/{user_id}/export"): 20,
    ("DELETE", "/users/{user_id}"): 20,
}
"""Of a request, in the currency of the rate limits; 1 where it is not said."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified token speaks for."""

    subject: str  # canonical id
    role: Role
    expires_at: float  # Unix seconds

    def may_act_for(self, user_id: str) -> bool:
        """`user_id` is canonical."""
        return self.role in (Role.SERVICE, Role.ADMIN) or self.subject == user_id


def may_enter(role: Role, method: str, route: str) -> bool:
    return role in ACCESS.get((method, route), frozenset())


def caller_of(subject: str, role: str, expires_at: float) -> Caller:
    """Raises ValueError: no such role, or a subject that is no id."""
    return Caller(canonical_id(subject), Role(role), expires_at)
