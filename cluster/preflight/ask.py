"""Ask every address that is told, all at once, and wait for none of them for long."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from threading import Thread

from app.adapters.kafka_client import KafkaAccess, translated
from app.adapters.object_store import ObjectStore
from app.errors import LearnrecError
from app.serving.key_source import UrlKeys
from app.settings import Settings
from cluster.stack.doctor import Finding, Verdict
from cluster.stack.kinds import KINDS

GRACE_S = 2.0
"""More than a client's own time-out: it may ask for names first."""

Question = Callable[[], str]
"""Returns what was found. Raises LearnrecError."""


def ask(settings: Settings, *, timeout_s: float) -> list[Finding]:
    """One finding for each address."""
    questions = _questions(settings, timeout_s=timeout_s)
    answers: dict[str, Finding] = {}

    def put(subject: str, question: Question) -> None:
        try:
            answers[subject] = Finding(Verdict.FINE, subject, question())
        except LearnrecError as exc:
            reason = str(exc).partition("\n")[0]
            answers[subject] = Finding(Verdict.WRONG, subject, reason, "is it up, and may this machine reach it?")

    # Daemons: a client that ignores its time-out, as S3's may, must not hold up the end of the program.
    asking = [Thread(target=put, args=one, daemon=True) for one in questions.items()]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(timeout_s + GRACE_S)
    silent = f"no answer within {timeout_s + GRACE_S:.0f} s"
    advice = "is it up, and may this machine reach it?"
    return [answers.get(subject) or Finding(Verdict.WRONG, subject, silent, advice) for subject in questions]


def _questions(settings: Settings, *, timeout_s: float) -> dict[str, Question]:
    questions: dict[str, Question] = {}
    for kind in KINDS:
        if (address := getattr(settings, kind.address_field)) is not None:
            import_module(kind.client)  # seconds, which are not the store's

            def ping(ask: Callable[..., None] = kind.ping, address: str = address) -> str:
                ask(address, timeout_s=timeout_s)
                return "answers"

            questions[kind.title] = ping
    if settings.object_store is not None:
        questions["Object store"] = lambda: _objects(settings)
    if settings.kafka_servers is not None:
        questions["Kafka"] = lambda: _topics(settings, timeout_s=timeout_s)
    if (url := settings.jwt_jwks_url) is not None:
        questions["Tokens"] = lambda: asyncio.run(_keys(url, timeout_s=timeout_s))
    return questions


def _objects(settings: Settings) -> str:
    there = ObjectStore(settings.object_store_uri).exists("")
    return "answers, with this shell's credentials" + ("" if there else "; the bucket or folder is yet to be made")


def _topics(settings: Settings, *, timeout_s: float) -> str:
    from kafka.admin import KafkaAdminClient

    access = KafkaAccess.of(settings)
    with translated(), closing(KafkaAdminClient(**access.options(timeout_s=timeout_s))) as admin:
        there = settings.kafka_topic in admin.list_topics()
    return "answers" + ("" if there else f"; `learnrec events setup` has yet to make {settings.kafka_topic}")


async def _keys(url: str, *, timeout_s: float) -> str:
    keys = UrlKeys(url, timeout_s=timeout_s)
    await keys.look_again(at_once=True)
    return f"{len(keys.current())} keys"
