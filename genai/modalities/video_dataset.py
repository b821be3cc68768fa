"""Packed data sets of clips: one memory-mapped array of frames; batches of windows, single frames, and keyframes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.data import ItemRandom
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.packed_captions import PackedCaptions

MAX_ITEM_WINDOWS = 4
"""Windows per item; longer clips are split into several items, and time starts again in each."""


@dataclass(frozen=True)
class ClipLayout:
    """How clips are stored and cut into training examples.

    Attributes:
        shape: (channels, height, width) of a frame.
        frames, fps: number of frames in a window, and per second.
        stills, sparse: fractions of the batches that consist of single frames, and of ``keyframes`` frames.
        keyframes: number of frames in a sparse example.
    """

    shape: tuple[int, int, int]
    frames: int
    fps: float
    stills: float
    sparse: float
    keyframes: int


class PackedVideo(MemmapDataset):
    """A split as one memory-mapped array of frames (frames, channels, height, width).

    An item is a clip, or ``MAX_ITEM_WINDOWS`` windows of a longer one. For validation it is reduced to its first
    window. In training it is a random window, whose start is drawn as if it could lie before the start of the item, and
    then clipped. Some training batches consist of single frames, or of ``ClipLayout.keyframes`` frames from anywhere in
    a window; they have more examples, such that the number of frames is the same. So they show more scenes for the same
    compute, and motion over longer times.
    """

    def __init__(self, path: Path, layout: ClipLayout) -> None:
        super().__init__(path, layout)
        self.layout, self.pixels, index = layout, self.memmap(np.uint8, layout.shape), self.read_index()
        item_length = MAX_ITEM_WINDOWS * layout.frames
        ends = np.array(index["lengths"], np.int64).cumsum()
        items = [
            (begin, min(item_length, end - begin), prompt)
            for start, end, prompt in zip(ends - index["lengths"], ends, index["prompts"], strict=True)
            for begin in range(start, end, item_length)
        ]
        self.starts, self.lengths = (np.array(column, np.int64) for column in list(zip(*items, strict=True))[:2])
        self.prompts = PackedCaptions(prompt for _, _, prompt in items)

    def __len__(self) -> int:
        return len(self.prompts)

    def clip(self, index: int) -> NDArray[np.uint8]:
        """Return a view of all frames of an item, (time, channels, height, width)."""
        start = self.starts[index]
        return np.asarray(self.pixels[start : start + self.lengths[index]])

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch.

        Its ``x`` is (batch, time, channels, height, width) uint8; ``local`` is (batch, time, 1), the time of each frame
        in seconds; ``kind`` is ``samples`` for whole windows, ``sparse_clips`` or ``single_frames``.
        """
        items, window = np.asarray(indices), self.layout.frames
        if random is None:
            frames = np.broadcast_to(np.arange(window), (len(items), window))
            return self._batch(items, frames, self.prompts.draw(items.tolist(), None))
        count = self._num_frames(random)
        examples = window // count  # per item of the batch
        item_table = np.floor(random.uniform(examples, "others") * len(self)).astype(np.int64)
        item_table[:, 0] = items
        items = item_table.ravel()
        extra_frames = np.maximum(self.lengths[items] - window, 0)
        offsets = random.uniform(examples, "window").ravel() * (extra_frames + window * (extra_frames > 0) + 1)
        begins = np.where(extra_frames > 0, np.floor(offsets).astype(np.int64) - window, 0).clip(0)
        random_frames = random.uniform(examples * window, "frames").reshape(-1, window).argsort(1)[:, :count]
        use_linspace = random.uniform(examples, "evenly").reshape(-1, 1) < 0.5  # as keyframes are when sampling
        linspace_frames = np.linspace(0, window - 1, count).round().astype(int)
        frames = np.where(use_linspace & (count > 1), linspace_frames, np.sort(random_frames, 1))
        batch = self._batch(items, begins[:, None] + frames, self.prompts.draw(items.tolist(), random))
        return batch if count == window else replace(batch, kind="single_frames" if count == 1 else "sparse_clips")

    def _num_frames(self, random: ItemRandom) -> int:
        """Draw the number of frames per example; the first item of a batch decides for all."""
        number, layout = random.uniform(purpose="kind")[0, 0], self.layout
        kinds = ((layout.stills, 1), (layout.stills + layout.sparse, min(layout.keyframes, layout.frames)))
        return next((count for limit, count in kinds if number < limit), layout.frames)

    def _batch(self, items: NDArray[np.int64], frames: NDArray[np.int64], prompts: list[str]) -> Batch:
        """Build a batch of ``frames`` (batch, time); those after the end of an item repeat its last and are invalid."""
        lengths = self.lengths[items][:, None]
        positions = self.starts[items][:, None] + np.minimum(frames, lengths - 1)
        valid = frames < lengths
        return Batch(
            torch.from_numpy(self.pixels[positions]),
            prompts,
            valid=None if valid.all() else torch.from_numpy(valid),
            local=torch.from_numpy((frames / self.layout.fps).astype(np.float32))[..., None],
        )
