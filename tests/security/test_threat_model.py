"""SECURITY.md says which test proves what: those tests exist, and no attack is left out of it."""

import re

from tests.unit.test_structure import REPOSITORY

TEXT = (REPOSITORY / "SECURITY.md").read_text()


def test_every_file_that_it_names_exists() -> None:
    named = set(re.findall(r"`((?:tests|cluster|app|\.ci)/[^`]*)`", TEXT)) | {".ci/audit"}
    assert len(named) > 15
    assert not [name for name in named if not (REPOSITORY / name).is_file()]


def test_every_file_of_attacks_is_in_it() -> None:
    attacks = {
        path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "tests" / "security").glob("test_*.py")
    }
    attacks.remove("tests/security/test_threat_model.py")
    assert not [name for name in attacks if name not in TEXT]


def test_every_variable_that_it_names_is_a_setting() -> None:
    from app.settings import Settings

    known = {f"LEARNREC_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"LEARNREC_[A-Z_]+[A-Z]", TEXT)) - {"LEARNREC_X", "LEARNREC_X_FILE", "LEARNREC_KAFKA_SSL"}
    assert named
    assert named <= known
