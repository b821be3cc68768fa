"""Types and ranges of the plain keys of ``configs/train.yaml``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError
from genai.core.instantiate import parse_dataclass
from genai.core.limits import check_processes
from genai.core.plain_data import AllowInfNan

Count = Annotated[int, Ge(1)]
DEFAULT_MINUTES = 5.0


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a run; ``configs/train.yaml`` explains each key."""

    batch: Count
    accumulate: Count
    seed: Annotated[int, Ge(0), Lt(2**31)]
    grad_clip: Annotated[float, AllowInfNan, Gt(0)]  # infinite: no clipping
    ema: Annotated[float, Ge(0), Lt(1)]
    val_every: Count
    val_items: Count | None
    virtual_ranks: Count
    preview_every: int | str
    checkpoint_every: int | str
    log_every: Count
    prompts: Sequence[str]
    runs: str
    workers: Annotated[int, Ge(0)]
    plugins: Sequence[str]
    steps: Count | None = None
    minutes: Annotated[float, Gt(0), Le(525_600)] | None = None
    resume: str | None = None
    init_from: str | None = None
    rewards: Sequence[str] | Mapping[str, float | Mapping[str, Any]] | None = None
    name: str | None = None
    fast_dev_run: Count | None = None
    overfit_items: Count | None = None
    profile: bool = False
    label: bool | None = None
    codec: str | None = None
    subject: Mapping[str, str] | None = None
    copying_check: bool = True

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "TrainSettings":
        """Build the settings from the plain keys. Raises ``UserError``."""
        return parse_dataclass(cls, values).resolve_length()

    def resolve_length(self) -> "TrainSettings":
        """Return settings with ``steps`` or ``minutes`` set. Raise ``UserError`` if keys contradict each other."""
        if self.steps and self.minutes:
            raise UserError(f"steps={self.steps} and minutes={self.minutes:g}: give one, and the other as null.")
        if self.accumulate > self.batch:
            raise UserError(
                f"accumulate={self.accumulate}: a batch of {self.batch} splits into {self.batch} parts at most."
            )
        check_processes(self.workers, "workers")
        return self if self.steps or self.minutes else replace(self, minutes=DEFAULT_MINUTES)
