"""The grammar of the toy world's clips: one or two things that move, captions of them in several phrasings, and back.

In a caption "left" and "right" are ways to go, never places to be: where a thing starts is free, and is not said.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from genai.toy.world.scene import COLOURS, SHAPES, choose
from genai.toy.world.words import article, check_known, join

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
"""Where a thing goes before its first bounce, as (x, y); y grows downwards, and each is 45 degrees after the last."""
SPEEDS: dict[str, tuple[float, float]] = {"slow": (0.125, 0.1875), "fast": (0.4, 0.5)}
"""Lowest and highest, in sides of the picture a second: at 32 pixels and 8 fps 0.5-0.75 and 1.6-2 pixels a frame."""


@dataclass(frozen=True)
class Mover:
    """A coloured shape that moves; ``None`` leaves an attribute free. Raises ``ValueError`` for an unknown value."""

    shape: str | None = None
    colour: str | None = None
    direction: str | None = None
    speed: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


@dataclass(frozen=True)
class Motion:
    """One thing that moves, or two. Raises ``ValueError`` for another number of them."""

    things: tuple[Mover, ...]

    def __post_init__(self) -> None:
        if len(self.things) not in (1, 2):
            raise ValueError(f"one thing can move or two, not {len(self.things)}")

    @property
    def is_complete(self) -> bool:
        """Whether no attribute is free."""
        return all(getattr(thing, name) is not None for thing in self.things for name in ATTRIBUTES)


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "direction": tuple(DIRECTIONS),
    "speed": tuple(SPEEDS),
}

# Captions and back.

NOUN = "thing"
_WAYS: dict[str, tuple[str, ...]] = {
    "left": ("left", "to the left", "leftwards"),
    "right": ("right", "to the right", "rightwards"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
_WAYS |= {
    diagonal: (diagonal, f"{first} and {second}", f"{first} and to the {second}")
    for diagonal, (first, second) in ((name, name.split("-")) for name in DIRECTIONS if "-" in name)
}
"""What captions say for a direction."""
_ADVERBS: dict[str, tuple[str, ...]] = {"slow": ("slowly", "slow"), "fast": ("fast", "quickly")}
_ADJECTIVES: dict[str, tuple[str, ...]] = {"slow": ("slow",), "fast": ("fast", "quick")}

_HEARD: dict[str, tuple[str, ...]] = {
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
    NOUN: ("object", "shape", "something"),
}
"""Single words that are understood as a value besides its own name."""

_LINKS = frozenset(("and", "while"))
_FILLERS = _LINKS | frozenset(
    "a an the one there is there's it that which in to towards of with diagonally move moves moving go goes going"
    " travels travelling flies flying colour color".split()
)
_AXES = {"left": "horizontal", "right": "horizontal", "up": "vertical", "down": "vertical"}
_MEANINGS = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values if "-" not in value}
_MEANINGS |= {word: (axis, word) for word, axis in _AXES.items()} | {NOUN: (NOUN, NOUN)}
_MEANINGS |= {word: _MEANINGS[value] for value, words in _HEARD.items() for word in words}

VOCABULARY: tuple[str, ...] = tuple(sorted(_FILLERS | set(_MEANINGS)))
"""Every word that ``parse`` knows; captions use some of them. "up-left" is two words."""


def caption(motion: Motion, rng: np.random.Generator) -> str:
    """One of many ways to say ``motion``: five phrasings, and synonyms. It names what is set and nothing else."""
    link = (" and ", " while ")[rng.integers(2)]
    return link.join(_clause(thing, rng) for thing in motion.things)


def _clause(thing: Mover, rng: np.random.Generator) -> str:
    """A caption of one thing."""

    def said(words: dict[str, tuple[str, ...]], value: str | None) -> str:
        options = words.get(value or "", ("",))
        return options[rng.integers(len(options))]

    shape, way, adverb = thing.shape or NOUN, said(_WAYS, thing.direction), said(_ADVERBS, thing.speed)
    plain = join(thing.colour, shape)
    return (
        join(article(plain), "moving", way, adverb),
        join(article(join(said(_ADJECTIVES, thing.speed), plain)), "going", way),
        join("the", shape, thing.colour and f"is {thing.colour} and", "moves", way, adverb),
        ", ".join(words for words in (plain, way, adverb) if words),
        join("there is", article(plain), "that moves", adverb, way),
    )[rng.integers(5)]


def parse(text: str) -> Motion:
    """The motion that ``text`` describes: the inverse of ``caption``, deaf to case, punctuation and articles.

    Raises:
        ValueError: a word that it does not know (the first one, and the nearest known); nothing named; two values
            of one attribute; more than two things.
    """
    words = re.findall(r"[^\W_]+(?:'\w+)?", text.lower())
    check_known(words, _FILLERS, _MEANINGS)
    return Motion(tuple(_mover(part) for part in _parts(words)))


def _parts(words: Sequence[str]) -> Iterator[list[str]]:
    """The words of each thing: "and" and "while" begin another one where a noun stands on both of their sides."""
    part: list[str] = []
    for at, word in enumerate(words):
        if word in _LINKS and _has_noun(part):
            ahead = next((i for i in range(at + 1, len(words)) if words[i] in _LINKS), len(words))
            if _has_noun(words[at + 1 : ahead]):
                yield part
                part = []
        part.append(word)
    yield part


def _has_noun(words: Sequence[str]) -> bool:
    return any(_MEANINGS.get(word, ("",))[0] in ("shape", NOUN) for word in words)


def _mover(words: Sequence[str]) -> Mover:
    found: dict[str, str] = {}
    for name, value in (_MEANINGS[word] for word in words if word in _MEANINGS):
        if found.setdefault(name, value) != value:
            what = "direction" if name in _AXES.values() else name
            hint = "; two things need an 'and' between them" if name == "shape" else ""
            raise ValueError(f"two values of {what}: {found[name]}, {value}{hint}")
    if not found:
        raise ValueError(f"no thing is named in '{' '.join(words)}'")
    way = "-".join(found[axis] for axis in ("vertical", "horizontal") if axis in found)
    return Mover(found.get("shape"), found.get("colour"), way or None, found.get("speed"))


# Sets of motions.

COMBINATIONS: tuple[Motion, ...] = tuple(Motion((Mover(*values),)) for values in product(*ATTRIBUTES.values()))
"""Every complete motion of one thing: 640."""


def held_out(fraction: float = 0.1, seed: int = 7) -> tuple[list[Motion], list[Motion]]:
    """Complete motions of one thing to train on, and those of combinations that are kept from training.

    Every value of an attribute stays in training. Raises ``ValueError`` for a fraction for which that cannot be.
    """
    values = {motion: [getattr(motion.things[0], name) for name in ATTRIBUTES] for motion in COMBINATIONS}
    held = choose(values, fraction, np.random.default_rng(seed))
    return [m for m in COMBINATIONS if m not in held], [m for m in COMBINATIONS if m in held]


def complete(motion: Motion, rng: np.random.Generator) -> Motion:
    """``motion`` with its free attributes drawn at random."""

    def fill(thing: Mover) -> Mover:
        free = [name for name in ATTRIBUTES if getattr(thing, name) is None]
        return replace(thing, **{name: ATTRIBUTES[name][rng.integers(len(ATTRIBUTES[name]))] for name in free})

    return Motion(tuple(fill(thing) for thing in motion.things))
