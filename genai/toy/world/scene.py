"""Grammar of toy scenes: scenes, captions in several phrasings, and a parser of captions."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations_with_replacement, permutations, product
from typing import TypeVar

import numpy as np

from genai.toy.world.words import check_words, join_words, with_article

Key = TypeVar("Key", bound=Hashable)

COLORS: dict[str, tuple[int, int, int]] = {
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
"""Radius as a fraction of the side; ``draw.PAIR_SCALE`` scales it down for two things in one picture."""
PLACES: dict[str, tuple[float, float]] = {
    "left": (0.3, 0.5),
    "right": (0.7, 0.5),
    "top": (0.5, 0.3),
    "bottom": (0.5, 0.7),
    "centre": (0.5, 0.5),
}
"""(x, y) of the center as a fraction of the side, from the upper left corner."""
RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Thing:
    """A colored shape; an attribute that is ``None`` is free. Raises ``ValueError`` for an unknown value."""

    shape: str | None
    color: str | None = None
    size: str | None = None
    place: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            _check_value(name, getattr(self, name), allowed)


@dataclass(frozen=True)
class Scene:
    """One thing with a place, or two without places and with the relation of the first to the second.

    Raises:
        ValueError: for another number of things, a missing or superfluous relation, or a place in a scene of two.
    """

    things: tuple[Thing, ...]
    relation: str | None = None

    def __post_init__(self) -> None:
        _check_value("relation", self.relation, RELATIONS)
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
        return all(getattr(thing, name) is not None for thing in self.things for name in attribute_names(self))


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "color": tuple(COLORS),
    "size": tuple(SIZES),
    "place": tuple(PLACES),
}


def attribute_names(scene: Scene) -> list[str]:
    """Return the names of the attributes of the things in ``scene``; two things have no place."""
    return [name for name in ATTRIBUTES if name != "place" or len(scene.things) == 1]


def scene_cache_text(scene: Scene) -> str:
    """Return ``scene`` as text for cache keys. Its format must not change: data sets are known by their hash."""
    things = tuple(
        f"Thing(shape={thing.shape!r}, colour={thing.color!r}, size={thing.size!r}, place={thing.place!r})"
        for thing in scene.things
    )
    comma = "," if len(things) == 1 else ""
    return f"Scene(things=({', '.join(things)}{comma}), relation={scene.relation!r})"


def _check_value(name: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


# Captions. The words below are what people type; data sets depend on them.

ANY_SHAPE = "thing"
_CAPTION_WORDS: dict[str, tuple[str, ...]] = {
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
"""Synonyms of a value in captions; other values appear under their own name only."""

_ALIASES: dict[str, tuple[str, ...]] = {
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
    ANY_SHAPE: ("object", "shape", "something"),
}
"""Single words that ``parse_scene`` accepts for a value besides its own name."""

_FILLER_WORDS = frozenset(
    "a an the one there is there's it that which in on at near to of and with side picture image colour color".split()
)
_WORD_VALUES = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values}
_WORD_VALUES |= {relation: ("relation", relation) for relation in ("above", "below")}
_WORD_VALUES |= {ANY_SHAPE: (ANY_SHAPE, ANY_SHAPE)}
_WORD_VALUES |= {word: _WORD_VALUES[value] for value, words in _ALIASES.items() for word in words}

VOCABULARY: tuple[str, ...] = tuple(sorted(_FILLER_WORDS | set(_WORD_VALUES)))
"""Every word that ``parse_scene`` knows; captions use some of them."""


def caption_scene(scene: Scene, rng: np.random.Generator) -> str:
    """Draw a caption of ``scene`` in one of six phrasings, with synonyms. It names exactly the set attributes."""

    def draw_words(value: str | None) -> str:
        options = _CAPTION_WORDS.get(value or "", (value or "",))
        return options[rng.integers(len(options))] if len(options) > 1 else options[0]

    template = rng.integers(6)
    things = [(thing.shape or ANY_SHAPE, thing.color or "", draw_words(thing.size)) for thing in scene.things]
    labels = [join_words(size, color, shape) for shape, color, size in things]
    if scene.relation is not None:
        first, second = labels
        relation = draw_words(scene.relation)
        first_in_color, second_in_color = (
            f"one {join_words(size, shape)}{_with_prefix(' in', color)}" for shape, color, size in things
        )
        return (
            f"{with_article(first)} {relation} {with_article(second)}",
            f"{first} {relation} {second}",
            f"there is {with_article(first)} {relation} {with_article(second)}",
            f"{with_article(first)} is {relation} {with_article(second)}",
            f"{relation} {with_article(second)} there is {with_article(first)}",
            f"{first_in_color} {relation} {second_in_color}",
        )[template]
    ((shape, color, size),) = things
    place = draw_words(scene.things[0].place)
    return (
        join_words(with_article(labels[0]), place),
        f"{join_words(color, shape)}{_with_prefix(',', size)}{_with_prefix(',', place)}",
        join_words(place, "there is", with_article(labels[0])),
        f"{with_article(join_words(color, shape))}{_with_prefix(' that is', size)}{_with_prefix(',', place)}",
        f"one {join_words(size, shape)}{_with_prefix(' in', color)}{_with_prefix(',', place)}",
        join_words(labels[0], place),
    )[template]


def parse_scene(text: str) -> Scene:
    """Parse a caption: the inverse of ``caption_scene``, regardless of case, punctuation and articles.

    Raises:
        ValueError: for an unknown word (the message names the most similar known one), no thing, two values of one
            attribute, or a scene that ``Scene`` rejects.
    """
    words = re.findall(r"\w+(?:'\w+)?", text.lower())
    check_words(words, _FILLER_WORDS, _WORD_VALUES)
    relations = [(index, name) for index in range(len(words)) if (name := _find_relation(words, index))]
    if not relations:
        return Scene((_parse_thing(words),))
    if len(relations) > 1:
        raise ValueError(f"two relations: {relations[0][1]}, {relations[1][1]}")
    ((index, relation),) = relations
    before, after = words[:index], words[index + 1 :]
    if not any(word in _WORD_VALUES for word in before) and "there" in after:  # "above a ring there is a cross"
        start = after.index("there")
        before, after = after[start:], after[:start]
    return Scene((_parse_thing(before), _parse_thing(after)), relation)


def _find_relation(words: list[str], index: int) -> str | None:
    """Return the relation that starts at word ``index``, if any; "on the left of the picture" has none."""
    if words[index] in ("left", "right") and words[index + 1 : index + 2] == ["of"]:
        return f"{words[index]} of" if any(word in _WORD_VALUES for word in words[index + 2 :]) else None
    name, value = _WORD_VALUES.get(words[index], ("", ""))
    return value if name == "relation" else None


def _parse_thing(words: list[str]) -> Thing:
    values: dict[str, str] = {}
    for name, value in (_WORD_VALUES[word] for word in words if word in _WORD_VALUES):
        if values.setdefault(name, value) != value:
            hint = f"; two things need a relation: {', '.join(RELATIONS)}" if name == "shape" else ""
            raise ValueError(f"two values of {name}: {values[name]}, {value}{hint}")
    if not values:
        raise ValueError(f"no thing is named in '{' '.join(words)}'")
    return Thing(values.get("shape"), values.get("color"), values.get("size"), values.get("place"))


def _with_prefix(prefix: str, words: str) -> str:
    return f"{prefix} {words}" if words else ""


# Sets of scenes.

COMBINATIONS: tuple[Scene, ...] = tuple(Scene((Thing(*values),)) for values in product(*ATTRIBUTES.values()))
"""All 400 complete scenes of one thing."""


def split_scenes(fraction: float = 0.1, seed: int = 7, things: int = 1) -> tuple[list[Scene], list[Scene]]:
    """Split all complete scenes into those for training and those of held-out combinations.

    For one thing, ``fraction`` of the combinations of all four attributes is held out. For two, ``fraction`` of the
    unordered pairs of (shape, color) is held out with all relations and sizes, because "a left of b" and "b right of a"
    are the same picture. Every value of an attribute (for two things, every shape with its color) stays in training.

    Raises:
        ValueError: for a fraction that makes this impossible, or things other than 1 or 2.
    """
    rng = np.random.default_rng(seed)
    if things == 1:
        values = {scene: [getattr(scene.things[0], name) for name in ATTRIBUTES] for scene in COMBINATIONS}
        val_scenes = choose_val_keys(values, fraction, rng)
        return [s for s in COMBINATIONS if s not in val_scenes], [s for s in COMBINATIONS if s in val_scenes]
    if things != 2:
        raise ValueError(f"things={things}: a scene has one thing or two")
    kinds = list(product(SHAPES, COLORS))
    pairs = {pair: list(pair) for pair in combinations_with_replacement(kinds, 2)}
    val_pairs = choose_val_keys(pairs, fraction, rng)
    train: list[Scene] = []
    val: list[Scene] = []
    variants = {kind: [Thing(*kind, size) for size in SIZES] for kind in kinds}
    for pair in pairs:
        split = val if pair in val_pairs else train
        for first, second in dict.fromkeys(permutations(pair)):
            for relation, *scene_things in product(RELATIONS, variants[first], variants[second]):
                split.append(Scene((scene_things[0], scene_things[1]), relation))
    return train, val


def complete_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return ``scene`` with its free attributes drawn at random."""

    def fill(thing: Thing) -> Thing:
        free = [name for name in attribute_names(scene) if getattr(thing, name) is None]
        return replace(thing, **{name: ATTRIBUTES[name][rng.integers(len(ATTRIBUTES[name]))] for name in free})

    return Scene(tuple(fill(thing) for thing in scene.things), scene.relation)


