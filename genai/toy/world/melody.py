"""Grammar of toy melodies: melodies of one to three notes, captions in several phrasings, and a parser of captions."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from genai.toy.world.grammar import Grammar, check_value, draw_word, unique_values
from genai.toy.world.words import join_words, with_article

TIMBRES = ("flute", "organ", "bell", "guitar", "trumpet")
"""As many as ``scene.SHAPES``: soundtracks map one to the other."""
NOTES: dict[str, float] = {
    name: 261.6256 * 2 ** (semitones / 12)
    for name, semitones in zip("C4 D4 E4 F4 G4 A4 B4 C5".split(), (0, 2, 4, 5, 7, 9, 11, 12), strict=True)
}
"""Fundamental frequency in Hz; as many as ``scene.COLORS``."""
LOUDNESS_LEVELS = ("soft", "loud")
NOTE_LENGTHS = ("short", "long")
MAX_NOTES = 3
"""Maximum number of notes in a melody."""


@dataclass(frozen=True)
class Melody:
    """A sequence of notes on one instrument.

    A timbre or loudness of ``None`` is free. The length of a rendered melody is never free: it is long by default,
    because a model has to know when a note ends while it sounds. ``None`` means that the oracle could not tell.

    Raises:
        ValueError: for an unknown value, no notes, or more than ``MAX_NOTES``.
    """

    notes: tuple[str, ...]
    timbre: str | None = None
    loudness: str | None = None
    length: str | None = "long"

    def __post_init__(self) -> None:
        if not 1 <= len(self.notes) <= MAX_NOTES:
            raise ValueError(f"a melody has one to {MAX_NOTES} notes, not {len(self.notes)}")
        for note in self.notes:
            check_value("note", note, tuple(NOTES))
        _GRAMMAR.check_values(self)

    @property
    def is_complete(self) -> bool:
        """Whether no attribute is free."""
        return all(getattr(self, name) is not None for name in ATTRIBUTES)


ATTRIBUTES: dict[str, tuple[str, ...]] = {"timbre": TIMBRES, "loudness": LOUDNESS_LEVELS, "length": NOTE_LENGTHS}
"""Attributes that all notes of a melody share."""


# Captions. The words below are what people type; data sets depend on them.

_CAPTION_WORDS: dict[str, tuple[str, ...]] = {
    "soft": ("soft", "quiet", "gentle"),
    "loud": ("loud", "strong"),
    "short": ("short", "brief"),
    "long": ("long", "sustained"),
}
"""Synonyms of a value in captions; other values appear under their own name only."""

_ALIASES: dict[str, tuple[str, ...]] = {
    "soft": ("quiet", "gentle", "softly", "quietly", "gently"),
    "loud": ("strong", "loudly", "strongly"),
    "short": ("brief", "briefly", "staccato"),
    "long": ("sustained", "held"),
    **{timbre: (f"{timbre}s",) for timbre in TIMBRES},
}
"""Words that ``parse_melody`` accepts for a value besides its own name."""

_GRAMMAR = Grammar(
    ATTRIBUTES,
    _ALIASES,
    "a an the one there is there's play plays playing played by on with and then of in it note notes melody sound tone"
    " tones instrument something",
    {note.lower(): ("note", note) for note in NOTES},
)
VOCABULARY: tuple[str, ...] = _GRAMMAR.vocabulary
"""Every word that ``parse_melody`` knows; captions use some of them."""


def caption_melody(melody: Melody, rng: np.random.Generator) -> str:
    """Draw a caption of ``melody`` in one of six phrasings, with synonyms.

    It names exactly the set attributes, except that it names the default length "long" only every other time.
    """
    skip_length = rng.random() < 0.5 and melody.length == "long"
    length = "" if skip_length else draw_word(_CAPTION_WORDS, melody.length, rng)
    notes = (" ", " ", ", ", " then ")[rng.integers(4)].join(melody.notes)
    several = len(melody.notes) > 1
    instrument = join_words(draw_word(_CAPTION_WORDS, melody.loudness, rng), melody.timbre or "instrument")
    length_and_notes, length_label = join_words(length, notes), join_words(length, "notes" if several else "note")
    return (
        f"{with_article(instrument)} plays {length_and_notes}",
        f"{instrument} playing {notes}" + (f", {length_label}" if length else ""),
        f"{length_and_notes} on {with_article(instrument)}",
        f"play {length_and_notes} with {with_article(instrument)}",
        f"{length_label if several else with_article(length_label)} {notes} played by {with_article(instrument)}",
        f"there is {with_article(instrument)} playing {length_and_notes}",
    )[rng.integers(6)]


def parse_melody(text: str) -> Melody:
    """Parse a caption: the inverse of ``caption_melody``, regardless of case, punctuation and articles.

    A length that is not named is long; timbre and loudness that are not named are free.

    Raises:
        ValueError: for an unknown word (the message names the most similar known one), no note or too many, or two
            values of one attribute.
    """
    words = re.findall(r"[a-h][#b]?\d+\b|\w+(?:'\w+)?", text.lower())
    for word in words:
        if word not in _GRAMMAR.word_values and re.fullmatch(r"[a-h][#b]?\d+", word):
            raise ValueError(f"unknown note '{word}': there are {', '.join(NOTES)}")
    _GRAMMAR.check_words(words)
    word_values = _GRAMMAR.named(words)
    notes = tuple(value for name, value in word_values if name == "note")
    if not notes:
        raise ValueError(f"no note is named: there are {', '.join(NOTES)}")
    values = unique_values((name, value) for name, value in word_values if name != "note")
    return Melody(notes, values.get("timbre"), values.get("loudness"), values.get("length", "long"))


# Sets of melodies.


@dataclass(frozen=True)
class MelodySplits:
    """Complete melodies in three disjoint sets.

    Attributes:
        train: for training.
        new_melodies: two or three notes that are never trained on in this order with this instrument, though each note
            is.
        new_notes: melodies with a note that is never trained on with this instrument.
    """

    train: list[Melody]
    new_melodies: list[Melody]
    new_notes: list[Melody]


@cache
def split_melodies(fraction: float = 0.1, pairs: int = 4, seed: int = 7) -> MelodySplits:
    """Split all complete melodies into those for training and two kinds of held-out ones. The lists are shared.

    Args:
        fraction: fraction of the (timbre, notes) of two or three notes that is held out, in every loudness and length.
        pairs: number of pairs (timbre, note) that are held out, no two with the same timbre or note, so that each
            timbre and each note stays in training.
        seed: random seed of both choices.

    Raises:
        ValueError: for more pairs than timbres, or a fraction outside (0, 1).
    """
    if not 0 <= pairs <= len(TIMBRES) or not 0 < fraction < 1:
        raise ValueError(
            f"pairs={pairs}, fraction={fraction}: at most {len(TIMBRES)} pairs, and a fraction between 0 and 1"
        )
    rng = np.random.default_rng(seed)
    timbres, notes = (rng.permutation(values)[:pairs].tolist() for values in (TIMBRES, list(NOTES)))
    val_pairs = set(zip(timbres, notes, strict=True))
    sequences = [sequence for count in range(1, MAX_NOTES + 1) for sequence in product(NOTES, repeat=count)]
    kinds = list(product(TIMBRES, sequences))
    known_notes = [kind for kind in kinds if val_pairs.isdisjoint(product([kind[0]], kind[1]))]
    candidates = [kind for kind in known_notes if len(kind[1]) > 1]
    indices = rng.permutation(len(candidates))[: round(fraction * len(candidates))]
    new_melodies, known = {candidates[index] for index in indices}, set(known_notes)
    splits = MelodySplits([], [], [])
    for timbre, sequence in kinds:
        kind = timbre, sequence
        split = splits.new_melodies if kind in new_melodies else splits.train if kind in known else splits.new_notes
        split += [Melody(sequence, timbre, *values) for values in product(LOUDNESS_LEVELS, NOTE_LENGTHS)]
    return splits


def complete_melody(melody: Melody, rng: np.random.Generator) -> Melody:
    """Return ``melody`` with free timbre and loudness drawn at random, and "long" for a free length."""
    timbre, loudness = (values[rng.integers(len(values))] for values in (TIMBRES, LOUDNESS_LEVELS))
    return Melody(melody.notes, melody.timbre or timbre, melody.loudness or loudness, melody.length or "long")
