"""Times of words and phones, and the files they are written to."""

import json
from dataclasses import replace

from genai.media.word_times import TimedWord
from genai.speech.phones import PAUSE, Alignment, Phone, Word
from genai.speech.times import WRITERS, text_grid, word_times

WORDS = [
    Word("hi", (Phone("h"), Phone("aɪ", 1)), "."),
    Word('"', ()),
    Word("ok", (Phone("oʊ"), Phone("k"))),
]
ALIGNMENT = Alignment((PAUSE, "h", "aɪ", PAUSE, "oʊ", "k"), (-1, 0, 0, -1, 2, 2), (4, 4, 8, 4, 8, 5), -1.0)
SECONDS = 0.405


def times() -> list[TimedWord]:
    return word_times(ALIGNMENT, WORDS, SECONDS)


def test_a_frame_reaches_half_a_step_around_its_center() -> None:
    assert [(word.text, word.start, word.end) for word in times()] == [
        ("hi", 0.04375, 0.19375),
        ("ok", 0.24375, SECONDS),
    ]
    first, second = times()[0].phones
    assert (first.symbol, second.symbol, first.end, second.start) == ("h", "aɪ", 0.09375, 0.09375)


def test_json() -> None:
    value = json.loads(WRITERS["json"](times(), SECONDS))
    assert value["seconds"] == SECONDS and [word["text"] for word in value["words"]] == ["hi", "ok"]
    assert value["words"][0]["phones"][1] == {"symbol": "aɪ", "start": 0.09375, "end": 0.19375}


def test_subtitles_end_at_sentences() -> None:
    expected = "1\n00:00:00,044 --> 00:00:00,194\nhi\n\n2\n00:00:00,244 --> 00:00:00,405\nok\n"
    assert WRITERS["srt"](times(), SECONDS) == expected
    joined = word_times(ALIGNMENT, [replace(WORDS[0], pause=""), *WORDS[1:]], SECONDS)
    assert WRITERS["srt"](joined, SECONDS).count("-->") == 1


def test_a_text_grid_has_no_gaps() -> None:
    grid = text_grid(times(), SECONDS)
    assert grid.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 0.40500\n')
    assert "intervals: size = 4" in grid and "intervals: size = 6" in grid
    assert grid.count('text = ""') == 4 and 'text = "aɪ"' in grid
    assert 'text = "say ""a"""' in text_grid([TimedWord('say "a"', 0, SECONDS)], SECONDS)
