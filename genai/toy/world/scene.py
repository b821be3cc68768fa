"""Grammar of toy scenes: scenes, captions in several phrasings, and a parser of captions."""

import re
from dataclasses import dataclass, fields, replace
from itertools import combinations_with_replacement, permutations, product

import numpy as np

from genai.toy.world.grammar import Grammar, check_value, draw_word, split_keys, things_cache_text, unique_values
from genai.toy.world.words import join_words, with_article

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
        _GRAMMAR.check_values(self)


@dataclass(frozen=True)
class Scene:
    """One thing with a place, or two without places and with the relation of the first to the second.

    Raises:
        ValueError: for another number of things, a missing or superfluous relation, or a place in a scene of two.
    """

    things: tuple[Thing, ...]
    relation: str | None = None

    def __post_init__(self) -> None:
        check_value("relation", self.relation, RELATIONS)
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
    return f"Scene({things_cache_text('Thing', scene.things)}, relation={scene.relation!r})"


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

_GRAMMAR = Grammar(
    ATTRIBUTES,
    _ALIASES,
    "a an the one there is there's it that which in on at near to of and with side picture image colour color",
    {relation: ("relation", relation) for relation in ("above", "below")} | {ANY_SHAPE: (ANY_SHAPE, ANY_SHAPE)},
)
VOCABULARY: tuple[str, ...] = _GRAMMAR.vocabulary
"""Every word that ``parse_scene`` knows; captions use some of them."""


def caption_scene(scene: Scene, rng: np.random.Generator) -> str:
    """Draw a caption of ``scene`` in one of six phrasings, with synonyms. It names exactly the set attributes."""
    template = rng.integers(6)
    things = [
        (thing.shape or ANY_SHAPE, thing.color or "", draw_word(_CAPTION_WORDS, thing.size, rng))
        for thing in scene.things
    ]
    labels = [join_words(size, color, shape) for shape, color, size in things]
    if scene.relation is not None:
        first, second = labels
        relation = draw_word(_CAPTION_WORDS, scene.relation, rng)
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
    place = draw_word(_CAPTION_WORDS, scene.things[0].place, rng)
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
    _GRAMMAR.check_words(words)
    relations = [(index, name) for index in range(len(words)) if (name := _find_relation(words, index))]
    if not relations:
        return Scene((_parse_thing(words),))
    if len(relations) > 1:
        raise ValueError(f"two relations: {relations[0][1]}, {relations[1][1]}")
    ((index, relation),) = relations
    before, after = words[:index], words[index + 1 :]
    if not _GRAMMAR.named(before) and "there" in after:  # "above a ring there is a cross"
        start = after.index("there")
        before, after = after[start:], after[:start]
    return Scene((_parse_thing(before), _parse_thing(after)), relation)


def _find_relation(words: list[str], index: int) -> str | None:
    """Return the relation that starts at word ``index``, if any; "on the left of the picture" has none."""
    if words[index] in ("left", "right") and words[index + 1 : index + 2] == ["of"]:
        return f"{words[index]} of" if _GRAMMAR.named(words[index + 2 :]) else None
    name, value = _GRAMMAR.word_values.get(words[index], ("", ""))
    return value if name == "relation" else None


def _parse_thing(words: list[str]) -> Thing:
    values = unique_values(_GRAMMAR.named(words), f"; two things need a relation: {', '.join(RELATIONS)}")
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
        return split_keys(values, fraction, rng)
    if things != 2:
        raise ValueError(f"things={things}: a scene has one thing or two")
    kinds = list(product(SHAPES, COLORS))
    pairs = {pair: list(pair) for pair in combinations_with_replacement(kinds, 2)}
    variants = {kind: [Thing(*kind, size) for size in SIZES] for kind in kinds}
    train, val = (
        [
            Scene((first, second), relation)
            for pair in split
            for a, b in dict.fromkeys(permutations(pair))
            for relation, first, second in product(RELATIONS, variants[a], variants[b])
        ]
        for split in split_keys(pairs, fraction, rng)
    )
    return train, val


def complete_scene(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return ``scene`` with its free attributes drawn at random."""
    names = attribute_names(scene)
    return Scene(tuple(_GRAMMAR.fill(thing, names, rng) for thing in scene.things), scene.relation)


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
