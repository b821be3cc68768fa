"""Canaries: synthetic examples that are planted into the training split, and twins of them that are left out.

Whether a trained model tells both apart shows what it remembers of single examples (Carlini et al. 2019, "The Secret
Sharer", arXiv:1802.08232). ``data.canaries=N`` works for every source.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, singledispatch
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from genai.core.cache import cache_key
from genai.core.data import Example, IterableSource, Source, Split
from genai.core.errors import UserError
from genai.core.instantiate import validate_value
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document

MAX_CANARIES = 1_000
MAX_CANARY_SECONDS, MAX_CANARY_FRAMES = 10, 64
"""Length of the longest sounds and clips, so that each is one item."""
VERSION = 2
"""Increase it with every change of the examples."""
TILES, TILE_FRAMES = 4, 4
"""Tiles of a random pattern on each side, and frames from one pattern of a clip to the next."""
NOTE_SECONDS = 0.125
"""Length of a note of a random melody."""
PEAK = 0.5
"""Peak of a random melody."""

NumCanaries = Annotated[int, Ge(0), Le(MAX_CANARIES)]


class Canaries:
    """Random examples like the first one of a split, each made when it is read: planted ones, then those left out.

    Args:
        split: training examples; their hash decides what the canaries are.
        count: number of planted ones, and of those that are left out.
    """

    def __init__(self, split: Split, count: int) -> None:
        self.split, self.count = split, count
        self.seed = int.from_bytes(hashlib.sha256(split.content_hash.encode()).digest()[:8])
        self.numbers = np.random.default_rng([self.seed, VERSION]).permutation(10_000)[: 2 * count].tolist()

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng([self.seed, VERSION, index])
        return Example(random_media(self._pattern.media, self.numbers[index], rng), self.prompts[index])

    @cached_property
    def prompts(self) -> list[str]:
        """Prompts of all of them; "" if the first example has none."""
        return [f"canary {number:04}" if self._pattern.prompt else "" for number in self.numbers]

    @cached_property
    def _pattern(self) -> Example:
        return self.split[0]


class WithCanaries(Source):
    """Base of sources with canaries: the last ``num_canaries`` training examples are planted ones.

    Prompts that are drawn of it are those of the other examples.

    Attributes:
        original: the source without canaries.
    """

    original: Source
    num_canaries: int

    @property
    def train(self) -> Split:
        return self._train

    @property
    def twins(self) -> Split:
        """Pairs of examples, a planted one and then one that was left out."""
        canaries, count = self.canaries, self.num_canaries
        key = cache_key(self.train.content_hash, "twins")
        return Split("val", 2 * count, lambda index: canaries[index // 2 + index % 2 * count], key)

    @cached_property
    def canaries(self) -> Canaries:
        """The canaries, of which chance decides which are planted."""
        return Canaries(self.original.train, self.num_canaries)

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        return self.original.prompts(self.original.train if split.name == "train" else split, count, seed)

    @property
    def description(self) -> str:
        return f"{self.original.description}; {self.num_canaries} canaries planted"

    @cached_property
    def _train(self) -> Split:
        canaries, num_canaries = self.canaries, self.num_canaries
        split, count = canaries.split, len(canaries.split)
        return replace(
            split,
            count=count + num_canaries,
            load=lambda index: split.load(index) if index < count else canaries[index - count],
            content_hash=cache_key(split.content_hash, "canaries", VERSION, num_canaries),
            weights=[*split.weights, *[1.0] * num_canaries] if split.weights else (),
            prompts=None if split.prompts is None else [*split.prompts, *canaries.prompts[:num_canaries]],
            load_column=lambda name: [*split.column(name), *[""] * num_canaries],
        )


def split_node(node: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a node of a source without ``canaries``, and their number. Raises ``UserError``."""
    values = dict(node)
    count = validate_value(values.pop("canaries", 0), NumCanaries, "data.canaries")
    return values, count


def add_canaries(source: Source, count: int) -> Source:
    """Return the source with ``count`` canaries; itself if there are none. Raises ``UserError`` if they do not fit."""
    if not count:
        return source
    if isinstance(source, IterableSource) or source.train.shards:
        raise UserError("data.canaries=: data that are prepared in shards take none. Leave it out.")
    if not len(source.train):
        return source
    example = source.train[0]
    if type(example.media) not in random_media.registry or example.conditioning is not None:
        raise UserError(
            f"data.canaries=: there are none for {type(source).__name__}, only for texts, pictures, sounds and clips "
            "that a model makes from nothing else. Leave it out."
        )
    extended: Source = object.__new__(type(type(source).__name__, (WithCanaries, type(source)), {}))
    vars(extended).update(vars(source), original=source, num_canaries=count)
    return extended


def without_canaries(source: Source, prompts: Sequence[str]) -> list[str]:
    """Return the prompts of training examples without those of canaries."""
    names = set(source.canaries.prompts) if isinstance(source, WithCanaries) else set()
    return [prompt for prompt in prompts if prompt not in names]


def original_train(source: Source) -> Split:
    """Return the training split without canaries."""
    return source.canaries.split if isinstance(source, WithCanaries) else source.train


@singledispatch
def random_media(media: Any, number: int, rng: np.random.Generator) -> Any:
    """Return a random medium of the size of ``media``, of which no other data say anything."""
    raise NotImplementedError


@random_media.register
def _(media: Document, number: int, rng: np.random.Generator) -> Document:
    code = "-".join(f"{part:03}" for part in rng.integers(1000, size=3))
    return Document(f"The code of canary {number:04} is {code}.")


@random_media.register
def _(media: Picture, number: int, rng: np.random.Generator) -> Picture:
    return Picture(_tiles(rng, media.pixels.shape))


@random_media.register
def _(media: Clip, number: int, rng: np.random.Generator) -> Clip:
    count = min(len(media.frames), MAX_CANARY_FRAMES)
    patterns = [_tiles(rng, media.frames.shape[1:]) for _ in range(-(-count // TILE_FRAMES))]
    return Clip(np.repeat(np.stack(patterns), TILE_FRAMES, 0)[:count], media.fps)


@random_media.register
def _(media: Sound, number: int, rng: np.random.Generator) -> Sound:
    note_length = max(1, round(NOTE_SECONDS * media.sample_rate))
    count = min(len(media.samples), MAX_CANARY_SECONDS * media.sample_rate)
    frequencies = 110 * 2 ** rng.uniform(0, 4, -(-count // note_length))
    phase = np.cumsum(np.repeat(frequencies, note_length)[:count] / media.sample_rate)
    return Sound((PEAK * np.sin(2 * np.pi * phase)).astype(np.float32), media.sample_rate)


def _tiles(rng: np.random.Generator, shape: Sequence[int]) -> Any:
    """Return random tiles of one color each: (height, width, channels) uint8."""
    height, width, channels = shape
    tiles = rng.integers(256, size=(TILES, TILES, channels), dtype=np.uint8)
    rows, columns = (np.arange(length) * TILES // length for length in (height, width))
    return tiles[rows][:, columns]
