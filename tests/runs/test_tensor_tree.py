"""Tensors in nested values."""

from collections import OrderedDict

import torch

from genai.runs.tensor_tree import map_tensors, named_tensors


def test_tensors_are_named_by_their_paths_and_replaced_in_a_copy() -> None:
    weights: OrderedDict[str, torch.Tensor] = OrderedDict(a=torch.ones(2))
    weights._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    state = {"weights": weights, "states": [{0: {"m": torch.zeros(1)}}, 3], "betas": (0.9,)}
    assert [name for name, _ in named_tensors(state)] == ["weights.a", "states.0.0.m"]
    seen = []

    def double(name: str, tensor: torch.Tensor) -> torch.Tensor:
        seen.append(name)
        return tensor * 2

    copy = map_tensors(state, double)
    assert seen == ["weights.a", "states.0.0.m"]
    assert copy["weights"]["a"].tolist() == [2, 2] and weights["a"].tolist() == [1, 1]
    assert copy["weights"]._metadata == {"": {"version": 1}} and isinstance(copy["weights"], OrderedDict)
    assert copy["states"][1] == 3 and copy["betas"] == (0.9,)
    copy["states"].append(4)
    assert len(state["states"]) == 2
