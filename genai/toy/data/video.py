"""The toy world as a data set of clips: things that move and bounce, and captions; a finite number of each split."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.clip import Clip
from genai.toy.world import motion, trajectories

CHUNK = 16
LARGEST = 64 * 2**30
"""Bytes of a set that is drawn: more is a mistake, or a stranger's wish."""


class ToyVideo(Source):
    """Clips of the toy world.

    Args:
        size: of a side, in pixels.
        frames: of a clip.
        fps: frames a second.
        items: training clips; another tenth is held out, of combinations that are not trained on.
        things: 1, or 2 that pass through each other; never two of the same shape and colour.
        held_out: share of the combinations of one thing's attributes that are never trained on.
        seed: of all that is drawn.
    """

    media = Clip
    metrics = ("val_loss", "motion", "toy_video", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {
        "toy_video": "genai.toy.metrics.video.Moving",
        "soundtrack_onsets": "genai.toy.metrics.bounces.Bounces",
        "drift": "genai.toy.metrics.drift.ToyDrift",
    }

    def __init__(
        self,
        size: Annotated[int, Ge(16), Le(512)] = 32,
        frames: Annotated[int, Ge(2), Le(1024)] = 16,
        fps: Annotated[float, Gt(0), Le(240)] = 8.0,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 4_000,
        things: Annotated[int, Ge(1), Le(2)] = 1,
        held_out: Annotated[float, Gt(0), Lt(1)] = 0.1,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if max(items, CHUNK) * frames * size**2 * 3 > LARGEST:
            raise ValueError(
                f"{items:,} clips of {frames} frames of {size} x {size} pixels are more than {LARGEST // 2**30} GiB"
            )
        self.size, self.frames, self.fps, self.items, self.things, self.seed = size, frames, fps, items, things, seed
        self.train_motions, self.val_motions = motion.held_out(held_out)

    @property
    def train(self) -> Split:
        return self._split("train", self.items)

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Fresh captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        return [motion.caption(each, rng) for each in self._draw(split.name, count, rng)]

    @property
    def description(self) -> str:
        both = " of each thing" if self.things == 2 else ""
        return (
            f"toy world, {self.items:,} clips of {len(self.train_motions)} combinations{both}, "
            f"{len(self.val_motions)} combinations held out"
        )

    def _draw(self, name: str, count: int, rng: np.random.Generator) -> list[motion.Motion]:
        """Motions of the split ``name``; each of two things is of its combinations."""
        pool = self.val_motions if name == "val" else self.train_motions
        movers = [each.things[0] for each in pool]
        drawn = []
        for _ in range(count):
            things = [movers[rng.integers(len(movers))]]
            while len(things) < self.things:
                other = movers[rng.integers(len(movers))]
                if (other.shape, other.colour) != (things[0].shape, things[0].colour):
                    things.append(other)
            drawn.append(motion.Motion(tuple(things)))
        return drawn

    def _split(self, name: str, count: int) -> Split:
        @lru_cache(maxsize=4)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            chosen = self._draw(name, CHUNK, rng)
            clips, _ = trajectories.draw(chosen, rng, self.size, self.frames, self.fps)
            frames = np.ascontiguousarray(clips.transpose(0, 1, 3, 4, 2))
            pairs = zip(frames, chosen, strict=True)
            return [Example(Clip(each, self.fps), motion.caption(asked, rng)) for each, asked in pairs]

        pool = self.val_motions if name == "val" else self.train_motions
        look = [self.size, self.frames, self.fps, self.things, self.seed]
        about = cache_key("world_motion", 1, name, count, look, [repr(each) for each in pool])
        return Split(name, count, lambda index: chunk(index // CHUNK)[index % CHUNK], about)
