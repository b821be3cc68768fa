"""The weights of a GPT in the layout of the native loop."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genai.networks.native.formats import FORMATS, GroupedWeight
from genai.networks.native.gpt_arrays import GPTShape, GPTWeights
from genai.networks.native.gpt_loop import AFTER_ROTARY, BEFORE_ROTARY, NO_NORM
from genai.networks.native.packing import pack_matrix
from genai.networks.native.products import BLOCK
from genai.networks.native.vectors import GELU, GELU_TANH, RELU2, SWIGLU
from genai.networks.native.weight_format import MATRICES, matrix_names

ACTIVATIONS = {"relu2": RELU2, "gelu": GELU, "gelu_tanh": GELU_TANH, "swiglu": SWIGLU}
QK_NORMS = {"none": NO_NORM, "before_rotary": BEFORE_ROTARY, "after_rotary": AFTER_ROTARY}


class PackedGPT:
    """The weights of a network in the layout of the loop.

    Args:
        network: the GPT.
        kind, head_kind: formats of the blocks' matrices and of the readout, of ``FORMATS``.
        stored: matrices of a file by the names of their parameters, which are taken as they are.
    """

    def __init__(self, network: Any, kind: str, head_kind: str, stored: dict[str, GroupedWeight] | None = None) -> None:
        self.kind, self.head_kind, stored = FORMATS[kind], FORMATS[head_kind], stored or {}
        self.shape = loop_shape(network)
        kinds = {**dict.fromkeys(matrix_names(network), kind), "readout": head_kind}
        packed = []
        for name, matrix_kind in kinds.items():
            matrix, own = network.get_submodule(name).weight, stored.get(f"{name}.weight")
            is_own = own is not None and own.format == matrix_kind and own.dequantize().equal(matrix)
            packed.append(pack_matrix(own if own is not None and is_own else matrix, matrix_kind))
        starts = np.cumsum([0, *(len(part) for part in packed)])
        # NumPy asks for huge pages, which are read a tenth faster; torch does not.
        memory = np.empty(starts[-1], np.uint8)
        for start, part in zip(starts[:-1], packed, strict=True):
            memory[start : start + len(part)] = part.numpy()
        self.weights = GPTWeights(memory, starts[:-1].astype(np.int64), *_vectors(network))


def loop_shape(network: Any) -> GPTShape:
    """Return the sizes and options of a network."""
    shape = network.shape
    default_eps = 1e-5 if shape.norm == "layer" else torch.finfo(torch.float32).eps
    eps = default_eps if shape.eps is None else shape.eps
    rms_eps = torch.finfo(torch.float32).eps if shape.eps is None else shape.eps
    return GPTShape(
        layers=len(network.blocks),
        width=shape.width,
        hidden=shape.hidden,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_width=shape.head_width,
        rotary_half=network.rotary_width // 2,
        is_layer_norm=shape.norm == "layer",
        eps=float(eps),
        has_embedding_norm=network.has_embedding_norm,
        embedding_eps=float(rms_eps),
        qk_norm=QK_NORMS[shape.qk_norm],
        qk_eps=float(rms_eps),
        qk_gain=float(shape.qk_gain),
        activation=ACTIVATIONS[shape.activation],
        has_mix=shape.embedding_mix,
        is_parallel=shape.parallel,
        softcap=float(network.softcap or 0.0),
        vocab_size=network.vocab_size,
        ngram_rows=network.ngram_rows,
    )


def _vectors(network: Any) -> list[np.ndarray]:
    """Return the fields of ``GPTWeights`` that are no matrices."""
    shape, width = network.shape, network.shape.width
    blocks: list[Any] = list(network.blocks)
    tables: list[Any] = list(network.ngram_embeddings)

    def array(x: Tensor) -> np.ndarray:
        copy = x.detach().float().clone()  # numpy would fix the size of a parameter's storage, which FSDP changes
        return np.ascontiguousarray(copy.numpy())

    def norm(module: Any) -> Tensor:
        weight = torch.ones(width) if getattr(module, "weight", None) is None else module.weight
        bias = torch.zeros(width) if getattr(module, "bias", None) is None else module.bias
        return torch.stack([weight, bias])

    def biases(name: str) -> np.ndarray:
        layers = [getattr(block, name) for block in blocks]
        rows = [torch.zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers]
        return array(F.pad(torch.stack(rows), (0, -layers[0].out_features % BLOCK)))

    has_qk_weights = shape.qk_norm == "before_rotary"
    qk_norms = [
        torch.stack([block.q_norm.weight, block.k_norm.weight]) if has_qk_weights else torch.ones(2, shape.head_width)
        for block in blocks
    ]
    return [
        array(network.embedding.weight),
        array(torch.zeros(0, width) if network.positions is None else network.positions.weight),
        array(torch.stack([table.weight for table in tables]) if tables else torch.zeros(0, 1, width)),
        array(torch.stack([torch.cat([norm(b.attention_norm), norm(b.feed_forward_norm)]) for b in blocks])),
        array(norm(network.norm)),
        array(torch.stack(qk_norms)),
        *(biases(name) for name in MATRICES),
        array(torch.stack([b.mix if shape.embedding_mix else torch.ones(2) for b in blocks])),
    ]


_packed: WeakKeyDictionary[Any, tuple[Any, PackedGPT]] = WeakKeyDictionary()


def current_weights(network: Any) -> PackedGPT:
    """Return the packed weights of a network in its format, packed again if they have changed."""
    kind, head_kind = network.weight_format
    numbers = [(x.data_ptr(), 0 if x.is_inference() else x._version) for x in network.parameters()]
    version = kind, head_kind, id(network.stored_weights), numbers
    if network not in _packed or _packed[network][0] != version:
        _packed[network] = version, PackedGPT(network, kind, head_kind, network.stored_weights)
    return _packed[network][1]
