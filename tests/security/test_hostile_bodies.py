"""Bodies that are bombs, lies or noise: bounded once, at the gate, and answered with 4xx."""

import gzip
import json
import socket
import time
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serving.access import ACCESS
from app.serving.gate import MAX_BODY_BYTES, MAX_BODY_S
from tests.security.forging import token
from tests.security.wire import LOOPBACK, exchange, received, request, status

ROUTES = sorted(path for method, path in ACCESS if method == "POST")
REFUSED = {"/xapi/statements": 400}  # as its specification says; elsewhere 422
ADMIN = {"Authorization": f"Bearer {token(role='admin', exp=int(time.time()) + 86_400)}"}
HEADERS = {**ADMIN, "Content-Type": "application/json", "X-Experience-API-Version": "1.0.3"}
LINES = [f"{name}: {value}" for name, value in HEADERS.items()]
EVENT = {"user_id": "ada", "content_id": "c", "event_type": "view"}


def statement(**changes: Any) -> dict[str, Any]:
    actor = {"account": {"homePage": "http://lms.example", "name": "ada"}}
    verb = {"id": "http://adlnet.gov/expapi/verbs/answered"}
    return {"actor": actor, "verb": verb, "object": {"id": "urn:c"}, **changes}


def is_problem(answer: httpx.Response, expected: int) -> dict[str, Any]:
    assert answer.status_code == expected, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert len(answer.content) < 50_000, "an answer is no mirror of what was sent"
    return answer.json()


DEEP = 100_000
BOMBS = {
    "lists": b"[" * DEEP + b"]" * DEEP,
    "lists without an end": b"[" * MAX_BODY_BYTES,
    "objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a deep field": b'{"model":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep, but less than the bound of the parser": b"[" * 1_000 + b"]" * 1_000,
    "a long number": b'{"model": ' + b"9" * 100_000 + b"}",
    "many members": b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}",
    "many events": b"[" + b",".join([b"{}"] * 300_000) + b"]",
    "one long text": b'"' + b"a" * 500_000 + b'"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model": "all"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"model": "all"}'.encode("utf-16-le"),
    "UTF-32": '{"model": "all"}'.encode("utf-32"),
    "Latin-1": '{"model": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"model": "\xc0\xae"}',
    "a NUL": b'{"model": "all"}\x00',
    "NULs": b"\x00" * 1_000,
    "lone surrogates": b'{"model": "\\ud800"}',
    "surrogates as bytes": b'{"model": "\xed\xa0\x80"}',
    "NaN": b'{"model": NaN}',
    "Infinity": b'{"model": -Infinity}',
    "a huge number": b'{"model": 1e99999}',
    "single quotes": b"{'model': 'all'}",
    "a comment": b'{"model": "all" /* */}',
    "two documents": b'{"model": "all"}{"model": "all"}',
    "XML": b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
    "YAML": b"!!python/object/apply:os.system ['id']",
    "a pickle": b"\x80\x04cos\nsystem\n(S'id'\ntR.",
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_refused_everywhere_alike(client: httpx.AsyncClient, path: str, bomb: bytes) -> None:
    began = time.process_time()
    is_problem(await client.post(path, content=bomb, headers=HEADERS), REFUSED.get(path, 422))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("path", ROUTES)
async def test_a_body_over_the_bound_is_refused_everywhere_whatever_its_headers_say(
    client: httpx.AsyncClient, path: str
) -> None:
    is_problem(await client.post(path, content=b" " * (MAX_BODY_BYTES + 1), headers=HEADERS), 413)
    small = {**HEADERS, "Content-Length": "2"}
    is_problem(await client.post(path, content=b" " * (MAX_BODY_BYTES + 1), headers=small), 413)


