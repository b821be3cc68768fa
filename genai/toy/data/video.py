"""Clips of the toy world: things that move and bounce, with captions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.data import Example, Split
from genai.media.clip import Clip
from genai.toy.data.base import ToySource
from genai.toy.world.motion import Motion, caption_motion, motion_cache_text, parse_motion, split_motions
from genai.toy.world.trajectories import render_clips


class ToyVideo(ToySource):
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
    chunk_examples = 16
    content_version = ("world_motion", 1)
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
        num_bytes = max(items, self.chunk_examples) * frames * size**2 * 3
        super().__init__(items, seed, num_bytes, f"clips of {frames} frames of {size} x {size} pixels")
        self.size, self.frames, self.fps, self.things = size, frames, fps, things
        self.motions = dict(zip(("train", "val"), split_motions(val_fraction), strict=True))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        return [caption_motion(motion, rng) for motion in self._sample_motions(split.name, count, rng)]

    def parse(self, prompt: str) -> Sequence[Any]:
        return parse_motion(prompt).things

    @property
    def description(self) -> str:
        suffix = " of each thing" if self.things == 2 else ""
        return (
            f"toy world, {self.items:,} clips of {len(self.motions['train'])} combinations{suffix}, "
            f"{len(self.motions['val'])} combinations held out"
        )

    def _sample_motions(self, name: str, count: int, rng: np.random.Generator) -> list[Motion]:
        """Draw motions of the split ``name``; every thing has one of its combinations."""
        pool = [motion.things[0] for motion in self.motions[name]]
        motions = []
        for _ in range(count):
            things = [pool[rng.integers(len(pool))]]
            while len(things) < self.things:
                second = pool[rng.integers(len(pool))]
                if (second.shape, second.color) != (things[0].shape, things[0].color):
                    things.append(second)
            motions.append(Motion(tuple(things)))
        return motions

    def _chunk(self, name: str, number: int) -> list[Example]:
        rng = self._rng(name, number)
        motions = self._sample_motions(name, self.chunk_examples, rng)
        clips, _ = render_clips(motions, rng, self.size, self.frames, self.fps)
        pairs = zip(np.ascontiguousarray(clips.transpose(0, 1, 3, 4, 2)), motions, strict=True)
        return [Example(Clip(frames, self.fps), caption_motion(motion, rng)) for frames, motion in pairs]

    def _hash_parts(self, name: str) -> list[Any]:
        motions = [motion_cache_text(motion) for motion in self.motions[name]]
        return [[self.size, self.frames, self.fps, self.things, self.seed], motions]
