"""The grammar of the toy world's sounds: melodies of one to three notes, captions of them, and back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from genai.toy.world.words import article, check_known, join

TIMBRES = ("flute", "organ", "bell", "guitar", "trumpet")
"""One a shape of the world's pictures."""
NOTES: dict[str, float] = {
    name: 261.6256 * 2 ** (semitones / 12)
    for name, semitones in zip("C4 D4 E4 F4 G4 A4 B4 C5".split(), (0, 2, 4, 5, 7, 9, 11, 12), strict=True)
}
"""Fundamental in Hz; one a colour of the world's pictures."""
LOUDNESSES = ("soft", "loud")
LENGTHS = ("short", "long")
MOST = 3
"""Notes of a melody."""


@dataclass(frozen=True)
class Melody:
    """Notes one after the other on one instrument.

    ``None`` leaves timbre or loudness free. Length is never free where something is played: what does not say "short"
    is long, because when a note ends has to be known while it sounds. ``None`` is left for a listener that cannot tell.

    Raises:
        ValueError: a value that there is not; no notes, or more than ``MOST``.
    """

    notes: tuple[str, ...]
    timbre: str | None = None
    loudness: str | None = None
    length: str | None = "long"

    def __post_init__(self) -> None:
        if not 1 <= len(self.notes) <= MOST:
            raise ValueError(f"a melody has one to {MOST} notes, not {len(self.notes)}")
        for note in self.notes:
            _check("note", note, tuple(NOTES))
        for name, allowed in ATTRIBUTES.items():
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), allowed)

    @property
    def is_complete(self) -> bool:
        """Whether no attribute is free."""
        return all(getattr(self, name) is not None for name in ATTRIBUTES)


ATTRIBUTES: dict[str, tuple[str, ...]] = {"timbre": TIMBRES, "loudness": LOUDNESSES, "length": LENGTHS}
"""What all notes of a melody have in common."""


