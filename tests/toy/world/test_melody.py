from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from genai.toy.world.melody import (
    LOUDNESS_LEVELS,
    NOTE_LENGTHS,
    NOTES,
    TIMBRES,
    VOCABULARY,
    Melody,
    caption_melody,
    complete_melody,
    parse_melody,
    split_melodies,
)
from genai.toy.world.scene import COLORS, SHAPES

FREE = (None,)


def test_as_many_timbres_as_shapes_and_notes_as_colors() -> None:
    assert len(TIMBRES) == len(SHAPES) and len(NOTES) == len(COLORS)
    assert NOTES["A4"] == pytest.approx(440, abs=0.01) and NOTES["C5"] == pytest.approx(2 * NOTES["C4"])


def test_captions_parse_to_their_melody() -> None:
    rng = np.random.default_rng(0)
    for timbre, loudness, length, count in product(FREE + TIMBRES, FREE + LOUDNESS_LEVELS, NOTE_LENGTHS, (1, 2, 3)):
        for _ in range(60):
            melody = Melody(tuple(rng.choice(list(NOTES), count)), timbre, loudness, length)
            caption = caption_melody(melody, rng)
            assert parse_melody(caption) == melody, caption
            assert parse_melody(f"{caption.upper()}!") == melody, caption


def test_captions_vary_and_name_only_set_attributes() -> None:
    rng = np.random.default_rng(0)
    captions = {caption_melody(Melody(("C4", "E4"), "organ", "soft", "short"), rng) for _ in range(2000)}
    assert len(captions) >= 5 * 3
    words = [text.replace(",", "").lower().split() for text in captions]
    assert {word for text in words for word in text} <= set(VOCABULARY)
    assert any("an organ" in caption_melody(Melody(("C4",), "organ"), rng) for _ in range(50))
    note_words = " ".join(caption_melody(Melody(("C4",)), rng) for _ in range(500)).split()
    assert not {*TIMBRES, *LOUDNESS_LEVELS, "short", "brief"} & set(note_words)


def test_long_is_the_default_and_named_half_the_time() -> None:
    rng = np.random.default_rng(0)
    captions = [caption_melody(Melody(("C4", "E4"), "bell", "soft", "long"), rng) for _ in range(1000)]
    assert 0.45 < np.mean(["long" in text or "sustained" in text for text in captions]) < 0.55
    assert {parse_melody(text).length for text in captions} == {"long"}


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
def test_parse_free_text(text: str, melody: Melody) -> None:
    assert parse_melody(text) == melody


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
def test_parse_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_melody(text)


def test_invalid_melodies_raise() -> None:
    for wrong in ({"timbre": "piano"}, {"loudness": "quiet"}, {"length": "brief"}):
        with pytest.raises(ValueError, match="there are"):
            Melody(("C4",), **wrong)
    for notes, message in (((), "not 0"), (("C4",) * 4, "not 4"), (("H4",), "there are C4")):
        with pytest.raises(ValueError, match=message):
            Melody(notes)


def test_two_kinds_of_val_melodies() -> None:
    splits = split_melodies()
    assert splits == split_melodies.__wrapped__() and splits.new_notes != split_melodies(seed=8).new_notes
    all_melodies = [*splits.train, *splits.new_melodies, *splits.new_notes]
    assert len(all_melodies) == len(set(all_melodies)) == 5 * (8 + 64 + 512) * 2 * 2
    assert all(melody.is_complete for melody in all_melodies)

    def pairs(melodies: list[Melody]) -> set[tuple[str | None, str]]:
        return {(melody.timbre, note) for melody in melodies for note in melody.notes}

    val_pairs = pairs(all_melodies) - pairs(splits.train)
    assert len(val_pairs) == 4 and len({timbre for timbre, _ in val_pairs}) == len({note for _, note in val_pairs}) == 4
    assert all(pairs([melody]) & val_pairs for melody in splits.new_notes)
    assert not pairs(splits.new_melodies) & val_pairs
    assert {timbre for timbre, _ in pairs(splits.train)} == set(TIMBRES)
    assert {note for _, note in pairs(splits.train)} == set(NOTES)
    new_melodies = {(melody.timbre, melody.notes) for melody in splits.new_melodies}
    train_melodies = {(melody.timbre, melody.notes) for melody in splits.train if len(melody.notes) > 1}
    assert (
        len(new_melodies) / len(new_melodies | train_melodies) == pytest.approx(0.1, abs=0.001)
        and not new_melodies & train_melodies
    )
    assert min(len(notes) for _, notes in new_melodies) == 2
    for wrong in ({"pairs": 6}, {"fraction": 0}):
        with pytest.raises(ValueError, match="pairs="):
            split_melodies(**wrong)  # type: ignore[arg-type]


def test_complete_sets_only_free_attributes() -> None:
    rng = np.random.default_rng(0)
    melodies = [complete_melody(Melody(("C4",), None, "loud", "short"), rng) for _ in range(200)]
    assert {melody.timbre for melody in melodies} == set(TIMBRES)
    assert {replace(melody, timbre=None) for melody in melodies} == {Melody(("C4",), None, "loud", "short")}
    assert complete_melody(Melody(("C4",), "bell", "soft", None), rng).length == "long"
