"""The grammar of the toy world: scenes, captions of them in several phrasings, and back."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations_with_replacement, permutations, product
from typing import TypeVar

import numpy as np

from genai.toy.world.words import article, check_known, join

Key = TypeVar("Key", bound=Hashable)

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (230, 210, 50),
    "purple": (150, 60, 190),
    "orange": (240, 140, 40),
    "cyan": (60, 200, 210),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "ring", "cross")
SIZES: dict[str, float] = {"small": 0.16, "large": 0.28}
"""Radius as a share of the side; of two things in one picture both are scaled down alike."""
PLACES: dict[str, tuple[float, float]] = {
    "left": (0.3, 0.5),
    "right": (0.7, 0.5),
    "top": (0.5, 0.3),
    "bottom": (0.5, 0.7),
    "centre": (0.5, 0.5),
}
"""(x, y) of the centre as a share of the side, from the upper left corner."""
RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Thing:
    """A coloured shape; ``None`` leaves an attribute free. Raises ``ValueError`` for a value that there is not."""

    shape: str | None
    colour: str | None = None
    size: str | None = None
    place: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            _check(name, getattr(self, name), allowed)


@dataclass(frozen=True)
class Scene:
    """One thing, or two without places and with the relation of the first to the second.

    Raises:
        ValueError: another number of things; a relation too many or too few; a place beside a relation.
    """

    things: tuple[Thing, ...]
    relation: str | None = None

    def __post_init__(self) -> None:
        _check("relation", self.relation, RELATIONS)
        if len(self.things) not in (1, 2):
            raise ValueError(f"a scene has one thing or two, not {len(self.things)}")
        if len(self.things) == 2 and self.relation is None:
            raise ValueError(f"two things need a relation: {', '.join(RELATIONS)}")
        if len(self.things) == 1 and self.relation is not None:
            raise ValueError(f"'{self.relation}' needs a second thing")
        if len(self.things) == 2 and any(thing.place for thing in self.things):
            raise ValueError("two things have a relation and no places")

    @property
    def is_complete(self) -> bool:
        """Whether no attribute is free."""
        return all(getattr(thing, name) is not None for thing in self.things for name in attributes(self))


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "place": tuple(PLACES),
}


def attributes(scene: Scene) -> list[str]:
    """Names of the attributes that each thing of ``scene`` can have: two things have no places."""
    return [name for name in ATTRIBUTES if name != "place" or len(scene.things) == 1]


def _check(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


# Captions and back.

NOUN = "thing"
_SAID: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
    "left": ("on the left", "at the left", "left"),
    "right": ("on the right", "at the right", "right"),
    "top": ("at the top", "near the top", "top"),
    "bottom": ("at the bottom", "near the bottom", "bottom"),
    "centre": ("in the centre", "in the middle", "centre"),
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
"""What captions say for a value; every other value has its own name alone."""

_HEARD: dict[str, tuple[str, ...]] = {
    "circle": ("disc", "disk"),
    "square": ("box",),
    "ring": ("hoop",),
    "cross": ("plus",),
    "small": ("little", "tiny"),
    "large": ("big", "huge"),
    "centre": ("center", "middle"),
    "top": ("upper",),
    "bottom": ("lower",),
    "above": ("over",),
    "below": ("under", "beneath", "underneath"),
    NOUN: ("object", "shape", "something"),
}
"""Single words that are understood as a value besides its own name."""

_FILLERS = frozenset(
    "a an the one there is there's it that which in on at near to of and with side picture image colour color".split()
)
_MEANINGS = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values}
_MEANINGS |= {relation: ("relation", relation) for relation in ("above", "below")} | {NOUN: (NOUN, NOUN)}
_MEANINGS |= {word: _MEANINGS[value] for value, words in _HEARD.items() for word in words}

VOCABULARY: tuple[str, ...] = tuple(sorted(_FILLERS | set(_MEANINGS)))
"""Every word that ``parse`` knows; captions use some of them."""


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of many ways to say ``scene``: six phrasings, and synonyms. It names what is set and nothing else."""

    def said(value: str | None) -> str:
        options = _SAID.get(value or "", (value or "",))
        return options[rng.integers(len(options))] if len(options) > 1 else options[0]

    phrasing = rng.integers(6)
    named = [(thing.shape or NOUN, thing.colour or "", said(thing.size)) for thing in scene.things]
    plain = [join(size, colour, shape) for shape, colour, size in named]
    if scene.relation is not None:
        first, second = plain
        relation = said(scene.relation)
        swapped = [f"one {join(size, shape)}{_after(' in', colour)}" for shape, colour, size in named]
        return (
            f"{article(first)} {relation} {article(second)}",
            f"{first} {relation} {second}",
            f"there is {article(first)} {relation} {article(second)}",
            f"{article(first)} is {relation} {article(second)}",
            f"{relation} {article(second)} there is {article(first)}",
            f"{swapped[0]} {relation} {swapped[1]}",
        )[phrasing]
    ((shape, colour, size),) = named
    place = said(scene.things[0].place)
    return (
        join(article(plain[0]), place),
        f"{join(colour, shape)}{_after(',', size)}{_after(',', place)}",
        join(place, "there is", article(plain[0])),
        f"{article(join(colour, shape))}{_after(' that is', size)}{_after(',', place)}",
        f"one {join(size, shape)}{_after(' in', colour)}{_after(',', place)}",
        join(plain[0], place),
    )[phrasing]


