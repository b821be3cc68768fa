"""The trainer's half of a checkpoint: optimizers, loops, LR schedule. All of it is checked before Lightning sees it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, MaxLen

from genai.core.errors import CorruptCheckpoint, UserError, join_names, short_repr, short_text
from genai.core.instantiate import validate_value
from genai.inference.build import check_description
from genai.methods.base import Method
from genai.runs.checkpoint import CheckpointHeader, describe_not_finite
from genai.training.optimizers import MuonAdamW
from genai.training.schedule import STATE_KEYS, LRSchedule, Schedule

Count = Annotated[int, Ge(0)]
ENTRIES: dict[str, Any] = {
    "pytorch-lightning_version": Annotated[str, MaxLen(40)],
    "epoch": Count,
    "global_step": Count,
    "loops": dict[str, dict[str, Any]],
    "callbacks": dict[str, Any],
    "optimizer_states": list[dict[str, Any]],
    "lr_schedulers": list[Any],
}
"""What Lightning writes, and types."""
HEADER = ("best", "unlogged", "seconds", "cpu_seconds", "course")
"""What a run needs of the header besides what sampling needs."""
PROGRESS: dict[str, Any] = {
    **dict.fromkeys(("ready", "started", "processed", "completed", "_batches_that_stepped"), Count),
    "is_last_batch": bool,
}
"""Values in the progress of a loop, and types."""


def check_training_state(
    state: Mapping[str, Any],
    num_bytes: int,
    create_optimizers: Callable[[Method], Mapping[str, MuonAdamW]],
    plugins: Sequence[str],
) -> None:
    """Check that training can continue from the content of a checkpoint of ``num_bytes`` bytes.

    Weights and moments are compared with those of the model that it describes, on the meta device.

    Raises:
        CorruptCheckpoint: something is missing, of a wrong type or shape, or not finite.
        UserError: the state belongs to another kind of optimizer.
    """
    header = CheckpointHeader.read(state)
    _, method = check_description(header, state["state_dict"], num_bytes, plugins)
    try:
        for values, names in ((state, ENTRIES), (state["genai"], HEADER), (header.course, STATE_KEYS)):
            if missing := [name for name in names if name not in values]:
                raise UserError(f"it has no {join_names(missing)}.")
        for name, hint in ENTRIES.items():
            validate_value(state[name], hint, name)
        _check_progress(state["loops"].get("fit_loop") or None, "fit_loop")
        LRSchedule.from_state(Schedule(), header.course)
    except UserError as error:
        raise CorruptCheckpoint(f"a run cannot continue from it: {error}") from error
    num_averaged = state["state_dict"].get("ema.n_averaged")
    if num_averaged is None or num_averaged.shape or num_averaged.dtype != torch.int64 or num_averaged < 0:
        raise CorruptCheckpoint("a run cannot continue from it: its ema.n_averaged is no number of steps.")
    check_same_optimizers(create_optimizers(method), state["optimizer_states"], header.step)
    if problem := describe_not_finite({"optimizer_states": state["optimizer_states"]}):
        raise CorruptCheckpoint(f"it has optimizer states that are not numbers: {problem}.")


def check_same_optimizers(optimizers: Mapping[str, MuonAdamW], states: Sequence[Mapping[str, Any]], step: int) -> None:
    """Check that the states after ``step`` steps belong to these optimizers.

    Raises:
        UserError: a state belongs to another kind of optimizer.
        CorruptCheckpoint: the number of states is wrong, or what is in one.
    """
    if len(states) != len(optimizers):
        raise CorruptCheckpoint(f"it has the states of {len(states)} optimizers, not of {len(optimizers)}.")
    for optimizer, state in zip(optimizers.values(), states, strict=True):
        optimizer.check_state(state)
        if step and not state["state"]:
            raise CorruptCheckpoint(f"it has no optimizer state, after {step} steps.")


def known_progress(stored: Any, fresh: Any, path: str) -> Any:
    """Return the progress ``stored`` of a loop in the form that Lightning has for a ``fresh`` one.

    Lightning sets whatever it finds as attributes. Names that it does not have are left out; those that are not stored
    start anew, as after an update of Lightning.

    Raises:
        ValueError: a value has another type.
    """
    if type(stored) is not type(fresh):
        raise ValueError(f"{path}={short_repr(stored)} is no progress of a loop")
    if not isinstance(fresh, dict):
        return stored
    return {name: known_progress(stored.get(name, value), value, f"{path}.{name}") for name, value in fresh.items()}


def _check_progress(value: Any, path: str) -> None:
    """Check the numbers in the progress of a loop. Raises ``UserError``."""
    if not isinstance(value, dict):
        raise UserError(f"{path}={short_repr(value)} is no progress of a loop.")
    for name, part in value.items():
        where = f"{path}.{short_text(name)}"
        if name in PROGRESS:
            validate_value(part, PROGRESS[name], where)
        elif isinstance(part, dict) or str(name).endswith(("progress", "state_dict", "total", "current")):
            _check_progress(part, where)
