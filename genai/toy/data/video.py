"""Clips of the toy world: things that move and bounce, with captions."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.clip import Clip
from genai.toy.world.motion import Motion, caption_motion, motion_cache_text, split_motions
from genai.toy.world.trajectories import render_clips

CHUNK_EXAMPLES = 16
"""Examples that are rendered and cached together."""
MAX_BYTES = 64 * 2**30
"""Largest data set, in bytes; a larger request is taken for a mistake."""


class ToyVideo(Source):
    """Clips of the toy world.

    Args:
        size: side in pixels.
        frames: frames per clip.
        fps: frames per second.
        items: number of training clips; the validation split has a tenth as many, of held-out combinations.
        things: 1, or 2 that pass through each other; never two of the same shape and color.
        val_fraction: fraction of the combinations of one thing's attributes that are held out.
        seed: random seed of motions, clips and captions.
    """

    media = Clip
    metrics = ("val_loss", "motion", "toy_video", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {
        "toy_video": "genai.toy.metrics.video.MotionPromptAccuracy",
        "soundtrack_onsets": "genai.toy.metrics.bounces.SoundtrackOnsets",
        "drift": "genai.toy.metrics.drift.ToyDrift",
    }

    def __init__(
        self,
        size: Annotated[int, Ge(16), Le(512)] = 32,
        frames: Annotated[int, Ge(2), Le(1024)] = 16,
        fps: Annotated[float, Gt(0), Le(240)] = 8.0,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 4_000,
        things: Annotated[int, Ge(1), Le(2)] = 1,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if max(items, CHUNK_EXAMPLES) * frames * size**2 * 3 > MAX_BYTES:
            raise ValueError(
                f"{items:,} clips of {frames} frames of {size} x {size} pixels are more than {MAX_BYTES // 2**30} GiB"
            )
        self.size, self.frames, self.fps, self.items, self.things, self.seed = size, frames, fps, items, things, seed
        self.train_motions, self.val_motions = split_motions(val_fraction)

    @property
    def train(self) -> Split:
        return self._split("train", self.items)

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        return [caption_motion(motion, rng) for motion in self._sample_motions(split.name, count, rng)]

    @property
    def description(self) -> str:
        suffix = " of each thing" if self.things == 2 else ""
        return (
            f"toy world, {self.items:,} clips of {len(self.train_motions)} combinations{suffix}, "
            f"{len(self.val_motions)} combinations held out"
        )

    def _sample_motions(self, name: str, count: int, rng: np.random.Generator) -> list[Motion]:
        """Draw motions of the split ``name``; every thing has one of its combinations."""
        pool = [motion.things[0] for motion in (self.val_motions if name == "val" else self.train_motions)]
        motions = []
        for _ in range(count):
            things = [pool[rng.integers(len(pool))]]
            while len(things) < self.things:
                second = pool[rng.integers(len(pool))]
                if (second.shape, second.color) != (things[0].shape, things[0].color):
                    things.append(second)
            motions.append(Motion(tuple(things)))
        return motions

    def _split(self, name: str, count: int) -> Split:
        @lru_cache(maxsize=4)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            motions = self._sample_motions(name, CHUNK_EXAMPLES, rng)
            clips, _ = render_clips(motions, rng, self.size, self.frames, self.fps)
            pixels = np.ascontiguousarray(clips.transpose(0, 1, 3, 4, 2))
            pairs = zip(pixels, motions, strict=True)
            return [Example(Clip(frames, self.fps), caption_motion(motion, rng)) for frames, motion in pairs]

        pool = self.val_motions if name == "val" else self.train_motions
        settings = [self.size, self.frames, self.fps, self.things, self.seed]
        content_hash = cache_key(
            "world_motion", 1, name, count, settings, [motion_cache_text(motion) for motion in pool]
        )
        return Split(name, count, lambda index: chunk(index // CHUNK_EXAMPLES)[index % CHUNK_EXAMPLES], content_hash)