def drop_attributes(scene: Scene, rng: np.random.Generator, keep_prob: float = 0.5) -> Scene:
    """Return ``scene`` with each attribute kept with probability ``keep_prob``, else left free.

    The relation stays. A thing that would lose all attributes keeps its shape.
    """

    def drop(thing: Thing) -> Thing:
        names = [field.name for field in fields(thing)]
        free = {name: None for name, draw in zip(names, rng.random(len(names)), strict=True) if draw >= keep_prob}
        partial = replace(thing, **free)
        return partial if partial != Thing(None) else Thing(thing.shape)

    return Scene(tuple(drop(thing) for thing in scene.things), scene.relation)


def choose_val_keys(values: Mapping[Key, Iterable[Hashable]], fraction: float, rng: np.random.Generator) -> set[Key]:
    """Choose ``fraction`` of the keys at random so that each of their values also belongs to another key."""
    keys = list(values)
    count = round(fraction * len(keys))
    train_counts = Counter(value for key in keys for value in set(values[key]))
    val_keys: set[Key] = set()
    for index in rng.permutation(len(keys)):
        if len(val_keys) == count:
            break
        key_values = set(values[keys[index]])
        if all(train_counts[value] > 1 for value in key_values):
            val_keys.add(keys[index])
            train_counts.subtract(key_values)
    if len(val_keys) != count or not 0 < len(val_keys) < len(keys):
        raise ValueError(f"fraction={fraction}: too few of {len(keys)} combinations are left on one side")
    return val_keys
