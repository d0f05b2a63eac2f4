"""What anybody could guess, and keys that are none. No secret is ever part of what is said here."""

import re
from collections.abc import Callable, Iterator

from app.adapters.keyring import load_keyring
from app.adapters.receipts import Receipts
from app.errors import LearnrecError
from app.settings import Settings
from cluster.preflight.told import PREFIX, Told
from cluster.stack.doctor import Finding, Verdict

MIN_PASSWORD, MIN_TOKEN, MIN_DIFFERENT = 12, 32, 5
MAKE_ONE = "`openssl rand -hex 32` makes one"

_PLACEHOLDER = re.compile(r"change[-_ ]?me|^<.*>$|\.\.\.|…", re.IGNORECASE)
_KNOWN = {"password", "passwort", "secret", "learnrec", "postgres", "postgresql", "redis", "minio", "minioadmin"}
_KNOWN |= {"admin", "administrator", "root", "test", "example", "default", "token", "key", "guest"}
_NAMED_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY|KEYS)$")


def weakness(secret: str, *, least: int = MIN_PASSWORD) -> str | None:
    """Why this is no secret, in words that fit after "the password"; None: nothing speaks against it."""
    if _PLACEHOLDER.search(secret):
        return "is the one of an example"
    if secret.lower().strip("0123456789!-_.") in _KNOWN:
        return "is one that everybody tries first"
    if len(secret) < least:
        return f"has fewer than {least} characters"
    return "repeats a few characters" if len(set(secret)) < MIN_DIFFERENT else None


def password(subject: str, secret: str | None) -> Iterator[Finding]:
    """Of a store; None: there is none."""
    found = "has none" if not secret else weakness(secret)
    if found is not None:
        said = "no password is asked for" if not secret else f"the password {found}"
        yield Finding(Verdict.WRONG, subject, said, f"let the store ask for a long one: {MAKE_ONE}")


def keys(settings: Settings) -> Iterator[Finding]:
    """Pseudonyms, receipts and Ray's token, as those who use them read them."""
    if settings.pseudonym_keys is not None:
        told = [key.strip() for key in settings.pseudonym_keys.get_secret_value().replace("\n", ",").split(",")]
        yield from _key("Pseudonyms", lambda: load_keyring(settings), [weakness(key) for key in told if key])
    if settings.receipt_key is not None:
        yield from _key("Receipts", lambda: Receipts(settings), [])
    if settings.ray_auth_token is not None:
        found = weakness(settings.ray_auth_token.get_secret_value(), least=MIN_TOKEN)
        if found:
            yield Finding(Verdict.WRONG, "Ray", f"the token {found}", MAKE_ONE)


def _key(subject: str, load: Callable[[], object], weak: list[str | None]) -> Iterator[Finding]:
    try:
        load()
    except LearnrecError as exc:
        what, _, advice = str(exc).partition(": ")
        yield Finding(Verdict.WRONG, subject, what, advice)
        return
    said = next(filter(None, weak), None)
    if said:
        yield Finding(Verdict.WRONG, subject, f"a key {said}", MAKE_ONE)
    else:
        yield Finding(Verdict.FINE, subject, "a key that can be used")


def placeholders(told: Told) -> Iterator[Finding]:
    """Passwords of an example that stand beside our own variables: of the containers, of AWS."""
    for name, value in sorted(told.values.items()):
        if not name.startswith(PREFIX) and _NAMED_SECRET.search(name) and (found := weakness(value, least=1)):
            yield Finding(Verdict.WRONG, "Passwords", f"{name} {found}", MAKE_ONE)


def by_value(told: Told, settings: Settings) -> Iterator[Finding]:
    """Which secrets stand in the files themselves."""
    secret = {f"{PREFIX}{name.upper()}" for name, value in settings if value is not None and _is_secret(name, value)}
    own = sorted(name for name in secret & set(told.values) if told.origins[name] in told.files)
    if own:
        advice = "better LEARNREC_X_FILE, LEARNREC_SECRETS_DIR or LEARNREC_SECRETS_AWS, as SECURITY.md says"
        yield Finding(Verdict.NOTE, "Secrets", f"given by value: {', '.join(own)}", advice)


def _is_secret(name: str, value: object) -> bool:
    return hasattr(value, "get_secret_value") or (name.endswith(("_url", "_uri")) and "@" in str(value))
