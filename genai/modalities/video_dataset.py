"""Many clips as one memory-mapped row of frames, and batches of windows of them, of single frames, and of a few."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.data import ItemRandom

LONGEST = 4
"""Windows of an item: a longer clip is several, and the time of each begins anew."""


@dataclass(frozen=True)
class ClipLayout:
    """How clips are stored and cut into training examples.

    Attributes:
        shape: of a frame, (channels, height, width).
        frames, fps: of a window.
        stills, sparse: shares of the batches that are of single frames, and of ``keyframes`` frames.
        keyframes: frames of a sparse example.
    """

    shape: tuple[int, int, int]
    frames: int
    fps: float
    stills: float
    sparse: float
    keyframes: int


class PackedVideo:
    """A split as one memory-mapped row of frames (frames, channels, height, width).

    Item ``i`` is a clip, or ``LONGEST`` windows of one. For validation it is its first window; in training a window of
    it, which begins as often at the item's beginning as if it could begin before it. Some training batches are of
    single frames and of ``ClipLayout.keyframes`` frames from anywhere in a window instead, so many more of them that a
    batch has as many frames: they show more scenes for the same work, and how far things go.
    """

    def __init__(self, path: Path, layout: ClipLayout) -> None:
        self.path, self.layout = path, layout
        self.pixels: NDArray[Any] = np.memmap(path, np.uint8, "r").reshape(-1, *layout.shape)
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        longest = LONGEST * layout.frames
        ends = np.array(about["lengths"], np.int64).cumsum()
        items = [
            (at, min(longest, end - at), prompt)
            for start, end, prompt in zip(ends - about["lengths"], ends, about["prompts"], strict=True)
            for at in range(start, end, longest)
        ]
        self.starts, self.lengths = (np.array(column, np.int64) for column in list(zip(*items, strict=True))[:2])
        self.prompts: list[str] = [prompt for _, _, prompt in items]

    def __len__(self) -> int:
        return len(self.prompts)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "layout": self.layout}  # a worker process maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def clip(self, index: int) -> NDArray[np.uint8]:
        """(time, channels, height, width): all of an item, a view."""
        start = self.starts[index]
        return np.asarray(self.pixels[start : start + self.lengths[index]])

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """``x``: (batch, time, channels, height, width) uint8; ``local``: (batch, time, 1), seconds."""
        items, window = np.asarray(indices), self.layout.frames
        if random is None:
            return self._batch(items, np.broadcast_to(np.arange(window), (len(items), window)))
        count = self._count(random)
        each = window // count
        others = np.floor(random.uniform(each, "others") * len(self)).astype(np.int64)
        others[:, 0] = items
        items = others.ravel()
        spare = np.maximum(self.lengths[items] - window, 0)
        begins = np.floor(random.uniform(each, "window").ravel() * (spare + window * (spare > 0) + 1)).astype(np.int64)
        begins = np.where(spare > 0, begins - window, 0).clip(0)
        chosen = random.uniform(each * window, "frames").reshape(-1, window).argsort(1)[:, :count]
        evenly = random.uniform(each, "evenly").reshape(-1, 1) < 0.5  # as keyframes are
        spaced = np.linspace(0, window - 1, count).round().astype(int)
        at = np.where(evenly & (count > 1), spaced, np.sort(chosen, 1))
        return self._batch(items, begins[:, None] + at)

    def _count(self, random: ItemRandom) -> int:
        """Frames of each example of a batch: its first item draws for all."""
        drawn, layout = random.uniform(purpose="kind")[0, 0], self.layout
        kinds = ((layout.stills, 1), (layout.stills + layout.sparse, min(layout.keyframes, layout.frames)))
        return next((count for share, count in kinds if drawn < share), layout.frames)

    def _batch(self, items: NDArray[np.int64], at: NDArray[np.int64]) -> Batch:
        """Frames ``at`` (batch, time) of ``items``; behind the end of a clip its last one stands and does not count."""
        lengths = self.lengths[items][:, None]
        places = self.starts[items][:, None] + np.minimum(at, lengths - 1)
        valid = at < lengths
        return Batch(
            torch.from_numpy(self.pixels[places]),
            [self.prompts[item] for item in items],
            valid=None if valid.all() else torch.from_numpy(valid),
            local=torch.from_numpy((at / self.layout.fps).astype(np.float32))[..., None],
        )
