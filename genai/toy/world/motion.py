"""Grammar of toy motions: one or two moving things, captions in several phrasings, and a parser of captions.

In captions "left" and "right" are directions, never places. The start position of a thing is random and not named.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from genai.toy.world.scene import COLORS, SHAPES, choose_val_keys
from genai.toy.world.words import check_words, join_words, with_article

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
        for name, allowed in ATTRIBUTES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


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
    things = tuple(
        f"Mover(shape={thing.shape!r}, colour={thing.color!r}, direction={thing.direction!r}, speed={thing.speed!r})"
        for thing in motion.things
    )
    comma = "," if len(things) == 1 else ""
    return f"Motion(things=({', '.join(things)}{comma}))"


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
_FILLER_WORDS = _LINK_WORDS | frozenset(
    "a an the one there is there's it that which in to towards of with diagonally move moves moving go goes going"
    " travels travelling flies flying colour color".split()
)
_DIRECTION_AXES = {"left": "horizontal", "right": "horizontal", "up": "vertical", "down": "vertical"}
_WORD_VALUES = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values if "-" not in value}
_WORD_VALUES |= {word: (axis, word) for word, axis in _DIRECTION_AXES.items()}
_WORD_VALUES |= {ANY_SHAPE: (ANY_SHAPE, ANY_SHAPE)}
_WORD_VALUES |= {word: _WORD_VALUES[value] for value, words in _ALIASES.items() for word in words}

VOCABULARY: tuple[str, ...] = tuple(sorted(_FILLER_WORDS | set(_WORD_VALUES)))
"""Every word that ``parse_motion`` knows; captions use some of them. "up-left" is two words."""


def caption_motion(motion: Motion, rng: np.random.Generator) -> str:
    """Draw a caption of ``motion`` in one of five phrasings, with synonyms. It names exactly the set attributes."""
    link = (" and ", " while ")[rng.integers(2)]
    return link.join(_caption_thing(thing, rng) for thing in motion.things)


def _caption_thing(thing: MovingThing, rng: np.random.Generator) -> str:
    def draw_words(options: dict[str, tuple[str, ...]], value: str | None) -> str:
        words = options.get(value or "", ("",))
        return words[rng.integers(len(words))]

    shape = thing.shape or ANY_SHAPE
    direction, adverb = draw_words(_DIRECTION_WORDS, thing.direction), draw_words(_ADVERBS, thing.speed)
    label = join_words(thing.color, shape)
    return (
        join_words(with_article(label), "moving", direction, adverb),
        join_words(with_article(join_words(draw_words(_ADJECTIVES, thing.speed), label)), "going", direction),
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
    check_words(words, _FILLER_WORDS, _WORD_VALUES)
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
    return any(_WORD_VALUES.get(word, ("",))[0] in ("shape", ANY_SHAPE) for word in words)


def _parse_thing(words: Sequence[str]) -> MovingThing:
    values: dict[str, str] = {}
    for name, value in (_WORD_VALUES[word] for word in words if word in _WORD_VALUES):
        if values.setdefault(name, value) != value:
            attribute = "direction" if name in _DIRECTION_AXES.values() else name
            hint = "; two things need an 'and' between them" if name == "shape" else ""
            raise ValueError(f"two values of {attribute}: {values[name]}, {value}{hint}")
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
    val_motions = choose_val_keys(values, fraction, np.random.default_rng(seed))
    return [m for m in COMBINATIONS if m not in val_motions], [m for m in COMBINATIONS if m in val_motions]


def complete_motion(motion: Motion, rng: np.random.Generator) -> Motion:
    """Return ``motion`` with its free attributes drawn at random."""

    def fill(thing: MovingThing) -> MovingThing:
        free = [name for name in ATTRIBUTES if getattr(thing, name) is None]
        return replace(thing, **{name: ATTRIBUTES[name][rng.integers(len(ATTRIBUTES[name]))] for name in free})

    return Motion(tuple(fill(thing) for thing in motion.things))
