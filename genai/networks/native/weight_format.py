"""The format in which the weights of a GPT are read while it generates: a rung of the ladder of decoding."""

from importlib.util import find_spec
from typing import Any

from torch import nn

from genai.networks.native.formats import GroupedWeight, round_weights

MATRICES = ("qkv", "attention_out", "up", "down")
"""Layers of a block whose weights are matrices."""


def matrix_names(network: Any) -> list[str]:
    """Return the names of the blocks' matrices."""
    return [f"blocks.{index}.{name}" for index in range(len(network.blocks)) for name in MATRICES]


def set_weight_format(network: Any, kind: str) -> None:
    """Round the matrices of a GPT to a format, in which they are also read.

    Every rung then has the same weights: the native loop, and the network itself. With ``int4`` the readout has 8 bits.

    Args:
        network: the GPT.
        kind: of ``FORMATS``.
    """
    head_kind = "int8" if kind == "int4" else kind
    kinds = {**dict.fromkeys(matrix_names(network), kind), "readout": head_kind}
    for name, matrix_kind in kinds.items():
        layer, own = network.get_submodule(name), network.stored_weights.get(f"{name}.weight")
        if matrix_kind == "float32" or (own is not None and own.format == matrix_kind):
            continue
        layer.weight = nn.Parameter(round_weights(layer.weight, matrix_kind), layer.weight.requires_grad)
    network.weight_format = (kind, head_kind)


def store_weights(network: Any, stored: dict[str, GroupedWeight]) -> None:
    """Let a GPT read matrices as they are in a file, if all of its blocks have the same format there.

    Args:
        network: the GPT, with these weights in float32.
        stored: by the names of parameters.
    """
    kinds = {stored[key].format if (key := f"{name}.weight") in stored else "float32" for name in matrix_names(network)}
    if len(kinds) != 1 or kinds == {"float32"}:
        return
    head = stored.get("readout.weight")
    network.stored_weights = stored
    network.weight_format = (kinds.pop(), head.format if head else "float32")


def reset_weight_format(network: Any) -> None:
    """Read the weights of a GPT as they are now, in float32: they are no longer those of a file; others stay."""
    if hasattr(network, "weight_format"):
        network.weight_format, network.stored_weights = ("float32", "float32"), {}


def describe_rung(network: Any) -> str:
    """Return how a GPT generates: ``"native loop, int8 weights"``; "" for other networks."""
    if not hasattr(network, "weight_format"):
        return ""
    is_on_cpu = network.embedding.weight.device.type == "cpu"
    is_native = is_on_cpu and network.has_native_loop and find_spec("numba") is not None
    kind, head_kind = network.weight_format
    readout = "" if kind == head_kind else f", readout {head_kind}"
    return f"{'native loop' if is_native else 'step by step'}, {kind} weights{readout}"
