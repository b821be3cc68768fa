"""LoRA (Hu et al. 2021, arXiv:2106.09685): a frozen weight W becomes W + alpha / rank * B A, and A and B are trained.

Networks know nothing of it: an adapted layer keeps its class, its names and its weight W, and gets a child ``lora``.
Whoever reads ``layer.weight``, as convolutions and the WaveNet's own backward pass do, gets the sum. The forward pass
of a linear layer adds the low-rank product to the output instead, so no gradient of W is computed.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, Len, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from genai.adapters.word_rows import WordRows, speaker_tables, word_tables
from genai.core.errors import UserError, did_you_mean, join_names
from genai.networks.layers import Readout

MAX_WORDS, MAX_PROMPTS = 32, 1_000
"""New words of an adapter, and prompts whose answers it keeps."""

TargetLayer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Embedding


class LowRank(nn.Module):
    """The factors of a low-rank change of a weight of shape (outputs, ...) or, of an embedding, (rows, width).

    Attributes:
        A, B: (rank, inputs) and (outputs, rank); inputs of a convolution include its kernel, those of an embedding are
            its rows.
        scale: of the product, alpha / rank.
        enabled: whether the layer uses it.
    """

    enabled = True

    def __init__(self, layer: TargetLayer, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        weight = layer._parameters["weight"]
        assert weight is not None
        outputs, inputs = (weight.shape[1], weight.shape[0]) if isinstance(layer, nn.Embedding) else _matrix(weight)
        self.A, self.B = nn.Parameter(weight.new_empty(rank, inputs)), nn.Parameter(weight.new_zeros(outputs, rank))
        self.scale, self.dropout = alpha / rank, dropout
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def delta(self, layer: TargetLayer) -> Tensor:
        """Return the change of the weight, in its shape."""
        weight = layer._parameters["weight"]
        assert weight is not None
        product = (self.B @ self.A) * self.scale
        return product.T if isinstance(layer, nn.Embedding) else product.view(weight.shape)

    def forward(self, layer: nn.Linear | nn.Embedding, x: Tensor) -> Tensor:
        """Return the change of the output of ``layer`` for the input ``x``."""
        if isinstance(layer, nn.Embedding):
            return F.embedding(x, self.A.T) @ self.B.T * self.scale
        x = F.dropout(x, self.dropout, self.training)
        return F.linear(F.linear(x, self.A), self.B * self.scale)


class AdaptedLayer:
    """Mixin of a layer with a child ``lora``; see the module docstring."""

    @property
    def weight(self) -> Tensor:
        """The sum of the frozen weight and of its change."""
        layer: Any = self
        weight: Tensor = layer._parameters["weight"]
        return weight + layer.lora.delta(layer) if layer.lora.enabled else weight

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer with the changed weight."""
        layer: Any = self
        plain = _plain_class(type(self).__mro__[2])
        if plain is None:
            return super().forward(x)  # type: ignore[misc]
        weight = layer._parameters["weight"]
        is_linear = plain is nn.Linear
        output = F.linear(x, weight, layer.bias) if is_linear else F.embedding(x, weight, layer.padding_idx)
        return output + layer.lora(layer, x) if layer.lora.enabled else output


def _plain_class(cls: type) -> type | None:
    """Return the class whose forward pass ``cls`` has; ``None`` if it is another, which reads ``weight``.

    So do convolutions: one with as few outputs as the rank takes as long as the whole.
    """
    return next((base for base in (nn.Linear, nn.Embedding) if getattr(cls, "forward", None) is base.forward), None)


@cache
def _adapted_class(cls: type) -> type:
    return type(f"Adapted{cls.__name__}", (AdaptedLayer, cls), {})


