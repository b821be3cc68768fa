"""GPT's native generation engine on the CPU: packs the weights for the loop and keeps its state between chunks."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genai.networks.native.formats import FORMATS, GroupedWeight
from genai.networks.native.gpt_arrays import GPTShape, GPTState, GPTWeights, TokenParams
from genai.networks.native.gpt_loop import AFTER_ROTARY, BEFORE_ROTARY, NO_NORM, compile_gpt_loop
from genai.networks.native.packing import pack_matrix
from genai.networks.native.products import BLOCK
from genai.networks.native.token_sampling import TokenSampling
from genai.networks.native.vectors import GELU, GELU_TANH, RELU2, SWIGLU
from genai.networks.native.weight_format import MATRICES, matrix_names
from genai.networks.wavenet.loop import SamplingParams

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
        memory = np.empty(
            starts[-1], np.uint8
        )  # NumPy asks for huge pages, which are read a tenth faster; torch does not
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


def packed_weights(network: Any, kind: str, head_kind: str, stored: dict[str, GroupedWeight]) -> PackedGPT:
    """Return the packed weights of a network, packed again if they have changed."""
    version = kind, head_kind, id(stored), [(x.data_ptr(), x._version) for x in network.parameters()]
    if network not in _packed or _packed[network][0] != version:
        _packed[network] = version, PackedGPT(network, kind, head_kind, stored)
    return _packed[network][1]


class GPTEngine:
    """A generation of several rows. It compiles the loop if that has not been done yet.

    Args:
        network: the GPT.
        packed: its weights.
        logits, caches: of the prompt of each row, as returned by ``network.prefill`` for one row without padding.
        prompts: the tokens of each row, for penalties.
        sampling, params: how tokens are sampled.
    """

    def __init__(
        self,
        network: Any,
        packed: PackedGPT,
        logits: list[Tensor],
        caches: list[Any],
        prompts: list[Tensor],
        sampling: SamplingParams,
        params: TokenParams,
    ) -> None:
        self.network, self.packed, self.sampling, self.params = network, packed, sampling, params
        self.rows = len(logits)
        rows, panels = (1, 4) if self.rows == 1 else (4, 2)
        batch = self.rows + -self.rows % rows
        self.loop = compile_gpt_loop(packed.kind, packed.head_kind, rows, panels)
        capacity = max(cache.keys.shape[-2] for cache in caches)
        shape = packed.shape
        keys = np.zeros((shape.layers, batch, shape.kv_heads, capacity, shape.head_width), np.float32)
        values = np.zeros_like(keys)
        padded_vocab = -(-network.vocab_size // BLOCK) * BLOCK
        state_logits = np.zeros((batch, padded_vocab), np.float32)
        positions, recent = np.zeros(batch, np.int64), np.zeros((batch, network.ngrams - 1), np.int64)
        has_penalty = params.repetition_penalty != 1 or params.presence_penalty != 0
        history = np.zeros((batch, network.vocab_size if has_penalty else 0), np.uint8)
        ended = np.zeros(batch, np.bool_)
        ended[self.rows :] = True
        for row, (row_logits, cache, prompt) in enumerate(zip(logits, caches, prompts, strict=True)):
            own = cache.keys.shape[-2]
            keys[:, row, :, :own], values[:, row, :, :own] = cache.keys[:, 0].numpy(), cache.values[:, 0].numpy()
            state_logits[row, : network.vocab_size] = row_logits[0].numpy()
            positions[row], recent[row] = cache.position, cache.recent[0].numpy()
            if has_penalty:
                history[row, prompt.numpy()] = 1
        self.state = GPTState(
            keys, values, positions, recent, state_logits, history, ended, np.zeros((batch, 0), np.float32)
        )

    @property
    def logits(self) -> Tensor:
        """Logits of the next token, (rows, vocab_size)."""
        return torch.from_numpy(self.state.logits[: self.rows, : self.network.vocab_size])

    @property
    def has_ended(self) -> bool:
        """Whether all rows have ended."""
        return bool(self.state.ended.all())

    def set_bias(self, bias: Tensor) -> None:
        """Add ``bias`` (rows, n) to the logits of the first n tokens, from now on; very low numbers forbid a token."""
        rows = np.zeros((len(self.state.positions), self.network.vocab_size), np.float32)
        rows[: self.rows, : bias.shape[1]] = bias.numpy()
        self.state = self.state._replace(bias=rows)

    @torch.inference_mode()
    def sample(self, uniforms: Tensor) -> Tensor:
        """Sample the next tokens (rows, n) int64 with the random numbers ``uniforms`` (rows, n)."""
        batch, n = len(self.state.positions), uniforms.shape[1]
        padded = F.pad(uniforms.double(), (0, 0, 0, batch - self.rows)).contiguous()
        tokens = np.zeros((batch, n), np.int64)
        self._run(padded.numpy(), tokens, np.zeros((0, 0, 0), np.float32))
        return torch.from_numpy(tokens[: self.rows])

    @torch.inference_mode()
    def teacher_force(self, tokens: Tensor) -> Tensor:
        """Feed ``tokens`` (rows, n) and return the logits after each of them, (rows, n, vocab_size)."""
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.network.vocab_size:
            raise IndexError(f"tokens are from 0 to {self.network.vocab_size - 1}")  # the loop would read out of bounds
        batch = len(self.state.positions)
        padded = F.pad(tokens.long(), (0, 0, 0, batch - self.rows)).contiguous().numpy()
        logits = np.zeros((tokens.shape[1], *self.state.logits.shape), np.float32)
        self._run(np.zeros((0, 0)), padded, logits)
        return torch.from_numpy(logits[:, : self.rows, : self.network.vocab_size]).transpose(0, 1)

    def _run(self, uniforms: np.ndarray, tokens: np.ndarray, logits: np.ndarray) -> None:
        positions = torch.from_numpy(self.state.positions)[:, None] + torch.arange(tokens.shape[1])
        cos, sin = (
            angle.reshape(*positions.shape, -1).contiguous().numpy()
            for angle in self.network._angles(positions.flatten())
        )
        arguments = self.packed.shape, self.packed.weights, self.state, self.sampling, self.params
        self.loop(*arguments, cos, sin, uniforms, tokens, logits)


@torch.inference_mode()
def create_engine(network: Any, prompts: Sequence[Tensor], new: int, sampling: TokenSampling) -> GPTEngine:
    """Create an engine for ``prompts`` (time,), see ``GPT.token_engine``."""
    prompt_states: dict[tuple[int, ...], tuple[Tensor, Any]] = {}
    for prompt in prompts:
        tokens = tuple(prompt.tolist())
        if tokens not in prompt_states:
            prompt_states[tokens] = network.prefill(prompt[None].long(), None, new)
    rows = [prompt_states[tuple(prompt.tolist())] for prompt in prompts]
    params = TokenParams(
        network.vocab_size if sampling.num_tokens is None else min(sampling.num_tokens, network.vocab_size),
        sampling.repetition_penalty,
        sampling.presence_penalty,
        np.array(sampling.end_tokens, np.int64),
    )
    filters = SamplingParams(sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, 1.0)
    kind, head_kind = network.weight_format
    packed = packed_weights(network, kind, head_kind, network.stored_weights)
    logits, caches = [logits for logits, _ in rows], [cache for _, cache in rows]
    return GPTEngine(network, packed, logits, caches, list(prompts), filters, params)
