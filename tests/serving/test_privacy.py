"""Learners see what is stored about them, and have it gone, through the service."""

from typing import Any

from app.adapters.keyring import load_keyring
from app.adapters.postgres.audit import PostgresAudit
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.receipts import Receipts, verified
from app.domain.ids import canonical_id
from app.serving.access import Role
from tests import rows
from tests.serving.conftest import House


def learner(house: House, name: str) -> str:
    """Somebody with five events whom no other test asks for."""
    contents = house.tiny.world.contents["content_id"].to_pylist()[:5]
    with PostgresWarehouse(house.settings.need("postgres_url")) as warehouse:
        warehouse.put_users(rows.users([name]))
        warehouse.put_events(rows.events([name] * 5, contents))
    return canonical_id(name)


def event(house: House, user_id: str, number: int = 0) -> dict[str, Any]:
    content_id = house.tiny.world.contents["content_id"][number].as_py()
    return {"user_id": user_id, "content_id": content_id, "event_type": "view"}


def test_a_learner_sees_everything_and_has_it_gone(served: House) -> None:
    user_id = learner(served, "seen and gone")
    with served.client(user_id, Role.LEARNER) as own:
        own.post("/events", json=event(served, user_id)).raise_for_status()
        seen = own.get(f"/users/{user_id}/export").raise_for_status().json()
        answer = own.delete(f"/users/{user_id}?wait_s=120")
        slate = own.get(f"/recommend/{user_id}").raise_for_status().json()
        late = own.post("/events", json=event(served, user_id)).raise_for_status().json()
        left = own.get(f"/users/{user_id}/export").raise_for_status().json()
        again = own.delete(f"/users/{user_id}").raise_for_status().json()
        told = own.get(f"/users/{user_id}/erasure").raise_for_status().json()

    assert seen["learner"]["user_id"] == user_id
    assert len(seen["events"]) == 5
    assert len(seen["online"]["recent_items"]) == 1
    assert (answer.status_code, answer.json()["state"]) == (200, "erased"), answer.text
    facts = verified(answer.json()["receipt"], Receipts(served.settings).public_pem)
    assert facts["removed"]["postgresql.events"] == len(seen["events"])
    assert set(facts["remaining"].values()) == {0}
    assert slate["served_by"] == "popular"
    assert late["not_stored"] == late["event_ids"]
    assert left == {"learner": None, "events": [], "completions": [], "online": {"keys": [], "recent_items": []}}
    assert again["receipt"] == told["receipt"] == answer.json()["receipt"]


def test_after_coming_back_events_count_again(served: House) -> None:
    user_id = learner(served, "gone and back")
    with served.client() as service:
        service.delete(f"/users/{user_id}?wait_s=120").raise_for_status()
        service.delete(f"/users/{user_id}/opt-out").raise_for_status()
        taken = service.post("/events", json=event(served, user_id)).raise_for_status().json()
        slate = service.get(f"/recommend/{user_id}").raise_for_status().json()
    assert taken["not_stored"] == []
    assert slate["served_by"] == "ranker", "what was done a moment ago is enough"


def test_nobody_sees_or_erases_another(served: House) -> None:
    other = learner(served, "left in peace")
    with served.client(learner(served, "curious"), Role.LEARNER) as client:
        answers = [
            client.get(f"/users/{other}/export"),
            client.delete(f"/users/{other}"),
            client.get(f"/users/{other}/erasure"),
        ]
    with served.client() as service:
        unknown = service.get(f"/users/{other}/erasure")
        seen = service.get(f"/users/{other}/export").raise_for_status().json()
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert (unknown.status_code, bool(seen["events"])) == (404, True)


def test_what_is_asked_for_is_in_the_audit_log_without_saying_of_whom(served: House) -> None:
    user_id, key = learner(served, "noted"), load_keyring(served.settings).current
    audit = PostgresAudit(served.settings.need("postgres_url"))
    before = len(audit.entries())
    with served.client("the registrar") as service:
        service.get(f"/users/{user_id}/export").raise_for_status()
    (entry,) = audit.entries()[before:]
    assert (entry.action, entry.role, entry.object) == ("export", "service", key.of(user_id))
    assert user_id not in str(entry)
    assert "registrar" not in str(entry)
