"""The service before its first release, and the moment when that comes. Runs first: nothing is in production yet."""

from tests.serving.conftest import House
from tests.serving.tiny import FIRST
from tests.serving.waiting import until


def test_without_a_release_the_service_is_live_and_shows_what_is_popular(house: House) -> None:
    health = house.health()
    assert (health["live"], health["ready"], health["release"]) == (True, False, None)
    with house.client() as client:
        body = client.get("/recommend/anyone?k=5").raise_for_status().json()
    assert (body["release"], body["served_by"], body["degraded"]) == (None, "popular", ["release"])
    assert [item["position"] for item in body["items"]] == [1, 2, 3, 4, 5]
    assert len({item["content_id"] for item in body["items"]}) == 5


def test_the_first_promotion_reaches_running_replicas_within_ten_seconds(house: House) -> None:
    house.promote(FIRST)
    assert until(lambda: house.health()["ready"], seconds=30) < 10
    assert house.health()["release"] == FIRST
