"""Grammar of toy motions: one or two moving things, captions in several phrasings, and a parser of captions.

In captions "left" and "right" are directions, never places. The start position of a thing is random and not named.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from genai.toy.world.grammar import Grammar, draw_word, split_keys, things_cache_text, unique_values
from genai.toy.world.scene import COLORS, SHAPES
from genai.toy.world.words import join_words, with_article

DIRECTIONS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "down-right": (1, 1),
    "down": (0, 1),
    "down-left": (-1, 1),
    "left": (-1, 0),
    "up-left": (-1, -1),
    "up": (0, -1),
    "up-right": (1, -1),
}
"""Direction before the first bounce as (x, y), in steps of 45 degrees; y points down."""
SPEEDS: dict[str, tuple[float, float]] = {"slow": (0.125, 0.1875), "fast": (0.4, 0.5)}
"""Range in sides per second; at 32 pixels and 8 fps this is 0.5-0.75 and 1.6-2 pixels per frame."""


@dataclass(frozen=True)
class MovingThing:
    """A colored shape that moves; an attribute that is ``None`` is free. Raises ``ValueError`` for an unknown value."""

    shape: str | None = None
    color: str | None = None
    direction: str | None = None
    speed: str | None = None

    def __post_init__(self) -> None:
        _GRAMMAR.check_values(self)


@dataclass(frozen=True)
class Motion:
    """One or two moving things. Raises ``ValueError`` for another number."""

    things: tuple[MovingThing, ...]

    def __post_init__(self) -> None:
        if len(self.things) not in (1, 2):
            raise ValueError(f"a motion has one thing or two, not {len(self.things)}")

    @property
    def is_complete(self) -> bool:
        """Whether no attribute is free."""
        return all(getattr(thing, name) is not None for thing in self.things for name in ATTRIBUTES)


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "color": tuple(COLORS),
    "direction": tuple(DIRECTIONS),
    "speed": tuple(SPEEDS),
}


def motion_cache_text(motion: Motion) -> str:
    """Return ``motion`` as text for cache keys. Its format must not change: data sets are known by their hash."""
    return f"Motion({things_cache_text('Mover', motion.things)})"


# Captions. The words below are what people type; data sets depend on them.

ANY_SHAPE = "thing"
_DIRECTION_WORDS: dict[str, tuple[str, ...]] = {
    "left": ("left", "to the left", "leftwards"),
    "right": ("right", "to the right", "rightwards"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
_DIRECTION_WORDS |= {
    diagonal: (diagonal, f"{first} and {second}", f"{first} and to the {second}")
    for diagonal, (first, second) in ((name, name.split("-")) for name in DIRECTIONS if "-" in name)
}
"""Synonyms of a direction in captions."""
_ADVERBS: dict[str, tuple[str, ...]] = {"slow": ("slowly", "slow"), "fast": ("fast", "quickly")}
_ADJECTIVES: dict[str, tuple[str, ...]] = {"slow": ("slow",), "fast": ("fast", "quick")}

_ALIASES: dict[str, tuple[str, ...]] = {
    "circle": ("disc", "disk", "ball"),
    "square": ("box",),
    "ring": ("hoop",),
    "cross": ("plus",),
    "left": ("leftwards", "leftward"),
    "right": ("rightwards", "rightward"),
    "up": ("upwards", "upward"),
    "down": ("downwards", "downward"),
    "slow": ("slowly", "gently"),
    "fast": ("quickly", "quick", "rapidly", "rapid"),
    ANY_SHAPE: ("object", "shape", "something"),
}
"""Single words that ``parse_motion`` accepts for a value besides its own name."""

_LINK_WORDS = frozenset(("and", "while"))
_DIRECTION_AXES = {"left": "horizontal", "right": "horizontal", "up": "vertical", "down": "vertical"}
_GRAMMAR = Grammar(
    ATTRIBUTES,
    _ALIASES,
    "and while a an the one there is there's it that which in to towards of with diagonally move moves moving go goes"
    " going travels travelling flies flying colour color",
    {word: (axis, word) for word, axis in _DIRECTION_AXES.items()} | {ANY_SHAPE: (ANY_SHAPE, ANY_SHAPE)},
)
VOCABULARY: tuple[str, ...] = _GRAMMAR.vocabulary
"""Every word that ``parse_motion`` knows; captions use some of them. "up-left" is two words."""


def caption_motion(motion: Motion, rng: np.random.Generator) -> str:
    """Draw a caption of ``motion`` in one of five phrasings, with synonyms. It names exactly the set attributes."""
    link = (" and ", " while ")[rng.integers(2)]
    return link.join(_caption_thing(thing, rng) for thing in motion.things)


def _caption_thing(thing: MovingThing, rng: np.random.Generator) -> str:
    shape = thing.shape or ANY_SHAPE
    direction, adverb = draw_word(_DIRECTION_WORDS, thing.direction, rng), draw_word(_ADVERBS, thing.speed, rng)
    label = join_words(thing.color, shape)
    return (
        join_words(with_article(label), "moving", direction, adverb),
        join_words(with_article(join_words(draw_word(_ADJECTIVES, thing.speed, rng), label)), "going", direction),
        join_words("the", shape, thing.color and f"is {thing.color} and", "moves", direction, adverb),
        ", ".join(words for words in (label, direction, adverb) if words),
        join_words("there is", with_article(label), "that moves", adverb, direction),
    )[rng.integers(5)]


def parse_motion(text: str) -> Motion:
    """Parse a caption: the inverse of ``caption_motion``, regardless of case, punctuation and articles.

    Raises:
        ValueError: for an unknown word (the message names the most similar known one), no thing or more than two, or
            two values of one attribute.
    """
    words = re.findall(r"[^\W_]+(?:'\w+)?", text.lower())
    _GRAMMAR.check_words(words)
    return Motion(tuple(_parse_thing(thing_words) for thing_words in _split_things(words)))


def _split_things(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each thing: "and" and "while" start another one if there is a shape on both sides of it."""
    current: list[str] = []
    for index, word in enumerate(words):
        if word in _LINK_WORDS and _has_shape(current):
            next_link = next((i for i in range(index + 1, len(words)) if words[i] in _LINK_WORDS), len(words))
            if _has_shape(words[index + 1 : next_link]):
                yield current
                current = []
        current.append(word)
    yield current


