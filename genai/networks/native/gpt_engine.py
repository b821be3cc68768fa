"""GPT's native generation engine on the CPU: keeps the state of texts, which begin and end at any time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genai.networks.native.gpt_arrays import GPTState, TokenParams
from genai.networks.native.gpt_loop import compile_gpt_loop
from genai.networks.native.packed_gpt import PackedGPT, current_weights
from genai.networks.native.products import BLOCK
from genai.networks.native.prompt_cache import PromptCache
from genai.networks.native.token_sampling import TokenSampling


class GPTEngine:
    """Generation of texts that begin and end at any time, each in a slot. The first call compiles the loop, once.

    Args:
        network: the GPT.
        packed: its weights.
    """

    def __init__(self, network: Any, packed: PackedGPT) -> None:
        self.network, self.packed = network, packed
        self.prompts = PromptCache(network)
        self.free = [0]
        self.state, self.params = self._allocate(1, 1)
        compile_gpt_loop(packed.kind, packed.head_kind, *tile_shape(1))  # raises if numba cannot be used here

    def add(self, prompt: Tensor, new: int, sampling: TokenSampling) -> int:
        """Begin a text, and return its slot.

        Args:
            prompt: its tokens (time,).
            new: maximum number of new tokens.
            sampling: how its tokens are sampled.
        """
        logits, cache = self.prompts.prefill(prompt)
        self.reserve(1, len(prompt) + new)
        self._extend_options(sampling)
        slot, state, params = self.free.pop(), self.state, self.params
        time = cache.keys.shape[-2]
        state.keys[:, slot, :, :time], state.values[:, slot, :, :time] = cache.keys[:, 0], cache.values[:, 0]
        state.logits[slot, : self.network.vocab_size] = logits[0].numpy()
        state.positions[slot], state.recent[slot] = cache.position, cache.recent[0].numpy()
        state.ended[slot], state.bias[slot], state.history[slot] = False, 0, 0
        if state.history.shape[1]:
            state.history[slot, prompt.numpy()] = 1
        vocab_size = self.network.vocab_size
        count = vocab_size if sampling.num_tokens is None else min(sampling.num_tokens, vocab_size)
        for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty"):
            getattr(params, name)[slot] = getattr(sampling, name)
        params.num_tokens[slot], params.ends[slot] = count, -1
        params.ends[slot, : len(sampling.end_tokens)] = sampling.end_tokens
        return slot

    @torch.inference_mode()
    def begin(self, prompts: Sequence[Tensor], new: int, **sampling: Any) -> "GPTBatch":
        """Begin a text for each of ``prompts`` (time,); ``sampling`` are attributes of ``TokenSampling``."""
        return GPTBatch(self, prompts, new, TokenSampling(**sampling))

    def remove(self, slot: int) -> None:
        """End a text: its slot is free."""
        self.state.ended[slot] = True
        self.free.append(slot)

    def logits(self, slots: Sequence[int]) -> Tensor:
        """Return the logits of the next tokens, (slots, vocab_size)."""
        return torch.from_numpy(self.state.logits[list(slots), : self.network.vocab_size])

    @property
    def is_current(self) -> bool:
        """Whether the network still has the weights, in the format, of this engine."""
        return current_weights(self.network) is self.packed

    def has_ended(self, slot: int) -> bool:
        """Return whether a text has reached an end token."""
        return bool(self.state.ended[slot])

    def set_bias(self, slot: int, bias: Tensor) -> None:
        """Add ``bias`` (n,) to the logits of the first n tokens, from now on; very low numbers forbid a token."""
        if not self.state.bias.shape[1]:
            self.state = self.state._replace(
                bias=np.zeros((len(self.state.ended), self.network.vocab_size), np.float32)
            )
        self.state.bias[slot, : len(bias)] = bias.numpy()

    @torch.inference_mode()
    def sample(self, slots: Sequence[int], uniforms: Tensor) -> Tensor:
        """Sample the next tokens (slots, n) int64 with the random numbers ``uniforms`` (slots, n).

        Texts that have ended get their first end token.
        """
        output = np.repeat(np.maximum(self.params.ends[list(slots), :1], 0), uniforms.shape[1], 1)
        rows = [row for row, slot in enumerate(slots) if not self.has_ended(slot)]
        if not rows:
            return torch.from_numpy(output)
        tokens = np.zeros((_padded(len(rows)), uniforms.shape[1]), np.int64)
        padded = F.pad(uniforms[rows].double(), (0, 0, 0, len(tokens) - len(rows))).contiguous()
        self._run([slots[row] for row in rows], padded.numpy(), tokens, np.zeros((0, 0, 0), np.float32))
        output[rows] = tokens[: len(rows)]
        return torch.from_numpy(output)

    @torch.inference_mode()
    def teacher_force(self, slots: Sequence[int], tokens: Tensor) -> Tensor:
        """Feed ``tokens`` (slots, n) and return the logits after each of them, (slots, n, vocab_size)."""
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.network.vocab_size:
            raise IndexError(f"tokens are from 0 to {self.network.vocab_size - 1}")  # the loop would read out of bounds
        padded = F.pad(tokens.long(), (0, 0, 0, _padded(len(slots)) - len(slots))).contiguous().numpy()
        logits = np.zeros((tokens.shape[1], len(padded), self.state.logits.shape[1]), np.float32)
        self._run(slots, np.zeros((0, 0)), padded, logits)
        return torch.from_numpy(logits[:, : len(slots), : self.network.vocab_size]).transpose(0, 1)

    def _run(self, slots: Sequence[int], uniforms: np.ndarray, tokens: np.ndarray, logits: np.ndarray) -> None:
        padding = len(self.state.ended) - 1  # the last slot is of the rows that only fill a tile
        rows = np.array([*slots, *[padding] * (len(tokens) - len(slots))], np.int64)
        self.state.positions[padding] = 0
        positions = torch.from_numpy(self.state.positions[rows])[:, None] + torch.arange(tokens.shape[1])
        cos, sin = (
            angle.reshape(*positions.shape, -1).contiguous().numpy()
            for angle in self.network._angles(positions.flatten())
        )
        loop = compile_gpt_loop(self.packed.kind, self.packed.head_kind, *tile_shape(len(slots)))
        arguments = self.packed.shape, self.packed.weights, self.state, self.params
        loop(*arguments, rows, cos, sin, uniforms, tokens, logits)

    def _allocate(self, slots: int, capacity: int) -> tuple[GPTState, TokenParams]:
        """Return the memory of ``slots`` and of one for padding."""
        shape, network = self.packed.shape, self.network
        count, padded_vocab = slots + 1, -(-network.vocab_size // BLOCK) * BLOCK
        keys = np.zeros((shape.layers, count, shape.kv_heads, capacity, shape.head_width), np.float32)
        state = GPTState(
            keys=keys,
            values=np.zeros_like(keys),
            positions=np.zeros(count, np.int64),
            recent=np.zeros((count, network.ngrams - 1), np.int64),
            logits=np.zeros((count, padded_vocab), np.float32),
            history=np.zeros((count, 0), np.uint8),
            ended=np.ones(count, np.bool_),
            bias=np.zeros((count, 0), np.float32),
        )
        numbers = {name: np.ones(count) for name in TokenParams._fields if name not in ("num_tokens", "top_k", "ends")}
        integers = {name: np.ones(count, np.int64) for name in ("num_tokens", "top_k")}
        return state, TokenParams(**numbers, **integers, ends=np.full((count, 1), -1, np.int64))

    def reserve(self, count: int, time: int) -> None:
        """Make room for ``count`` more texts of ``time`` tokens; the others keep their slots and their state."""
        time = min(time, self.network.block)  # a text that is longer has a sliding window
        old, old_params, used = self.state, self.params, len(self.state.ended) - 1
        if len(self.free) >= count and time <= old.keys.shape[3]:
            return
        missing = max(0, count - len(self.free))
        slots = used + max(missing, used // 2 if missing else 0)  # so that not each text copies all of them
        self.state, self.params = self._allocate(slots, max(time, old.keys.shape[3]))
        self.free = [*reversed(range(used, slots)), *self.free]
        for name in OPTIONAL_ARRAYS:
            array = getattr(old, name)
            self.state = self.state._replace(**{name: np.zeros((slots + 1, array.shape[1]), array.dtype)})
        self.params = self.params._replace(ends=np.full((slots + 1, old_params.ends.shape[1]), -1, np.int64))
        self.state.keys[:, :used, :, : old.keys.shape[3]] = old.keys[:, :used]
        self.state.values[:, :used, :, : old.keys.shape[3]] = old.values[:, :used]
        for name in ("positions", "recent", "logits", "ended", *OPTIONAL_ARRAYS):
            getattr(self.state, name)[:used] = getattr(old, name)[:used]
        for name in TokenParams._fields:
            getattr(self.params, name)[:used] = getattr(old_params, name)[:used]

    def _extend_options(self, sampling: TokenSampling) -> None:
        """Make room for the options of a text: a history for penalties, and its end tokens."""
        has_penalty = sampling.repetition_penalty != 1 or sampling.presence_penalty != 0
        if has_penalty and not self.state.history.shape[1]:
            history = np.zeros((len(self.state.ended), self.network.vocab_size), np.uint8)
            self.state = self.state._replace(history=history)
        missing = len(sampling.end_tokens) - self.params.ends.shape[1]
        if missing > 0:
            ends = np.pad(self.params.ends, ((0, 0), (0, missing)), constant_values=-1)
            self.params = self.params._replace(ends=ends)


OPTIONAL_ARRAYS = ("history", "bias")
"""Arrays of the state that are empty as long as no text needs them."""


def tile_shape(rows: int) -> tuple[int, int]:
    """Return rows and panels of the tiles of a batch (see ``products``)."""
    return (1, 4) if rows == 1 else (4, 2)


def _padded(rows: int) -> int:
    tile_rows, _ = tile_shape(rows)
    return rows + -rows % tile_rows


class GPTBatch:
    """Texts that begin together: rows of a ``GPTEngine``, in order.

    Args:
        prompts: tokens (time,) of each.
        new: maximum number of new tokens.
    """

    def __init__(self, engine: GPTEngine, prompts: Sequence[Tensor], new: int, sampling: TokenSampling) -> None:
        self.engine = engine
        engine.reserve(len(prompts), max(map(len, prompts)) + new)
        self.slots: list[int] = []
        try:
            for prompt in prompts:
                self.slots.append(engine.add(prompt, new, sampling))
        except BaseException:
            self.remove()
            raise

    @property
    def logits(self) -> Tensor:
        """Logits of the next token, (rows, vocab_size)."""
        return self.engine.logits(self.slots)

    @property
    def has_ended(self) -> bool:
        """Whether all rows have ended."""
        return all(self.engine.has_ended(slot) for slot in self.slots)

    def set_bias(self, bias: Tensor) -> None:
        """Add ``bias`` (rows, n) to the logits, see ``GPTEngine.set_bias``."""
        for slot, row in zip(self.slots, bias, strict=True):
            self.engine.set_bias(slot, row)

    def sample(self, uniforms: Tensor) -> Tensor:
        """Sample the next tokens (rows, n), see ``GPTEngine.sample``."""
        return self.engine.sample(self.slots, uniforms)

    def teacher_force(self, tokens: Tensor) -> Tensor:
        """Return the logits after each of ``tokens`` (rows, n), see ``GPTEngine.teacher_force``."""
        return self.engine.teacher_force(self.slots, tokens)

    def remove(self) -> None:
        """End all of them."""
        for slot in self.slots:
            self.engine.remove(slot)


@torch.inference_mode()
def create_engine(network: Any) -> GPTEngine:
    """Create an engine with the network's weights in its format."""
    return GPTEngine(network, current_weights(network))