class LoRA:
    """Low-rank adapters for the layers of a model.

    Args:
        rank: of the change of each weight.
        alpha: the change is scaled by ``alpha / rank``.
        targets: ends of the names of the layers, such as ``qkv``, or patterns such as ``*.blocks.0.*``; ``None``: all
            linear layers and convolutions but readouts. Embeddings and readouts are adapted if they are named.
        dropout: of the inputs of A in training, in linear layers that are called as such.
        words: new words of prompts, whose rows in the tables of a ``PromptEncoder`` are trained, too.
        preserve: weight of the loss that keeps the answers to other prompts, see ``methods.preservation``; ``None``:
            none of them is kept.
        prompts: those prompts; ``None``: a run takes them from the run of its base.
        speaker: name of a new voice, whose row in the table of speakers is trained, too; ``auto``: the data or their
            folder say it; ``None``: there is none.
    """

    def __init__(
        self,
        rank: Annotated[int, Ge(1), Le(1024)] = 8,
        alpha: Annotated[float, Gt(0), Le(10_000)] = 16.0,
        targets: Sequence[str] | None = None,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        words: Annotated[list[Annotated[str, Len(1, 100)]], Len(1, MAX_WORDS)] | None = None,
        preserve: Annotated[float, Gt(0), Le(1000)] | None = None,
        prompts: Annotated[list[str], Len(1, MAX_PROMPTS)] | None = None,
        speaker: Annotated[str, Len(1, 200)] | None = None,
    ) -> None:
        self.rank, self.alpha, self.targets, self.dropout = rank, alpha, targets, dropout
        self.words, self.preserve, self.prompts = words or [], preserve, prompts or []
        self.speaker = speaker

    def attach(self, module: nn.Module) -> None:
        """Freeze all parameters of ``module``, and give its target layers low-rank ones, and new words and voices rows.

        Raises:
            UserError: a target names no layer, or one that shares its weight; the module has no prompts of words, or no
                voices.
        """
        layers, tables = self._target_layers(module), word_tables(module, self.words)
        if self.speaker is not None:
            tables += speaker_tables(module)
        module.requires_grad_(False)
        for layer in layers:
            _adapt(layer, LowRank(layer, self.rank, self.alpha, self.dropout))
        for table, rows in tables:
            if isinstance(table, AdaptedLayer):
                key, kind = ("words", "words") if self.words else ("speaker", "speakers")
                raise UserError(
                    f"adapter.{key} and adapter.targets: both change the tables of {kind}. Give one of them."
                )
            _adapt(table, WordRows(table, rows))

    def _target_layers(self, module: nn.Module) -> list[Any]:
        left_out = {
            id(x)
            for part in module.modules()
            if getattr(part, "is_frozen", False) or not getattr(part, "takes_adapters", True)
            for x in part.modules()
        }
        targets = ((name, x) for name, x in module.named_modules() if id(x) not in left_out)
        layers = {name: layer for name, layer in targets if _is_target_type(layer)}
        if self.targets is None:
            found = {name: x for name, x in layers.items() if not isinstance(x, Readout | nn.Embedding)}
        else:
            found = {}
            for target in self.targets:
                matches = {name: layer for name, layer in layers.items() if _matches(name, target)}
                if not matches:
                    names = list(dict.fromkeys(name.rpartition(".")[2] for name in layers))
                    hint = did_you_mean(target, names)
                    raise UserError(
                        f"adapter.targets: the model has no layer '{target}'.{hint} It has: {join_names(names)}."
                    )
                found |= matches
        owners: dict[int, list[str]] = {}
        for name, layer in layers.items():
            owners.setdefault(id(layer.weight), []).append(name)
        for name, layer in found.items():
            if other := next((other for other in owners[id(layer.weight)] if other != name), None):
                raise UserError(f"adapter.targets: {name} shares its weight with {other}, so it cannot be adapted.")
        if not found:
            raise UserError("adapter: the model has no layer to adapt.")
        return list(found.values())


def adapted_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the names of the adapted layers, and the layers."""
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, AdaptedLayer))


@contextmanager
def without_adapters(module: nn.Module) -> Iterator[None]:
    """Context in which the layers of ``module`` are those that the adapter changes, bit for bit."""
    adapters = [layer.lora for _, layer in adapted_layers(module)]
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.enabled = True


def merge_adapters(module: nn.Module, factor: float = 1.0) -> None:
    """Add ``factor`` times the change of each adapted layer to its weight, and make it a plain layer again."""
    with torch.no_grad():
        for _, layer in list(adapted_layers(module)):
            layer._parameters["weight"].data = layer._parameters["weight"] + factor * layer.lora.delta(layer)
            del layer.lora
            layer.__class__ = type(layer).__mro__[2]
    module.requires_grad_(True)


def _adapt(layer: nn.Module, adapter: LowRank | WordRows) -> None:
    layer.lora = adapter
    layer.__class__ = _adapted_class(type(layer))  # type: ignore[arg-type]


def _is_target_type(layer: nn.Module) -> bool:
    """Return whether a layer can be adapted: one whose weight is computed, as by ``weight_norm``, cannot."""
    if layer._parameters.get("weight") is None:
        return False
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return layer.groups == 1
    return isinstance(layer, nn.Linear | nn.Embedding)


def _matches(name: str, target: str) -> bool:
    """Return whether a layer's name is, or ends with, ``target``, or matches it as a pattern."""
    return f".{name}".endswith(f".{target}") or fnmatchcase(name, target)


def _matrix(weight: Tensor) -> tuple[int, int]:
    """Return the outputs and the inputs, with the kernel, of a weight (outputs, inputs, ...)."""
    return weight.shape[0], weight.numel() // weight.shape[0]
