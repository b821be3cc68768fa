from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from genai.toy.world.melody import (
    LENGTHS,
    LOUDNESSES,
    NOTES,
    TIMBRES,
    VOCABULARY,
    Melody,
    caption,
    complete,
    held_out,
    parse,
)
from genai.toy.world.scene import COLOURS, SHAPES

FREE = (None,)


def test_every_shape_has_an_instrument_and_every_colour_a_note() -> None:
    assert len(TIMBRES) == len(SHAPES) and len(NOTES) == len(COLOURS)
    assert NOTES["A4"] == pytest.approx(440, abs=0.01) and NOTES["C5"] == pytest.approx(2 * NOTES["C4"])


def test_every_caption_of_every_melody_is_read_back() -> None:
    rng = np.random.default_rng(0)
    for timbre, loudness, length, count in product(FREE + TIMBRES, FREE + LOUDNESSES, LENGTHS, (1, 2, 3)):
        for _ in range(60):
            melody = Melody(tuple(rng.choice(list(NOTES), count)), timbre, loudness, length)
            said = caption(melody, rng)
            assert parse(said) == melody, said
            assert parse(f"{said.upper()}!") == melody, said


def test_captions_vary_in_words_and_say_what_is_set_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    said = {caption(Melody(("C4", "E4"), "organ", "soft", "short"), rng) for _ in range(2000)}
    assert len(said) >= 5 * 3
    words = [text.replace(",", "").lower().split() for text in said]
    assert {word for text in words for word in text} <= set(VOCABULARY)
    assert any("an organ" in caption(Melody(("C4",), "organ"), rng) for _ in range(50))
    bare = " ".join(caption(Melody(("C4",)), rng) for _ in range(500)).split()
    assert not {*TIMBRES, *LOUDNESSES, "short", "brief"} & set(bare)


def test_that_notes_are_long_is_said_every_other_time_and_goes_without_saying() -> None:
    rng = np.random.default_rng(0)
    said = [caption(Melody(("C4", "E4"), "bell", "soft", "long"), rng) for _ in range(1000)]
    assert 0.45 < np.mean(["long" in text or "sustained" in text for text in said]) < 0.55
    assert {parse(text).length for text in said} == {"long"}


@pytest.mark.parametrize(
    ("text", "melody"),
    [
        ("a flute plays C4 E4 G4", Melody(("C4", "E4", "G4"), "flute")),
        ("A LOUD flute plays short c4, e4 and G4!", Melody(("C4", "E4", "G4"), "flute", "loud", "short")),
        ("soft bell playing C4, long note", Melody(("C4",), "bell", "soft", "long")),
        ("trumpets, quietly: C5 then C5", Melody(("C5", "C5"), "trumpet", "soft")),
        ("C4", Melody(("C4",))),
    ],
)
def test_what_people_write_is_understood(text: str, melody: Melody) -> None:
    assert parse(text) == melody


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a fluet plays C4 on a dragon", "unknown word 'fluet', did you mean 'flute"),
        ("a piano plays C4", "unknown word 'piano'"),
        ("a flute plays G5", "unknown note 'g5': there are C4, D4"),
        ("a flute plays F#4", "unknown note 'f#4': there are C4, D4"),
        ("a loud flute", "no note is named: there are C4"),
        ("", "no note"),
        ("flute and organ, C4", "two values of timbre: flute, organ"),
        ("long and short C4", "two values of length"),
        ("flute C4 D4 E4 F4", "one to 3 notes, not 4"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_impossible_melodies_are_refused() -> None:
    for wrong in ({"timbre": "piano"}, {"loudness": "quiet"}, {"length": "brief"}):
        with pytest.raises(ValueError, match="there are"):
            Melody(("C4",), **wrong)
    for notes, says in (((), "not 0"), (("C4",) * 4, "not 4"), (("H4",), "there are C4")):
        with pytest.raises(ValueError, match=says):
            Melody(notes)


def test_held_out_melodies_are_of_two_kinds() -> None:
    sets = held_out()
    assert sets == held_out() and sets.strict != held_out(seed=8).strict
    every = [*sets.trained, *sets.unheard, *sets.strict]
    assert len(every) == len(set(every)) == 5 * (8 + 64 + 512) * 2 * 2
    assert all(melody.is_complete for melody in every)

    def pairs(melodies: list[Melody]) -> set[tuple[str | None, str]]:
        return {(melody.timbre, note) for melody in melodies for note in melody.notes}

    strange = pairs(every) - pairs(sets.trained)
    assert len(strange) == 4 and len({timbre for timbre, _ in strange}) == len({note for _, note in strange}) == 4
    assert all(pairs([melody]) & strange for melody in sets.strict)
    assert not pairs(sets.unheard) & strange
    assert {timbre for timbre, _ in pairs(sets.trained)} == set(TIMBRES)
    assert {note for _, note in pairs(sets.trained)} == set(NOTES)
    unheard = {(melody.timbre, melody.notes) for melody in sets.unheard}
    trained = {(melody.timbre, melody.notes) for melody in sets.trained if len(melody.notes) > 1}
    assert len(unheard) / len(unheard | trained) == pytest.approx(0.1, abs=0.001) and not unheard & trained
    assert min(len(notes) for _, notes in unheard) == 2
    for wrong in ({"pairs": 6}, {"fraction": 0}):
        with pytest.raises(ValueError, match="pairs="):
            held_out(**wrong)  # type: ignore[arg-type]


def test_completing_fills_what_is_free_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    melodies = [complete(Melody(("C4",), None, "loud", "short"), rng) for _ in range(200)]
    assert {melody.timbre for melody in melodies} == set(TIMBRES)
    assert {replace(melody, timbre=None) for melody in melodies} == {Melody(("C4",), None, "loud", "short")}
    assert complete(Melody(("C4",), "bell", "soft", None), rng).length == "long"