@pytest.mark.parametrize("packed", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-made-up"])
async def test_packed_bodies_are_refused_unopened(client: httpx.AsyncClient, packed: str) -> None:
    bomb = gzip.compress(b" " * 50 * MAX_BODY_BYTES)
    assert len(bomb) < MAX_BODY_BYTES
    answer = await client.post("/events", content=bomb, headers={**HEADERS, "Content-Encoding": packed})
    assert "Content-Encoding" in is_problem(answer, 415)["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "said",
    [
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json, text/html",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/vnd.api+json",
        "application/json/../text",
        "application/json\t;\tx=1",
    ],
)
@pytest.mark.parametrize("path", ROUTES)
async def test_no_other_content_type_is_read_as_json(client: httpx.AsyncClient, path: str, said: str) -> None:
    is_problem(await client.post(path, content=b"{}", headers={**HEADERS, "Content-Type": said}), 415)


@pytest.mark.parametrize(
    "change",
    [
        *({"value": value} for value in ("NaN", "nan", "inf", "-Infinity", 1e308, -1, 10**30, "1e999", "x", [1], {})),
        *({"ts": ts} for ts in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", 1e300, -1e300, "now", [], 0)),
        *({"event_type": kind} for kind in ("VIEW", "view\x00", None, ["view"], 0)),
        *({"content_id": one} for one in ("", " ", "x" * 65, "a\x00b", "a\nb", "\u202e", None, 7, ["c"], "\ufdd0a")),
        *({"event_id": one} for one in ("", "x" * 65, 5, {})),
        *({name: "a free text"} for name in ("comment", "text", "__class__", "note", "user_id\x00", "$where")),
    ],
    ids=str,
)
async def test_an_event_has_no_place_for_anything_else(client: httpx.AsyncClient, change: dict[str, Any]) -> None:
    is_problem(await client.post("/events", content=json.dumps({**EVENT, **change}), headers=HEADERS), 422)


@pytest.mark.parametrize(
    "change",
    [
        {"result": {"score": {"raw": "nan", "max": 10}}},
        {"result": {"score": {"scaled": "nan"}}},
        {"result": {"score": {"raw": "inf", "min": "-inf", "max": "inf"}}},
        {"verb": {"id": "http://id.tincanapi.com/verb/rated"}, "result": {"score": {"raw": "nan", "max": "5"}}},
        {"timestamp": "9999-12-31T23:59:59-23:59", "result": {"success": True}},
        {"timestamp": "0001-01-01T00:00:00+23:59", "result": {"success": True}},
        {"object": {"id": "a:" + "b" * 3_000}},
    ],
    ids=lambda change: str(change)[:60],
)
async def test_a_statement_with_numbers_that_are_none_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    is_problem(await client.post("/xapi/statements", json=statement(**change), headers=HEADERS), 400)


async def test_what_a_statement_carries_beside_goes_nowhere_however_odd(client: httpx.AsyncClient) -> None:
    """Texts of learners, attachments and extensions are read past: what has no event leaves no trace but a count."""
    deep: Any = "the end"
    for _ in range(200):
        deep = [deep]
    said = statement(
        verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
        result={"response": "my secret diary", "extensions": {"http://x.example": deep}},
        context={"platform": "<script>", "deep": deep},
        attachments=[{"payload": "x" * 1_000}],
    )
    answer = await client.post("/xapi/statements", content=orjson.dumps([said] * 100), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    assert "diary" not in answer.text
    assert answer.headers["Learnrec-Unmapped"].endswith("99: verb is not mapped")


async def test_five_hundred_reasons_fit_into_a_header_that_a_proxy_lets_through(client: httpx.AsyncClient) -> None:
    said = [statement(verb={"id": f"http://verbs.example/{n}"}) for n in range(500)]
    answer = await client.post("/xapi/statements", json=said, headers=HEADERS)
    assert answer.status_code == 200
    assert sum(len(name) + len(value) for name, value in answer.headers.raw) < 8_000


FUZZ = settings(max_examples=150, deadline=None, derandomize=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
parts = st.fixed_dictionaries(
    {
        "actor": st.sampled_from([statement()["actor"]]) | json_values,
        "verb": st.sampled_from([{"id": "http://adlnet.gov/expapi/verbs/voided"}]) | json_values,
        "object": st.sampled_from([{"id": "urn:c"}]) | json_values,
    },
    optional=dict.fromkeys(("id", "result", "context", "timestamp", "version", "attachments"), json_values),
)


@FUZZ
@given(said=parts)
def test_odd_statements_are_taken_or_refused_and_nothing_else_happens(port: int, said: dict[str, Any]) -> None:
    body = json.dumps(said).encode()
    answer = exchange(port, request("POST", "/xapi/statements", *LINES, body=body))
    assert status(answer) in (200, 400), answer


@FUZZ
@given(event=st.dictionaries(st.sampled_from([*EVENT, "value", "ts", "event_id", "other"]), json_values))
def test_odd_events_are_refused_and_nothing_else_happens(port: int, event: dict[str, Any]) -> None:
    answer = exchange(port, request("POST", "/events", *LINES, body=json.dumps([event]).encode()))
    assert status(answer) == 422, answer


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def test_a_chunked_body_is_bounded_while_it_comes(port: int) -> None:
    head = request("POST", "/events", *LINES, "Transfer-Encoding: chunked")
    with socket.create_connection((LOOPBACK, port), timeout=20) as peer:
        peer.sendall(head)
        for _ in range(2 * MAX_BODY_BYTES // 65_536):
            try:
                peer.sendall(chunked(b" " * 65_536))
            except OSError:  # it does not listen to the end
                break
        assert status(received(peer)) == 413


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Content-Length: 0x10"],
        ["Content-Length: 1e3"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding : chunked"],
        ["X: a\rb"],
        ["X: a\x00b"],
    ],
    ids=str,
)
def test_what_two_servers_could_read_in_two_ways_brings_in_no_second_request(port: int, lines: list[str]) -> None:
    """Request smuggling: whatever the first one is taken for, what was hidden in it is not answered with a success."""
    hidden = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: service\r\n\r\n"
    answer = exchange(port, request("POST", "/events", *lines) + hidden, timeout_s=3)
    assert b"200 OK" not in answer


def test_a_body_that_drips_is_cut_off(port: int) -> None:
    began = time.monotonic()
    with socket.create_connection((LOOPBACK, port), timeout=MAX_BODY_S + 10) as peer:
        peer.sendall(request("POST", "/events", *LINES, "Content-Length: 100") + b"[")
        answer = received(peer)
    assert status(answer) == 408
    assert MAX_BODY_S - 1 < time.monotonic() - began < MAX_BODY_S + 5


async def test_an_error_that_nobody_foresaw_says_nothing_of_its_inside(
    application: FastAPI, client: httpx.AsyncClient
) -> None:
    async def fails() -> None:
        raise RuntimeError("postgresql://learnrec:of-postgres@db.internal/learnrec")

    application.router.routes.append(APIRoute("/fails", fails))  # a plain one, which passes no gate
    try:
        answer = await client.get("/fails")
    finally:
        application.router.routes.pop()
    body = is_problem(answer, 500)
    assert body["detail"] == "an error on our side; the log has it under this request_id"
    assert not any(word in answer.text for word in ("RuntimeError", ".py", "of-postgres", "internal"))


async def test_a_store_that_is_away_is_named_without_where_it_was(client: httpx.AsyncClient) -> None:
    answer = await client.get("/recommend/ada", headers=ADMIN)
    body = is_problem(answer, 503)
    assert "does not answer" in body["detail"]
    assert not any(word in answer.text for word in ("127.0.0.1", "port", "of-postgres", "learnrec:", "psycopg"))
