"""The toy world as a data set of soundtracks: a note at each bounce of a clip, and the clip beside it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.clip import Clip
from genai.media.sound import Sound
from genai.modalities.visual_onsets import VisualOnsets
from genai.toy.world import motion, soundtrack, synth, trajectories

SIZE, FPS = 32, 8
"""Of the clips: pixels of a side, frames a second."""
FRAMES = (32, 16, 24)
"""Of one chunk of clips after the other: what is heard should not depend on how long a clip is."""

CHUNK = 32
LARGEST = 64 * 2**30
"""Bytes of a set that is drawn and played: more is a mistake, or a stranger's wish."""


class ToySoundtracks(Source):
    """Soundtracks of clips of two to four seconds, in which one thing or two bounce off the walls.

    The prompt of every other one is the caption of its clip; the others have none. Held out are clips of combinations
    of shape, colour, direction and speed that are not trained on.

    Args:
        rate: samples a second.
        items: training soundtracks; another tenth is held out.
        things: that move in a clip, at most; where there may be two, they are two in every other clip.
        seed: of all that is drawn and played.
        sight: sees what happens in a clip; the modality takes it from here.
        sampling: how models of it are best sampled; they take it from here.
    """

    media = Sound
    metrics = ("val_loss", "bits_per_sample", "onsets")
    own_metrics: ClassVar[Mapping[str, str]] = {"onsets": "genai.toy.metrics.onsets.InSync"}

    def __init__(
        self,
        rate: Annotated[int, Ge(synth.LEAST_RATE), Le(48_000)] = 8_000,
        items: Annotated[int, Ge(1), Le(1_000_000)] = 1_500,
        things: Annotated[int, Ge(1), Le(2)] = 2,
        seed: Annotated[int, Ge(0)] = 0,
        sight: VisualOnsets | None = None,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        if items * max(FRAMES) * (rate // FPS * 4 + SIZE**2 * 3) > LARGEST:
            raise ValueError(f"{items:,} soundtracks of {rate:,} samples are more than {LARGEST // 2**30} GiB")
        self.rate, self.items, self.things, self.seed = rate, items, things, seed
        self.sight, self.sampling = sight, sampling
        self.motions = dict(zip(("train", "val"), motion.held_out(), strict=True))

    @property
    def train(self) -> Split:
        return self._split("train", self.items)

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10))

    def score(self, split: Split, index: int) -> list[soundtrack.Note]:
        """What sounds when in example ``index`` of ``split``."""
        return self._chunk(split.name, index // CHUNK)[index % CHUNK][1]

    @property
    def description(self) -> str:
        trained, held_out = (len(self.motions[name]) for name in ("train", "val"))
        return f"toy world, {self.items:,} soundtracks of clips of {trained} motions, {held_out} motions held out"

    def _split(self, name: str, count: int) -> Split:
        about = cache_key("world_soundtrack", 1, name, count, self.rate, self.things, self.seed, FRAMES)
        return Split(name, count, lambda index: self._chunk(name, index // CHUNK)[index % CHUNK][0], about)

    @lru_cache(maxsize=2)  # noqa: B019
    def _chunk(self, name: str, number: int) -> Sequence[tuple[Example, list[soundtrack.Note]]]:
        rng = np.random.default_rng([self.seed, name == "val", number])
        pool, frames = self.motions[name], FRAMES[number % len(FRAMES)]
        drawn = [pool[index].things[0] for index in rng.integers(len(pool), size=2 * CHUNK)]
        chosen = [motion.Motion(tuple(drawn[2 * i : 2 * i + 1 + i % self.things])) for i in range(CHUNK)]
        clips, bounces = trajectories.draw(chosen, rng, SIZE, frames, FPS)
        scores = [soundtrack.score(*pair) for pair in zip(chosen, bounces, strict=True)]
        waves = soundtrack.play(scores, frames / FPS, rng, self.rate)
        captions = [motion.caption(each, rng) if i // 2 % 2 else "" for i, each in enumerate(chosen)]
        examples = [
            Example(Sound(wave, self.rate), caption, Clip(np.moveaxis(clip, 1, 3), FPS))
            for clip, wave, caption in zip(clips, waves, captions, strict=True)
        ]
        return list(zip(examples, scores, strict=True))
