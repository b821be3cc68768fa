"""Options that name tokens by their ids: which end a text, and what is added to their logits."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Len
from pydantic import BeforeValidator
from torch import Tensor

from genai.core.errors import UserError

TokenID = Annotated[int, Ge(0), Le(2_000_000)]


def _with_integer_keys(value: Any) -> Any:
    """Return a mapping with whole numbers in place of texts as keys, which JSON makes of them."""
    if not isinstance(value, Mapping):
        return value
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: each for key, each in value.items()}


LogitBiases = Annotated[
    Mapping[TokenID, Annotated[float, Ge(-100), Le(100)]], BeforeValidator(_with_integer_keys), Len(0, 10_000)
]
StopIDs = Annotated[Sequence[TokenID], Len(0, 64)]


def bias_vector(biases: Mapping[int, float], num_classes: int) -> Tensor | None:
    """Return biases by token id as (classes,); ``None``: there are none. Raises ``UserError`` for an unknown id."""
    if not biases:
        return None
    check_ids("logit_bias", biases, num_classes)
    vector = torch.zeros(num_classes)
    for index, bias in biases.items():
        vector[index] = -math.inf if bias == -100 else bias
    if vector.max() == -math.inf:
        raise UserError("logit_bias=: it forbids every token.")
    return vector


def check_ids(name: str, ids: Collection[int], num_classes: int) -> None:
    """Raise ``UserError`` if there is no such token."""
    if ids and max(ids) >= num_classes:
        raise UserError(f"{name}=: there is no token {max(ids)}; the last one is {num_classes - 1}.")
