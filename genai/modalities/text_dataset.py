"""Texts for training: windows of a memory-mapped array of tokens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from genai.core.batch import Batch
from genai.core.data import ItemRandom
from genai.core.errors import UserError
from genai.modalities.infill import InfillWindows
from genai.modalities.memmap_dataset import MemmapDataset


class PackedText(MemmapDataset):
    """A corpus as one memory-mapped array of tokens; each document is followed by the end token.

    Item ``i`` is the window of ``block + 1`` tokens that starts at ``i * block``; in training it starts up to a block
    later, at random.

    Args:
        path: the file.
        block: length of a window.
        infill: how gaps are made in training; ``None``: no gaps.
        num_tokens: number of different tokens.
    """

    def __init__(
        self, path: Path, block: int, infill: InfillWindows | None = None, num_tokens: int | None = None
    ) -> None:
        super().__init__(path, block, infill, num_tokens)
        self.infill, self.num_tokens = infill, num_tokens
        self.block, self.tokens = block, self.memmap(np.uint16 if path.suffix == ".u2" else np.uint32)

    def __len__(self) -> int:
        return max(1, -(-(len(self.tokens) - 1) // self.block))

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch whose ``x`` is (batch, block + 1); the targets are ``x[:, 1:]``, in training without marks.

        Raises:
            UserError: the file has a token that there is not.
        """
        starts = np.asarray(indices) * self.block
        if random is not None:
            last = max(0, len(self.tokens) - self.block - 1)
            starts = np.minimum(starts + (random.uniform()[:, 0] * self.block).astype(np.int64), last)
        positions = starts[:, None] + np.arange(self.block + 1)
        inside = positions < len(self.tokens)
        x = self.tokens[np.minimum(positions, len(self.tokens) - 1)].astype(np.int64)
        if self.num_tokens is not None and x.max() >= self.num_tokens:
            raise UserError(f"{self.path} has the token {x.max():,}; there are {self.num_tokens:,}.")
        if self.infill and random is not None:
            uniforms = random.uniform(self.infill.num_uniforms(x), "infill")
            rows = [self.infill.reorder(*row) for row in zip(x, uniforms, strict=True)]
            x, is_target = (np.stack(arrays) for arrays in zip(*rows, strict=True))
            inside = inside & is_target
        return Batch(torch.from_numpy(x), valid=None if inside.all() else torch.from_numpy(inside[:, 1:]))
