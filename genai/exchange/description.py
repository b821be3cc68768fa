"""Descriptions of models of other tools as config nodes, from which training builds them again."""

from typing import TYPE_CHECKING, Any, cast

from genai.networks.gpt import GPT
from genai.runs.checkpoint import CheckpointHeader

if TYPE_CHECKING:
    from genai.exchange.pretrained import PretrainedModel


def network_arguments(network: GPT) -> dict[str, Any]:
    """Return the arguments that build the network."""
    shape = network.shape
    return {
        "vocab_size": network.vocab_size,
        "block": network.block,
        "layers": len(network.blocks),
        **{name: value for name, value in vars(shape).items() if name != "dropout"},
        "ngrams": network.ngrams,
        "positions": "rotary" if network.positions is None else "learned",
        "rotary_base": network.rotary_base,
        "rotary_fraction": network.rotary_width / shape.head_width if network.positions is None else 1.0,
        "rotary_scaling": network.rotary_scaling,
        "tied": network.readout.weight is network.embedding.weight,
        "embedding_norm": network.has_embedding_norm,
        "softcap": network.softcap,
    }


def pretrained_header(model: "PretrainedModel") -> CheckpointHeader:
    """Return the header that a checkpoint of the model would have."""
    modality, method = model.modality, model.method
    network = cast(GPT, method.network)
    arguments = {name: x for name, x in network_arguments(network).items() if name not in modality.interface}
    return CheckpointHeader(
        model={"_target_": _target(method), "network": {"_target_": _target(network), **arguments}}
        | ({"sampling": dict(method.sampling)} if method.sampling else {}),
        modality={"_target_": _target(modality), **modality.interface, "end_ids": list(modality.end_ids)},
        modality_state=modality.state(),
        interface=modality.interface,
        step=0,
    )


def _target(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"