def _check(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


# Captions and back.

_SAID: dict[str, tuple[str, ...]] = {
    "soft": ("soft", "quiet", "gentle"),
    "loud": ("loud", "strong"),
    "short": ("short", "brief"),
    "long": ("long", "sustained"),
}
"""What captions say for a value; every other value has its own name alone."""

_HEARD: dict[str, tuple[str, ...]] = {
    "soft": ("quiet", "gentle", "softly", "quietly", "gently"),
    "loud": ("strong", "loudly", "strongly"),
    "short": ("brief", "briefly", "staccato"),
    "long": ("sustained", "held"),
    **{timbre: (f"{timbre}s",) for timbre in TIMBRES},
}
"""Words that are understood as a value besides its own name."""

_FILLERS = frozenset(
    "a an the one there is there's play plays playing played by on with and then of in it note notes melody sound tone"
    " tones instrument something".split()
)
_MEANINGS = {value: (name, value) for name, values in ATTRIBUTES.items() for value in values}
_MEANINGS |= {note.lower(): ("note", note) for note in NOTES}
_MEANINGS |= {word: _MEANINGS[value] for value, words in _HEARD.items() for word in words}

VOCABULARY: tuple[str, ...] = tuple(sorted(_FILLERS | set(_MEANINGS)))
"""Every word that ``parse`` knows; captions use some of them."""


def caption(melody: Melody, rng: np.random.Generator) -> str:
    """One of many ways to say ``melody``: six phrasings, and synonyms.

    It names what is set and nothing else; that notes are long, which goes without saying, only every other time.
    """

    def said(value: str | None) -> str:
        options = _SAID.get(value or "", (value or "",))
        return options[rng.integers(len(options))]

    unsaid = rng.random() < 0.5 and melody.length == "long"
    length = "" if unsaid else said(melody.length)
    notes = (" ", " ", ", ", " then ")[rng.integers(4)].join(melody.notes)
    noun = "notes" if len(melody.notes) > 1 else "note"
    player = join(said(melody.loudness), melody.timbre or "instrument")
    played, lasting = join(length, notes), f", {join(length, noun)}" if length else ""
    return (
        f"{article(player)} plays {played}",
        f"{player} playing {notes}{lasting}",
        f"{played} on {article(player)}",
        f"play {played} with {article(player)}",
        f"{article(join(length, noun)) if noun == 'note' else join(length, noun)} {notes} played by {article(player)}",
        f"there is {article(player)} playing {played}",
    )[rng.integers(6)]


def parse(text: str) -> Melody:
    """The melody that ``text`` describes: the inverse of ``caption``, deaf to case, punctuation and articles.

    Notes are long where nothing is said of it; timbre and loudness are free.

    Raises:
        ValueError: a word that it does not know (the first one, and the nearest known); no note named, or too many;
            two values of one attribute.
    """
    words = re.findall(r"[a-h][#b]?\d+\b|\w+(?:'\w+)?", text.lower())
    strange = next((word for word in words if word not in _MEANINGS and re.fullmatch(r"[a-h][#b]?\d+", word)), None)
    if strange:
        raise ValueError(f"unknown note '{strange}': there are {', '.join(NOTES)}")
    check_known(words, _FILLERS, _MEANINGS)
    meant = [_MEANINGS[word] for word in words if word in _MEANINGS]
    notes = tuple(value for name, value in meant if name == "note")
    if not notes:
        raise ValueError(f"no note is named: there are {', '.join(NOTES)}")
    found: dict[str, str] = {}
    for name, value in meant:
        if name != "note" and found.setdefault(name, value) != value:
            raise ValueError(f"two values of {name}: {found[name]}, {value}")
    return Melody(notes, found.get("timbre"), found.get("loudness"), found.get("length", "long"))


# Sets of melodies.


@dataclass(frozen=True)
class Sets:
    """Complete melodies, in three sets that share none.

    Attributes:
        trained: to train on.
        unheard: two or three notes that are not trained on in this order on this instrument, though each of them is.
        strict: melodies with a note that is not trained on with this instrument at all.
    """

    trained: list[Melody]
    unheard: list[Melody]
    strict: list[Melody]


def held_out(fraction: float = 0.1, pairs: int = 4, seed: int = 7) -> Sets:
    """Melodies to train on, and two kinds that are kept from training.

    Args:
        fraction: of the (timbre, notes) of two or three notes that is kept back, in every loudness and length.
        pairs: of (timbre, note) that are kept back, no two with the same timbre or note; so each timbre and each note
            stays in training.
        seed: of both.

    Raises:
        ValueError: more pairs than timbres; a fraction outside 0 to 1.
    """
    if not 0 <= pairs <= len(TIMBRES) or not 0 < fraction < 1:
        raise ValueError(f"pairs={pairs}, fraction={fraction}: at most {len(TIMBRES)} pairs, and a share of the rest")
    rng = np.random.default_rng(seed)
    timbres, notes = (rng.permutation(values)[:pairs].tolist() for values in (TIMBRES, list(NOTES)))
    strange = set(zip(timbres, notes, strict=True))
    orders = [order for count in range(1, MOST + 1) for order in product(NOTES, repeat=count)]
    kinds = list(product(TIMBRES, orders))
    kept = [kind for kind in kinds if strange.isdisjoint(product([kind[0]], kind[1]))]
    longer = [kind for kind in kept if len(kind[1]) > 1]
    drawn = {longer[index] for index in rng.permutation(len(longer))[: round(fraction * len(longer))]}
    known = set(kept)
    sets = Sets([], [], [])
    for kind in kinds:
        side = sets.unheard if kind in drawn else sets.trained if kind in known else sets.strict
        side += [Melody(kind[1], kind[0], *common) for common in product(LOUDNESSES, LENGTHS)]
    return sets


def complete(melody: Melody, rng: np.random.Generator) -> Melody:
    """``melody`` with its free timbre and loudness drawn at random; a length that nobody has said is long."""
    timbre, loudness = (values[rng.integers(len(values))] for values in (TIMBRES, LOUDNESSES))
    return Melody(melody.notes, melody.timbre or timbre, melody.loudness or loudness, melody.length or "long")
