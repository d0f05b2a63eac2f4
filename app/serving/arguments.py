"""What the Serve config may set for the application; addresses and secrets come from the environment."""

from pydantic import BaseModel, ConfigDict, Field


class GraphArguments(BaseModel):
    """`args` of the application in the Serve config."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_batch: int = Field(64, ge=1, le=1_024, description="requests that one micro-batch may hold")
    max_in_flight: int = Field(3, ge=1, le=64, description="micro-batches of one ingress replica under way at once")
    wait_ms: float = Field(4.0, ge=0, le=100, description="how long a request waits for company while others run")
    max_waiting: int = Field(1_024, ge=1, description="requests that may wait in one ingress replica; more get 503")
    num_candidates: int = Field(100, ge=1, le=1_000, description="contents that the ranker sees for each learner")
    threads_per_stage: int = Field(1, ge=1, le=64, description="threads that one replica computes with")
