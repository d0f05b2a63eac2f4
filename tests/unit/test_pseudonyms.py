"""Pseudonyms hide who a learner is from everyone without the key, and stand wherever an id does."""

import hashlib
import hmac
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.adapters.keyring import add_key, load_keyring
from app.domain.ids import canonical_id
from app.domain.pseudonyms import PLAIN, Keyring, PseudonymKey
from app.errors import InvalidInput
from app.features.catalogue import LearnerVocabulary
from app.settings import Settings
from tests import rows

KEY, OTHER = PseudonymKey(b"a" * 32), PseudonymKey(b"b" * 32)


@given(st.uuids().map(str))
def test_a_pseudonym_is_a_uuid_of_the_keyed_digest(user_id: str) -> None:
    made = UUID(KEY.of(user_id))
    digest = hmac.new(KEY.secret, user_id.encode(), hashlib.sha256).digest()
    assert (str(made), made.version) == (canonical_id(str(made)), 8)
    assert made.bytes[:6] == digest[:6]
    assert made.bytes[9:] == digest[9:16]
    assert KEY.of(user_id) != OTHER.of(user_id)
    assert PLAIN.of(user_id) == user_id


def test_a_column_gets_each_pseudonym_where_its_learner_was() -> None:
    events = pa.concat_tables([rows.events(["u", "v", "u"], ["x", "y", "z"]), rows.events(["v"], ["x"])])
    hidden = KEY.of_column(events)
    assert hidden["user_id"].to_pylist() == [KEY.of(user_id) for user_id in events["user_id"].to_pylist()]
    assert hidden.drop_columns("user_id").equals(events.drop_columns("user_id"))
    assert hidden.schema == events.schema
    assert KEY.of_column(events.slice(0, 0)).num_rows == 0


def test_a_vocabulary_of_pseudonyms_is_asked_by_ids(tmp_path: Path) -> None:
    users = rows.users(["a", "b", "c"])
    built = LearnerVocabulary.build(KEY.of_column(users))
    built.save(tmp_path)
    known = users["user_id"].to_pylist()
    assert sorted(LearnerVocabulary.load(tmp_path, KEY).index_of(known).tolist()) == [1, 2, 3]
    assert LearnerVocabulary.load(tmp_path, OTHER).index_of(known).tolist() == [0, 0, 0]
    assert not set(known) & set(built.user_ids)


def test_the_embedded_stack_makes_a_key_once_and_a_new_one_goes_before_it(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path)
    first = load_keyring(settings)
    assert load_keyring(settings) == first
    assert settings.pseudonym_keys_path.stat().st_mode & 0o077 == 0, "nobody else reads it"

    newer = add_key(settings.pseudonym_keys_path)

    ring = load_keyring(settings)
    assert list(ring.keys) == [newer, *first.keys]
    assert (ring.current, ring.named(first.current.name), ring.named("gone")) == (newer, first.current, None)
    assert Keyring(ring.keys).named("") == PLAIN


def test_shared_objects_need_a_key_that_is_shared(tmp_path: Path) -> None:
    shared = Settings(var_dir=tmp_path, object_store="s3://bucket")
    with pytest.raises(InvalidInput, match="LEARNREC_PSEUDONYM_KEYS"):
        load_keyring(shared)
    given_one = shared.model_copy(update={"pseudonym_keys": SecretStr(f"{'n' * 32}, {'o' * 40}")})
    assert [key.secret for key in load_keyring(given_one).keys] == [b"n" * 32, b"o" * 40]
    with pytest.raises(InvalidInput, match="32 characters or more"):
        load_keyring(shared.model_copy(update={"pseudonym_keys": SecretStr("short")}))


def test_no_key_is_shown() -> None:
    assert "aaaa" not in repr(KEY)
    assert "aaaa" not in KEY.name
    assert "aaaa" not in repr(Keyring([KEY]))
