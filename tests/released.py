"""Manifests for tests."""

from typing import Any

from app.domain.releases import Manifest


def manifest(release_id: str = "r1", **changed: Any) -> Manifest:
    """Of a small release; `changed` are the fields that a test is about."""
    fields = {
        "release_id": release_id,
        "created_at": "2026-01-01T00:00:00Z",
        "feature_schema": 1,
        "embedding_dim": 8,
        "num_contents": 1,
        "num_learners": 1,
        "collection": "c",
        "data_snapshot": "s",
        "runs": {},
        "metrics": {},
        "files": {},
    }
    return Manifest.model_validate(fields | changed)
