"""How large and how long a world is."""

from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


def start_of_today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class WorldConfig(BaseModel):
    """With a seed, all that a world depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_learners: int = Field(default=2000, ge=1, le=2_000_000)
    num_contents: int = Field(default=1000, ge=20, le=100_000)
    num_days: int = Field(default=180, ge=14, le=3650, description="from the first event to the end")
    end: AwareDatetime = Field(default_factory=start_of_today, description="nothing happens at or after this time")
    events_per_learner: float = Field(default=80.0, ge=4, le=1000, description="on average")

    @property
    def end_s(self) -> int:
        return int(self.end.timestamp())

    @property
    def start_s(self) -> int:
        return int((self.end - timedelta(days=self.num_days)).timestamp())
