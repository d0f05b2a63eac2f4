"""Who may what: the one table of routes and roles. A route that is not in it is open to nobody."""

from dataclasses import dataclass
from enum import StrEnum

from app.domain.ids import canonical_id


class Role(StrEnum):
    LEARNER = "learner"  # for themselves only
    SERVICE = "service"  # for any learner
    ADMIN = "admin"


PUBLIC = frozenset({("GET", "/health"), ("GET", "/metrics")})
"""Asked by probes and scrapers, which have no token; they say nothing about any learner."""

ACCESS: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/recommend/{user_id}"): frozenset(Role),
    ("POST", "/events"): frozenset(Role),
    ("POST", "/xapi/statements"): frozenset(Role),
    ("POST", "/admin/train"): frozenset({Role.ADMIN}),
    ("POST", "/admin/reindex"): frozenset({Role.ADMIN}),
    ("GET", "/admin/jobs/{submission_id}"): frozenset({Role.ADMIN}),
    ("GET", "/openapi.json"): frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a verified token speaks for."""

    subject: str  # canonical id
    role: Role
    expires_at: float  # Unix seconds

    def may_act_for(self, user_id: str) -> bool:
        """`user_id` is canonical."""
        return self.role is not Role.LEARNER or self.subject == user_id


def may_enter(role: Role, method: str, route: str) -> bool:
    return role in ACCESS.get((method, route), frozenset())


def caller_of(subject: str, role: str, expires_at: float) -> Caller:
    """Raises ValueError: no such role, or a subject that is no id."""
    return Caller(canonical_id(subject), Role(role), expires_at)
