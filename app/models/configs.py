"""Hyperparameters of the models: what a spec file may set, with its defaults."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TowersConfig(BaseModel):
    """Hyperparameters of the towers and of their training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding_dim: int = Field(default=128, ge=8, le=1024)
    hidden_dim: int = Field(default=256, ge=8, le=4096)
    id_dim: int = Field(default=64, ge=4, le=512, description="width of the embedding of a content's id")
    user_dim: int = Field(default=32, ge=4, le=512)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    user_id_dropout: float = Field(
        default=0.9, ge=0, lt=1, description="share of examples that train without the learner's id"
    )
    history_dropout: float = Field(
        default=0.3, ge=0, lt=1, description="share of the history that an example trains without"
    )
    content_id_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="the same for contents: trains the unseen content"
    )
    temperature: float = Field(default=0.07, gt=0, le=10)
    num_uniform_negatives: int = Field(
        default=512, ge=0, le=65_536, description="shared negatives besides those in the batch"
    )
    batch_size: int = Field(default=512, ge=8, le=65_536)
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    num_epochs: int = Field(default=15, ge=1, le=1000)
    max_examples: int = Field(
        default=3_000_000, ge=1, description="examples over all epochs: much data is learned from in fewer of them"
    )
    patience: int = Field(default=2, ge=1, description="epochs without better validation recall@100 before stopping")
    seed: int = 7

    def epochs_for(self, num_examples: int) -> int:
        """Most epochs of a training on so many examples."""
        return min(self.num_epochs, max(1, -(-self.max_examples // max(num_examples, 1))))


class RankerConfig(BaseModel):
    """Hyperparameters of the ranker, of its training set and of its validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: Literal["binary:logistic", "rank:ndcg"] = "binary:logistic"
    num_trees: int = Field(default=300, ge=1, le=5000, description="most boosting rounds; early stopping may use fewer")
    max_depth: int = Field(default=4, ge=1, le=16)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample: float = Field(
        default=0.3, gt=0, le=1, description="share of the features, embeddings included, that a tree sees"
    )
    max_bin: int = Field(default=64, ge=16, le=1024, description="cuts of a feature; fewer train faster")
    min_child_weight: float = Field(default=5.0, ge=0)
    embedding_weight: float = Field(
        default=0.05, ge=0, description="chance of an embedding's column to be drawn, others 1"
    )
    early_stopping: int = Field(default=15, ge=1, description="rounds without a better validation AUC before stopping")
    num_folds: int = Field(default=5, ge=2, le=20, description="cross-validation, grouped by learner")
    max_queries: int = Field(default=8_000, ge=100, description="lists in the training set, drawn at random")
    max_queries_of_learner: int = Field(default=20, ge=1, description="of these, of one learner")
    num_candidates: int = Field(default=100, ge=10, le=1000)
    num_axes: int = Field(default=16, ge=1, le=1024, description="of the embeddings, the longest, that the trees see")
    num_negatives: int = Field(default=30, ge=1, description="per list, drawn from the candidates really retrieved")
    seed: int = 7
