import pytest

from genai.media.notes import MAX_NOTES, InstrumentPart, ScoreNote, format_notes, parse_notes, pitch_name, remove_notes


def test_notes_follow_each_other() -> None:
    (part,) = parse_notes("A soft flute plays C4:0.5, F#6:0.75 R:.25 and Bb3+D4:1.")
    assert (part.instrument, part.loudness) == ("flute", -1.0)
    assert part.notes == (
        ScoreNote(60, 0, 0.5),
        ScoreNote(90, 0.5, 1.25),
        ScoreNote(58, 1.5, 2.5),
        ScoreNote(62, 1.5, 2.5),
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("a loud piano plays a long C#3", 1.0), ("a short C#3", 0.5), ("piano: C#3", 0.5)]
)
def test_words_say_the_length_of_a_note(text: str, seconds: float) -> None:
    assert parse_notes(text)[0].notes == (ScoreNote(49, 0, seconds),)


def test_parts_of_several_instruments_begin_together() -> None:
    piano, guitar = parse_notes("piano:C4:2 E4:1@0.5; loud nylon guitar: R:1 C5:1")
    assert piano == InstrumentPart((ScoreNote(60, 0, 2), ScoreNote(64, 0.5, 1.5)), "piano")
    assert guitar == InstrumentPart((ScoreNote(72, 1, 2),), "nylon guitar", 1.0)


def test_written_notes_are_read_back() -> None:
    notes = (
        ScoreNote(60, 0.125, 2.0),
        ScoreNote(64, 0.125, 2.0),
        ScoreNote(72, 1.0, 1.5),
        ScoreNote(12, 130.0, 131.25),
        ScoreNote(120, 131.25, 140),
    )
    parts = [InstrumentPart(notes, "church organ", 1.0), InstrumentPart((ScoreNote(61, 0, 0.333),), "", -1.0)]
    text = format_notes(parts)
    assert text.startswith("loud church organ: R:0.125 C4+E4:1.875 C5:0.5@1 R:128.5 C0:1.25 C9:8.75; soft: C#4:0.333")
    assert parse_notes(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a dog barks", "no notes"),
        ("R:2", "no notes"),
        ("C4:x", "cannot read the note 'c4:'"),
        ("C10:1", "C0 to C9"),
        ("Cb0:1", "C0 to C9"),
        ("C4:0", "end within 600 s"),
        ("C4:9999", "end within 600 s"),
        ("C4:1@600", "end within 600 s"),
        ("C4:0.1 " * (MAX_NOTES + 1), "5,001 notes"),
        ("C4:" + "1" * 100_000, "cannot read"),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_notes(text)


def test_the_words_beside_the_notes() -> None:
    assert remove_notes("A flute plays C4:0.5 E4:0.5") == "A flute plays"
    assert remove_notes("piano:C4:0.5; flute: R:1 G5+C4:1") == "piano:; flute:"
    assert remove_notes("a dog barks") == "a dog barks" and remove_notes("C4") == ""


def test_names_of_pitches() -> None:
    assert [pitch_name(pitch) for pitch in (12, 60, 61, 120)] == ["C0", "C4", "C#4", "C9"]
