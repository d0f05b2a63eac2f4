"""What the training wrote beside the lists: `LISTS.json` with `importance` and `metrics`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import InvalidInput
from jobs.report.report import Training


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # whoever writes it may say more

    importance: dict[str, float] = {}
    metrics: dict[str, float | None] = {}


def read_training(lists: Path) -> Training | None:
    """None: there is no such file. Raises InvalidInput: it is no JSON, or not of this shape."""
    path = lists.with_suffix(".json")
    if not path.exists():
        return None
    try:
        file = _File.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in exc.errors()[:5])
        raise InvalidInput(
            f"{path} does not fit: {faults}. It may hold `importance` (feature: number) and `metrics` (name: number); "
            "move it away to go without"
        ) from exc
    return Training(file.importance, {name: value for name, value in file.metrics.items() if value is not None})
