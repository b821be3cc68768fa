"""Prompts that a network has read: the same prompt is not read again for another text."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

MAX_BYTES = 64 * 2**20
"""Memory of the keys and values that are stored."""


class PromptCache:
    """Keys, values and logits of prompts, the most recently used ones.

    Args:
        network: the GPT.
        max_bytes: memory of all that is stored.
    """

    def __init__(self, network: Any, max_bytes: int = MAX_BYTES) -> None:
        self.network, self.max_bytes, self.num_bytes = network, max_bytes, 0
        self._entries: OrderedDict[tuple[int, ...], tuple[Tensor, Any]] = OrderedDict()

    def prefill(self, prompt: Tensor) -> tuple[Tensor, Any]:
        """Return logits (1, vocab_size) and the KV cache of ``prompt`` (time,), as ``GPT.prefill`` does.

        The cache has no room for further tokens, and must not be changed.
        """
        tokens = tuple(prompt.tolist())
        if tokens in self._entries:
            self._entries.move_to_end(tokens)
            return self._entries[tokens]
        with torch.inference_mode():
            entry = self.network.prefill(prompt[None].long(), None, 0)
        self._entries[tokens] = entry
        self.num_bytes += _entry_bytes(entry)
        while self.num_bytes > self.max_bytes and self._entries:
            _, removed = self._entries.popitem(last=False)
            self.num_bytes -= _entry_bytes(removed)
        return entry


def _entry_bytes(entry: tuple[Tensor, Any]) -> int:
    logits, cache = entry
    return logits.nbytes + cache.keys.nbytes + cache.values.nbytes
