"""Tensors in nested dictionaries and lists, as in a checkpoint, with their paths as names."""

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def named_tensors(value: Any, name: str = "") -> Iterator[tuple[str, "Tensor"]]:
    """Yield the tensors in mappings and lists, with their paths, such as ``optimizer_states.0.state.3.momentum``."""
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(part, torch.Tensor | dict | list):
                yield from named_tensors(part, f"{name}.{key}" if name else str(key))


def map_tensors(value: Any, function: Callable[[str, "Tensor"], "Tensor"], name: str = "") -> Any:
    """Return a copy of mappings and lists in which ``function(path, tensor)`` stands for each tensor."""
    import torch

    if isinstance(value, torch.Tensor):
        return function(name, value)
    if not isinstance(value, dict | list):
        return value
    result: Any = copy.copy(value)  # keeps the attributes of a module's state
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        result[key] = map_tensors(part, function, f"{name}.{key}" if name else str(key))
    return result
