"""The toy world as a data set of sounds: played melodies and their captions, a finite number of each split."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from genai.core.cache import cache_key
from genai.core.data import Example, PromptFeatures, Source, Split
from genai.media.sound import Sound
from genai.toy.world import melody, synth

Kind = Literal["trained", "unheard", "held_out"]
KINDS: dict[Kind, str] = {
    "trained": "melodies that were trained on",
    "unheard": "melodies that were not trained on, of notes that were",
    "held_out": "melodies with notes never trained on with their instrument",
}

CHUNK = 64
LARGEST = 64 * 2**30
"""Bytes of a set that is played: more is a mistake, or a stranger's wish."""


class ToyAudio(Source):
    """Sounds of the toy world: a second each, of one, two or three notes equally often.

    Held out are, in turn, melodies that are not trained on though each of their notes is, and melodies with a note that
    is not trained on with this instrument at all.

    Args:
        rate: samples a second.
        items: training sounds; another tenth is held out.
        seed: of all that is played.
        score: reads the notes out of a caption; the modality takes it from here.
    """

    media = Sound
    metrics = ("val_loss", "bits_per_sample", "toy_audio", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {"toy_audio": "genai.toy.metrics.audio.Played"}

    def __init__(
        self,
        rate: Annotated[int, Ge(synth.LEAST_RATE), Le(48_000)] = 8_000,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 3_000,
        seed: Annotated[int, Ge(0)] = 0,
        score: PromptFeatures | None = None,
    ) -> None:
        if items * rate * 4 > LARGEST:
            raise ValueError(f"{items:,} sounds of {rate:,} samples are more than {LARGEST // 2**30} GiB")
        self.rate, self.items, self.seed, self.score = rate, items, seed, score
        sets = melody.held_out()
        self.melodies: dict[Kind, list[melody.Melody]] = {
            "trained": sets.trained,
            "unheard": sets.unheard,
            "held_out": sets.strict,
        }

    @property
    def train(self) -> Split:
        return self._split("train", self.items, ("trained",))

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10), ("unheard", "held_out"))

    def asked(self, kind: Kind, count: int, seed: int) -> list[str]:
        """``count`` fresh captions of melodies of ``kind``, naming every attribute."""
        return self._captions((kind,), count, np.random.default_rng([seed, list(KINDS).index(kind)]))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Fresh captions that name every attribute, of the melodies of ``split``."""
        kinds: tuple[Kind, ...] = ("unheard", "held_out") if split.name == "val" else ("trained",)
        return self._captions(kinds, count, np.random.default_rng([seed, len(KINDS), split.name == "val"]))

    @property
    def description(self) -> str:
        trained, unheard, held_out = (len(self.melodies[kind]) for kind in KINDS)
        return (
            f"toy world, {self.items:,} sounds of {trained:,} melodies, {unheard + held_out:,} melodies held out, "
            f"{held_out:,} of them with notes that their instrument is never trained on"
        )

    def _captions(self, kinds: Sequence[Kind], count: int, rng: np.random.Generator) -> list[str]:
        return [melody.caption(each, rng) for each in self._draw(kinds, count, rng)]

    def _draw(self, kinds: Sequence[Kind], count: int, rng: np.random.Generator) -> list[melody.Melody]:
        """Melodies of ``kinds`` in turn; of each, those of one, two and three notes equally often."""
        pools = [_by_count(self.melodies[kind]) for kind in kinds]
        chosen = []
        for index in range(count):
            sizes = pools[index % len(pools)]
            pool = sizes[rng.integers(len(sizes))]
            chosen.append(pool[rng.integers(len(pool))])
        return chosen

    def _split(self, name: str, count: int, kinds: Sequence[Kind]) -> Split:
        @lru_cache(maxsize=2)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            chosen = self._draw(kinds, CHUNK, rng)
            waves = synth.play(chosen, rng, self.rate)
            return [
                Example(Sound(samples, self.rate), melody.caption(each, rng))
                for samples, each in zip(waves, chosen, strict=True)
            ]

        melodies = [repr(each) for kind in kinds for each in self.melodies[kind]]
        about = cache_key("world_sound", 2, name, count, self.rate, self.seed, melodies)
        return Split(name, count, lambda index: chunk(index // CHUNK)[index % CHUNK], about)


def _by_count(melodies: Sequence[melody.Melody]) -> list[list[melody.Melody]]:
    """``melodies`` of one, of two, of three notes; without what there is none of."""
    counts = sorted({len(each.notes) for each in melodies})
    return [[each for each in melodies if len(each.notes) == count] for count in counts]