def _has_shape(words: Sequence[str]) -> bool:
    return any(name in ("shape", ANY_SHAPE) for name, _ in _GRAMMAR.named(words))


def _parse_thing(words: Sequence[str]) -> MovingThing:
    labels = dict.fromkeys(_DIRECTION_AXES.values(), "direction")
    values = unique_values(_GRAMMAR.named(words), "; two things need an 'and' between them", labels)
    if not values:
        raise ValueError(f"no thing is named in '{' '.join(words)}'")
    direction = "-".join(values[axis] for axis in ("vertical", "horizontal") if axis in values)
    return MovingThing(values.get("shape"), values.get("color"), direction or None, values.get("speed"))


# Sets of motions.

COMBINATIONS: tuple[Motion, ...] = tuple(Motion((MovingThing(*values),)) for values in product(*ATTRIBUTES.values()))
"""All 640 complete motions of one thing."""


def split_motions(fraction: float = 0.1, seed: int = 7) -> tuple[list[Motion], list[Motion]]:
    """Split all complete motions of one thing into those for training and those of held-out combinations.

    Every value of an attribute stays in training. Raises ``ValueError`` for a fraction that makes this impossible.
    """
    values = {motion: [getattr(motion.things[0], name) for name in ATTRIBUTES] for motion in COMBINATIONS}
    return split_keys(values, fraction, np.random.default_rng(seed))


def complete_motion(motion: Motion, rng: np.random.Generator) -> Motion:
    """Return ``motion`` with its free attributes drawn at random."""
    return Motion(tuple(_GRAMMAR.fill(thing, ATTRIBUTES, rng) for thing in motion.things))
