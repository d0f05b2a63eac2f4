"""Hyperparameters of the models: what a spec file may set, with its defaults."""

from pydantic import BaseModel, ConfigDict, Field


class TowersConfig(BaseModel):
    """Hyperparameters of the towers and of their training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding_dim: int = Field(128, ge=8, le=1024)
    hidden_dim: int = Field(256, ge=8, le=4096)
    id_dim: int = Field(64, ge=4, le=512, description="width of the embedding of a content's id")
    user_dim: int = Field(32, ge=4, le=512)
    dropout: float = Field(0.1, ge=0, lt=1)
    user_id_dropout: float = Field(0.5, ge=0, lt=1, description="share of examples that train without the learner's id")
    content_id_dropout: float = Field(0.1, ge=0, lt=1, description="the same for contents: trains the unseen content")
    temperature: float = Field(0.07, gt=0, le=10)
    num_uniform_negatives: int = Field(512, ge=0, le=65_536, description="shared negatives besides those in the batch")
    batch_size: int = Field(512, ge=8, le=65_536)
    learning_rate: float = Field(2e-3, gt=0, le=1)
    num_epochs: int = Field(15, ge=1, le=1000)
    patience: int = Field(3, ge=1, description="epochs without better validation recall@100 before stopping")
    seed: int = 7
