"""A release: towers, vocabulary, index, ranker and feature schema that belong together."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PRODUCTION, STAGING, CANDIDATE = "production", "staging", "candidate"

FULL, RETRIEVAL, POPULAR, ITEM_KNN = "two_tower_ranker", "retrieval", "popular", "item_knn"
"""Models in a manifest's metrics: what is served, its candidates alone, and two baselines."""

CALIBRATION_ERROR, SCORE_TO_MET = "calibration_error", "score_to_met"
"""Metrics of what is served: how far scores are from how often what they promise happens, and how they stand to it."""

MANIFEST = "manifest.json"
"""Name of the manifest inside the release's folder, `learning-models/releases/{release_id}/`."""


class Manifest(BaseModel):
    """What the release is made of; version 1. Written last: a folder without one is no release."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    release_id: str
    created_at: str  # ISO 8601, UTC
    feature_schema: int
    embedding_dim: int
    num_contents: int
    num_learners: int
    collection: str  # Milvus collection of the item embeddings
    data_snapshot: str  # id of the feature run that it was trained on
    pseudonym_key: str = ""  # name of the key under which its vocabulary knows learners; "": by their ids
    data_until: str | None = None  # ISO 8601, UTC: its latest event; None where that was not kept
    runs: dict[str, str]  # job name -> MLflow run id
    metrics: dict[str, dict[str, float]]  # model name -> metric -> value, on the temporal hold-out
    files: dict[str, str]  # path in the folder -> SHA-256


class Trial(BaseModel):
    """A release that is not live answers for some, before it may for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    release_id: str
    shadow: float = Field(default=0.0, ge=0, le=1, description="share of requests that it answers too, unseen")
    canary: float = Field(default=0.0, ge=0, le=1, description="share of learners who get its answers")
