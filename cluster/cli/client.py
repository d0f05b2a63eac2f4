"""`learnrec token` and `learnrec recommend`: the service as a client sees it."""

from typing import Annotated, Any
from urllib.parse import quote

import httpx
import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.errors import LearnrecError, Unavailable
from app.serving.access import Role
from app.serving.keys import MAX_TTL_S, signed
from app.settings import Settings, load_settings

TIMEOUT_S = 30.0
OWN_TOKEN_TTL_S = 300


def token(
    user: Annotated[str, typer.Option(help="For whom: any id.")],
    role: Annotated[
        Role, typer.Option(help="learner: for themselves only; service: for any learner; admin: jobs, too.")
    ] = Role.LEARNER,
    ttl: Annotated[int, typer.Option(min=1, max=MAX_TTL_S, help="How long it is good for, in seconds.")] = 3600,
) -> None:
    """Sign a development token for the HTTP interface, and print it."""
    typer.echo(signed(load_settings(), user=user, role=role, ttl_s=ttl))


def recommend(
    user: Annotated[str, typer.Argument(help="The learner's id, as the data or the platform calls them.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many contents.")] = 10,
    token: Annotated[str | None, typer.Option(help="A token; without one, a development token is signed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the response as it came.")] = False,
) -> None:
    """Ask the running stack for one learner's recommendations."""
    settings = load_settings()
    bearer = token or signed(settings, user=user, role=Role.SERVICE, ttl_s=OWN_TOKEN_TTL_S)
    answer = fetch(settings, user, k=k, token=bearer)
    if as_json:
        typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(as_table(answer))


def fetch(settings: Settings, user: str, *, k: int, token: str) -> dict[str, Any]:
    """The response of GET /recommend.

    Raises Unavailable: nobody answers. LearnrecError: what the service refuses, and why.
    """
    host = "127.0.0.1" if settings.http_host in ("", "0.0.0.0", "::") else settings.http_host  # noqa: S104
    url = f"{settings.http_scheme}://{host}:{settings.http_port}/recommend/{quote(user, safe='')}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        response = httpx.get(url, params={"k": k}, headers=headers, timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError as exc:
        raise Unavailable("the service", f"{exc} at {url}; `learnrec up` starts it") from exc
    if not response.is_success:
        raise LearnrecError(f"the service answers {response.status_code}: {_detail(response)}")
    return response.json()


def as_table(answer: dict[str, Any]) -> Table:
    table = Table(title=f"For {answer['user_id']}", caption=_caption(answer))
    table.add_column("#", justify="right")
    table.add_column("title")
    table.add_column("type")
    table.add_column("score", justify="right")
    table.add_column("source")
    for item in answer["items"]:
        score = f"{item['score']:.3f}"
        table.add_row(str(item["position"]), item["title"], item["type"], score, item["source"])
    return table


def _caption(answer: dict[str, Any]) -> str:
    missing = f", without {', '.join(answer['degraded'])}" if answer["degraded"] else ""
    return f"served by {answer['served_by']}, release {answer['release'] or 'none'}{missing}"


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
