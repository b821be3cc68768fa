"""Times of words and phones, and the files they are written to."""

import json

from genai.speech.phones import PAUSE, Alignment, Phone, Word
from genai.speech.times import Span, Times

WORDS = [
    Word("hi", (Phone("h"), Phone("aɪ", 1)), "."),
    Word('"', ()),
    Word("ok", (Phone("oʊ"), Phone("k"))),
]
ALIGNMENT = Alignment((PAUSE, "h", "aɪ", PAUSE, "oʊ", "k"), (-1, 0, 0, -1, 2, 2), (4, 4, 8, 4, 8, 5), -1.0)
SECONDS = 0.405


def times() -> Times:
    return Times.of(ALIGNMENT, WORDS, SECONDS)


def test_a_frame_reaches_half_a_step_around_its_center() -> None:
    assert times().words == [Span("hi", 0.04375, 0.19375), Span("ok", 0.24375, SECONDS)]
    assert [span.text for span in times().phones] == ["h", "aɪ", "oʊ", "k"]
    assert times().phones[1].begin == times().phones[0].end == 0.09375


def test_json() -> None:
    value = json.loads(times().to_json())
    assert value["seconds"] == SECONDS and value["words"][1] == {"text": "ok", "begin": 0.24375, "end": SECONDS}
    assert "aɪ" in times().to_json() and len(value["phones"]) == 4


def test_subtitles_end_at_sentences() -> None:
    expected = "1\n00:00:00,044 --> 00:00:00,194\nhi\n\n2\n00:00:00,244 --> 00:00:00,405\nok\n"
    assert times().to_srt() == expected
    assert Times.of(ALIGNMENT, [Word("hi", WORDS[0].phones), *WORDS[1:]], SECONDS).to_srt().count("-->") == 1


def test_long_subtitles_are_cut() -> None:
    spans = [Span("word" * 3, index * 0.5, index * 0.5 + 0.4) for index in range(6)]
    assert Times(spans, [], 3.0).to_srt().count("-->") == 2


def test_a_text_grid_has_no_gaps() -> None:
    grid = times().to_text_grid()
    assert grid.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 0.40500\n')
    assert "intervals: size = 4" in grid and "intervals: size = 6" in grid
    assert grid.count('text = ""') == 4 and 'text = "aɪ"' in grid
    quoted = Times([Span('say "a"', 0, SECONDS)], [], SECONDS).to_text_grid()
    assert 'text = "say ""a"""' in quoted