def parse(text: str) -> Scene:
    """The scene that ``text`` describes: the inverse of ``caption``, deaf to case, punctuation and articles.

    Raises:
        ValueError: a word that it does not know (the first one, and the nearest known); nothing named; two values
            of one attribute; anything that ``Scene`` refuses.
    """
    words = re.findall(r"\w+(?:'\w+)?", text.lower())
    check_known(words, _FILLERS, _MEANINGS)
    found = [(at, relation) for at in range(len(words)) if (relation := _relation(words, at))]
    if not found:
        return Scene((_thing(words),))
    if len(found) > 1:
        raise ValueError(f"two relations: {found[0][1]}, {found[1][1]}")
    ((at, relation),) = found
    before, after = words[:at], words[at + 1 :]
    if not any(word in _MEANINGS for word in before) and "there" in after:  # "above a ring there is a cross"
        turn = after.index("there")
        before, after = after[turn:], after[:turn]
    return Scene((_thing(before), _thing(after)), relation)


def _relation(words: list[str], at: int) -> str | None:
    """The relation that begins at word ``at``, if one does; "on the left of the picture" has none."""
    if words[at] in ("left", "right") and words[at + 1 : at + 2] == ["of"]:
        return f"{words[at]} of" if any(word in _MEANINGS for word in words[at + 2 :]) else None
    name, value = _MEANINGS.get(words[at], ("", ""))
    return value if name == "relation" else None


def _thing(words: list[str]) -> Thing:
    found: dict[str, str] = {}
    for name, value in (_MEANINGS[word] for word in words if word in _MEANINGS):
        if found.setdefault(name, value) != value:
            hint = f"; two things need a relation: {', '.join(RELATIONS)}" if name == "shape" else ""
            raise ValueError(f"two values of {name}: {found[name]}, {value}{hint}")
    if not found:
        raise ValueError(f"no thing is named in '{' '.join(words)}'")
    return Thing(found.get("shape"), found.get("colour"), found.get("size"), found.get("place"))


def _after(mark: str, words: str) -> str:
    return f"{mark} {words}" if words else ""


# Sets of scenes.

COMBINATIONS: tuple[Scene, ...] = tuple(Scene((Thing(*values),)) for values in product(*ATTRIBUTES.values()))
"""Every complete scene of one thing: 400."""


def held_out(fraction: float = 0.1, seed: int = 7, things: int = 1) -> tuple[list[Scene], list[Scene]]:
    """Complete scenes to train on, and those of combinations that are kept from training.

    Of one thing, ``fraction`` of the combinations of all four attributes is kept back. Of two, ``fraction`` of the
    pairs of (shape, colour) with (shape, colour) is, in either order and in every relation and size, because "a left
    of b" and "b right of a" are the same picture. Every value of an attribute (every shape with its colour, for two)
    stays in training.

    Raises:
        ValueError: a fraction for which that cannot be; things other than 1 or 2.
    """
    rng = np.random.default_rng(seed)
    if things == 1:
        values = {scene: [getattr(scene.things[0], name) for name in ATTRIBUTES] for scene in COMBINATIONS}
        held = choose(values, fraction, rng)
        return [s for s in COMBINATIONS if s not in held], [s for s in COMBINATIONS if s in held]
    if things != 2:
        raise ValueError(f"things={things}: a scene has one thing or two")
    kinds = list(product(SHAPES, COLOURS))
    pairs = {pair: list(pair) for pair in combinations_with_replacement(kinds, 2)}
    kept_back = choose(pairs, fraction, rng)
    train: list[Scene] = []
    val: list[Scene] = []
    variants = {kind: [Thing(*kind, size) for size in SIZES] for kind in kinds}
    for pair in pairs:
        side = val if pair in kept_back else train
        for first, second in dict.fromkeys(permutations(pair)):
            for relation, *both in product(RELATIONS, variants[first], variants[second]):
                side.append(Scene((both[0], both[1]), relation))
    return train, val


def complete(scene: Scene, rng: np.random.Generator) -> Scene:
    """``scene`` with its free attributes drawn at random."""

    def fill(thing: Thing) -> Thing:
        free = [name for name in attributes(scene) if getattr(thing, name) is None]
        return replace(thing, **{name: ATTRIBUTES[name][rng.integers(len(ATTRIBUTES[name]))] for name in free})

    return Scene(tuple(fill(thing) for thing in scene.things), scene.relation)


def hide(scene: Scene, rng: np.random.Generator, keep: float = 0.5) -> Scene:
    """``scene`` with each attribute kept with probability ``keep``, else left free.

    The relation stays, and so does the shape of a thing that would lose all it has.
    """

    def thin(thing: Thing) -> Thing:
        names = [field.name for field in fields(thing)]
        lost = {name: None for name, drawn in zip(names, rng.random(len(names)), strict=True) if drawn >= keep}
        thinned = replace(thing, **lost)
        return thinned if thinned != Thing(None) else Thing(thing.shape)

    return Scene(tuple(thin(thing) for thing in scene.things), scene.relation)


def choose(values: Mapping[Key, Iterable[Hashable]], fraction: float, rng: np.random.Generator) -> set[Key]:
    """``fraction`` of the keys at random, so that each value also belongs to a key that is not chosen."""
    keys = list(values)
    wanted = round(fraction * len(keys))
    left = Counter(value for key in keys for value in set(values[key]))
    chosen: set[Key] = set()
    for index in rng.permutation(len(keys)):
        if len(chosen) == wanted:
            break
        key = keys[index]
        own = set(values[key])
        if all(left[value] > 1 for value in own):
            chosen.add(key)
            left.subtract(own)
    if len(chosen) != wanted or not 0 < len(chosen) < len(keys):
        raise ValueError(f"fraction={fraction}: too few of {len(keys)} combinations are left on one side")
    return chosen
