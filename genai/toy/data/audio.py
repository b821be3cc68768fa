"""Sounds of the toy world: rendered melodies with captions."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from genai.core.cache import cache_key
from genai.core.data import Example, PromptFeatures, Source, Split
from genai.media.sound import Sound
from genai.toy.world.melody import Melody, caption_melody, split_melodies
from genai.toy.world.synth import MIN_SAMPLE_RATE, render_melodies

MelodyKind = Literal["train", "new_melodies", "new_notes"]
KIND_DESCRIPTIONS: dict[MelodyKind, str] = {
    "train": "melodies that were trained on",
    "new_melodies": "melodies that were not trained on, of notes that were",
    "new_notes": "melodies with notes never trained on with their instrument",
}

CHUNK_EXAMPLES = 64
"""Examples that are rendered and cached together."""
MAX_BYTES = 64 * 2**30
"""Largest data set, in bytes; a larger request is taken for a mistake."""


class ToyAudio(Source):
    """Sounds of the toy world: one second each, of one, two or three notes with equal probability.

    The validation split alternates between new melodies of notes that were trained on, and melodies with a note that is
    never trained on with this instrument.

    Args:
        sample_rate: in Hz.
        items: number of training sounds; the validation split has a tenth as many.
        seed: random seed of melodies, sounds and captions.
        prompt_features: reads the notes from a caption; the audio modality uses it.
    """

    media = Sound
    metrics = ("val_loss", "bits_per_sample", "toy_audio", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {"toy_audio": "genai.toy.metrics.audio.MelodyPromptAccuracy"}

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(MIN_SAMPLE_RATE), Le(48_000)] = 8_000,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 3_000,
        seed: Annotated[int, Ge(0)] = 0,
        prompt_features: PromptFeatures | None = None,
    ) -> None:
        if items * sample_rate * 4 > MAX_BYTES:
            raise ValueError(f"{items:,} sounds of {sample_rate:,} samples are more than {MAX_BYTES // 2**30} GiB")
        self.sample_rate, self.items, self.seed, self.prompt_features = sample_rate, items, seed, prompt_features
        splits = split_melodies()
        self.melodies: dict[MelodyKind, list[Melody]] = {
            "train": splits.train,
            "new_melodies": splits.new_melodies,
            "new_notes": splits.new_notes,
        }

    @property
    def train(self) -> Split:
        return self._split("train", self.items, ("train",))

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10), ("new_melodies", "new_notes"))

    def kind_prompts(self, kind: MelodyKind, count: int, seed: int) -> list[str]:
        """Draw ``count`` new captions of melodies of ``kind`` that name every attribute."""
        return self._captions((kind,), count, np.random.default_rng([seed, list(KIND_DESCRIPTIONS).index(kind)]))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the melodies of ``split``."""
        kinds: tuple[MelodyKind, ...] = ("new_melodies", "new_notes") if split.name == "val" else ("train",)
        return self._captions(kinds, count, np.random.default_rng([seed, len(KIND_DESCRIPTIONS), split.name == "val"]))

    @property
    def description(self) -> str:
        train, new_melodies, new_notes = (len(self.melodies[kind]) for kind in KIND_DESCRIPTIONS)
        return (
            f"toy world, {self.items:,} sounds of {train:,} melodies, {new_melodies + new_notes:,} melodies held out, "
            f"{new_notes:,} of them with notes that their instrument is never trained on"
        )

    def _captions(self, kinds: Sequence[MelodyKind], count: int, rng: np.random.Generator) -> list[str]:
        return [caption_melody(melody, rng) for melody in self._sample_melodies(kinds, count, rng)]

    def _sample_melodies(self, kinds: Sequence[MelodyKind], count: int, rng: np.random.Generator) -> list[Melody]:
        """Draw melodies, of each of ``kinds`` in turn, and of one, two and three notes with equal probability."""
        pools = [_group_by_count(self.melodies[kind]) for kind in kinds]
        samples = []
        for index in range(count):
            groups = pools[index % len(pools)]
            group = groups[rng.integers(len(groups))]
            samples.append(group[rng.integers(len(group))])
        return samples

    def _split(self, name: str, count: int, kinds: Sequence[MelodyKind]) -> Split:
        @lru_cache(maxsize=2)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            melodies = self._sample_melodies(kinds, CHUNK_EXAMPLES, rng)
            waves = render_melodies(melodies, rng, self.sample_rate)
            return [
                Example(Sound(samples, self.sample_rate), caption_melody(melody, rng))
                for samples, melody in zip(waves, melodies, strict=True)
            ]

        pool = [repr(melody) for kind in kinds for melody in self.melodies[kind]]
        content_hash = cache_key("world_sound", 2, name, count, self.sample_rate, self.seed, pool)
        return Split(name, count, lambda index: chunk(index // CHUNK_EXAMPLES)[index % CHUNK_EXAMPLES], content_hash)


def _group_by_count(melodies: Sequence[Melody]) -> list[list[Melody]]:
    """Group ``melodies`` by their number of notes, in ascending order, without empty groups."""
    counts = sorted({len(melody.notes) for melody in melodies})
    return [[melody for melody in melodies if len(melody.notes) == count] for count in counts]
