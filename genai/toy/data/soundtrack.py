"""Soundtracks of toy clips: a note at each bounce; the clip is the conditioning."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from genai.core.data import Example, Split
from genai.media.clip import Clip
from genai.media.sound import Sound
from genai.modalities.visual_onsets import VisualOnsets
from genai.toy.data.base import ToySource
from genai.toy.world.motion import Motion, caption_motion, parse_motion, split_motions
from genai.toy.world.soundtrack import Note, bounce_notes, render_soundtracks
from genai.toy.world.synth import MIN_SAMPLE_RATE
from genai.toy.world.trajectories import render_clips

CLIP_SIZE, CLIP_FPS = 32, 8
"""Side of the clips in pixels, and their frames per second."""
CLIP_FRAMES = (32, 16, 24)
"""Frames per clip, in turn from chunk to chunk: soundtracks should not depend on the length of a clip."""


class ToySoundtracks(ToySource):
    """Soundtracks of clips of two to four seconds, in which one or two things bounce off the walls.

    Half of the prompts are the caption of the clip, the others are empty. The validation split has clips of held-out
    combinations of shape, color, direction and speed.

    Args:
        sample_rate: in Hz.
        items: number of training soundtracks; the validation split has a tenth as many.
        things: most things in a clip; 2: every other clip has two.
        seed: random seed of motions, clips, soundtracks and captions.
        clip_features: extracts visual features from a clip; the audio modality uses it.
        sampling: default sampling options of models for these data.
    """

    media = Sound
    chunk_examples = 32
    content_version = ("world_soundtrack", 1)
    metrics = ("val_loss", "bits_per_sample", "onsets")
    own_metrics: ClassVar[Mapping[str, str]] = {"onsets": "genai.toy.metrics.onsets.OnsetF1"}

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(MIN_SAMPLE_RATE), Le(48_000)] = 8_000,
        items: Annotated[int, Ge(1), Le(1_000_000)] = 1_500,
        things: Annotated[int, Ge(1), Le(2)] = 2,
        seed: Annotated[int, Ge(0)] = 0,
        clip_features: VisualOnsets | None = None,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        num_bytes = items * max(CLIP_FRAMES) * (sample_rate // CLIP_FPS * 4 + CLIP_SIZE**2 * 3)
        super().__init__(items, seed, num_bytes, f"soundtracks of {sample_rate:,} samples")
        self.sample_rate, self.things = sample_rate, things
        self.clip_features, self.sampling = clip_features, sampling
        self.motions = dict(zip(("train", "val"), split_motions(), strict=True))

    def notes(self, split: Split, index: int) -> list[Note]:
        """Return the notes of example ``index`` of ``split``."""
        return self._render(split.name, index // self.chunk_examples)[index % self.chunk_examples][1]

    def parse(self, prompt: str) -> Sequence[Any]:
        return parse_motion(prompt).things

    @property
    def description(self) -> str:
        train_count, val_count = (len(self.motions[name]) for name in ("train", "val"))
        return f"toy world, {self.items:,} soundtracks of clips of {train_count} motions, {val_count} motions held out"

    def _chunk(self, name: str, number: int) -> list[Example]:
        return [example for example, _ in self._render(name, number)]

    def _hash_parts(self, name: str) -> list[Any]:
        return [self.sample_rate, self.things, self.seed, CLIP_FRAMES]

    @lru_cache(maxsize=2)  # noqa: B019
    def _render(self, name: str, number: int) -> Sequence[tuple[Example, list[Note]]]:
        rng = self._rng(name, number)
        pool, frames = self.motions[name], CLIP_FRAMES[number % len(CLIP_FRAMES)]
        things = [pool[index].things[0] for index in rng.integers(len(pool), size=2 * self.chunk_examples)]
        motions = [Motion(tuple(things[2 * i : 2 * i + 1 + i % self.things])) for i in range(self.chunk_examples)]
        clips, bounces = render_clips(motions, rng, CLIP_SIZE, frames, CLIP_FPS)
        notes = [bounce_notes(*pair) for pair in zip(motions, bounces, strict=True)]
        waves = render_soundtracks(notes, frames / CLIP_FPS, rng, self.sample_rate)
        captions = [caption_motion(motion, rng) if i // 2 % 2 else "" for i, motion in enumerate(motions)]
        examples = [
            Example(Sound(wave, self.sample_rate), caption, Clip(np.moveaxis(clip, 1, 3), CLIP_FPS))
            for clip, wave, caption in zip(clips, waves, captions, strict=True)
        ]
        return list(zip(examples, notes, strict=True))
