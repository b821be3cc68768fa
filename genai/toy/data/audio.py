"""Sounds of the toy world: rendered melodies with captions."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from genai.core.data import Example, Split
from genai.core.prompt_features import PromptFeatures
from genai.media.sound import Sound
from genai.toy.data.base import ToySource
from genai.toy.world.melody import Melody, caption_melody, parse_melody, split_melodies
from genai.toy.world.synth import MIN_SAMPLE_RATE, render_melodies

MelodyKind = Literal["train", "new_melodies", "new_notes"]
KIND_DESCRIPTIONS: dict[MelodyKind, str] = {
    "train": "melodies that were trained on",
    "new_melodies": "melodies that were not trained on, of notes that were",
    "new_notes": "melodies with notes never trained on with their instrument",
}
_SPLIT_KINDS: dict[str, tuple[MelodyKind, ...]] = {"train": ("train",), "val": ("new_melodies", "new_notes")}


class ToyAudio(ToySource):
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
    chunk_examples = 64
    content_version = ("world_sound", 2)
    metrics = ("val_loss", "bits_per_sample", "toy_audio", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {"toy_audio": "genai.toy.metrics.audio.MelodyPromptAccuracy"}

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(MIN_SAMPLE_RATE), Le(48_000)] = 8_000,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 3_000,
        seed: Annotated[int, Ge(0)] = 0,
        prompt_features: PromptFeatures | None = None,
    ) -> None:
        super().__init__(items, seed, items * sample_rate * 4, f"sounds of {sample_rate:,} samples")
        self.sample_rate, self.prompt_features = sample_rate, prompt_features
        splits = split_melodies()
        self.melodies: dict[MelodyKind, list[Melody]] = {
            "train": splits.train,
            "new_melodies": splits.new_melodies,
            "new_notes": splits.new_notes,
        }

    def kind_prompts(self, kind: MelodyKind, count: int, seed: int) -> list[str]:
        """Draw ``count`` new captions of melodies of ``kind`` that name every attribute."""
        return self._captions((kind,), count, np.random.default_rng([seed, list(KIND_DESCRIPTIONS).index(kind)]))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the melodies of ``split``."""
        rng = np.random.default_rng([seed, len(KIND_DESCRIPTIONS), split.name == "val"])
        return self._captions(_SPLIT_KINDS[split.name], count, rng)

    def parse(self, prompt: str) -> Sequence[Any]:
        return [parse_melody(prompt)]

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

    def _chunk(self, name: str, number: int) -> list[Example]:
        rng = self._rng(name, number)
        melodies = self._sample_melodies(_SPLIT_KINDS[name], self.chunk_examples, rng)
        pairs = zip(render_melodies(melodies, rng, self.sample_rate), melodies, strict=True)
        return [Example(Sound(samples, self.sample_rate), caption_melody(melody, rng)) for samples, melody in pairs]

    def _hash_parts(self, name: str) -> list[Any]:
        return [self.sample_rate, self.seed, _melody_texts(name)]


@cache
def _melody_texts(name: str) -> list[str]:
    """Return the melodies of a split as texts, by which the data are known."""
    splits = split_melodies()
    return [repr(melody) for kind in _SPLIT_KINDS[name] for melody in getattr(splits, kind)]


def _group_by_count(melodies: Sequence[Melody]) -> list[list[Melody]]:
    """Group ``melodies`` by their number of notes, in ascending order, without empty groups."""
    counts = sorted({len(melody.notes) for melody in melodies})
    return [[melody for melody in melodies if len(melody.notes) == count] for count in counts]
