"""Whose word counts: forged addresses against the limit of an address, foreign pages against the browser's rules."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.serving.access import Role
from app.serving.arguments import GraphArguments
from app.serving.http import build_app
from app.serving.service import Service
from app.settings import Settings
from tests.security.conftest import stages
from tests.security.forging import token

BAD = {"Authorization": "Bearer guess"}


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Three requests an hour for an address, behind one proxy of ours; Redis is away."""
    tight = settings.model_copy(update={"rate_limit_address": "3/hour", "rate_limit": "5/hour"})
    transport = httpx.ASGITransport(build_app(Service(tight, GraphArguments.model_validate({}), **stages())))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as made:
        yield made


async def statuses(client: httpx.AsyncClient, *headers: list[tuple[str, str]]) -> list[int]:
    return [(await client.get("/openapi.json", headers=each)).status_code for each in headers]


async def test_who_guesses_tokens_is_stopped_by_the_address_whatever_else_they_write(strict: httpx.AsyncClient) -> None:
    """The proxy adds the true address at the end: in the client's line, or in a line of its own."""
    true = "198.51.100.7"
    forged = [
        [("X-Forwarded-For", f"203.0.113.{n}, {true}"), *BAD.items()] if n % 2
        else [("X-Forwarded-For", f"203.0.113.{n}"), ("X-Forwarded-For", true), *BAD.items()]
        for n in range(6)
    ]  # fmt: skip
    assert await statuses(strict, *forged) == [401, 401, 401, 429, 429, 429]


@pytest.mark.parametrize("name", ["X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"])
async def test_other_headers_about_addresses_are_not_listened_to(strict: httpx.AsyncClient, name: str) -> None:
    told = [[("X-Forwarded-For", "198.51.100.8"), (name, f"for=203.0.113.{n}"), *BAD.items()] for n in range(4)]
    assert (await statuses(strict, *told))[-1] == 429


async def test_one_network_of_the_newer_kind_is_one_address(strict: httpx.AsyncClient) -> None:
    told = [[("X-Forwarded-For", f"2001:db8:0:1::{n:x}"), *BAD.items()] for n in range(4)]
    assert (await statuses(strict, *told))[-1] == 429


async def test_a_subject_is_counted_by_itself_whatever_address_and_token_it_comes_with(
    strict: httpx.AsyncClient,
) -> None:
    """A new token for the same subject brings no new limit, nor does the id in other words."""
    told = [
        [("X-Forwarded-For", f"203.0.113.{n}"), ("Authorization", f"Bearer {token(sub=sub, role=role, jti=str(n))}")]
        for n, (sub, role) in enumerate(
            [("ada", "learner"), (" ada", "learner"), ("ada ", "service"), ("ada", "admin"), ("ada", "analyst")]
        )
    ]
    assert (await statuses(strict, *told, told[0]))[-1] == 429


FOREIGN = ["https://evil.example", "null", "http://page.example", "https://page.example.evil.example"]
FOREIGN += ["https://evil.page.example", "https://page.example:8443", "HTTPS://PAGE.EXAMPLE", "https://page.example/"]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_foreign_page_is_not_let_read(client: httpx.AsyncClient, origin: str, method: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await client.request(method, "/recommend/ada", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.status_code in (400, 401)


async def test_a_page_of_ours_may_read_but_never_by_cookies(client: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    allowed = await client.options("/events", headers=asked | {"Access-Control-Request-Headers": "content-type"})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://page.example")
    assert "access-control-allow-credentials" not in allowed.headers
    other = await client.options("/events", headers=asked | {"Access-Control-Request-Method": "DELETE"})
    assert other.status_code == 400


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/recommend/ada", "/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
async def test_every_answer_says_that_it_is_no_page(client: httpx.AsyncClient, method: str, path: str) -> None:
    bearer = {"Authorization": f"Bearer {token(role=Role.ANALYST.value)}"}
    headers = (await client.request(method, path, headers=bearer)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Cache-Control"] == "no-store"
    assert "set-cookie" not in headers


@pytest.mark.parametrize("given", ["a\r\nSet-Cookie: x=1", "<script>", "x" * 65, "ü", "../../log", "a b"])
async def test_an_id_of_a_request_that_is_none_is_not_sent_back(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/nowhere", headers=[(b"X-Request-ID", given.encode())])
    assert given not in answer.text
    assert all(given not in value for value in answer.headers.values())
