import numpy as np
import pytest
import torch

from genai.core.errors import UserError
from genai.speech.batch import split_sentences
from genai.speech.loudness import LEVEL, normalize_loudness, speech_level
from genai.speech.phone_table import PhoneTable, make_phone_table
from genai.speech.phones import Alignment, Phone, Word
from genai.speech.prosody import voiced_pitch, word_prosody

HELLO = Word("hello", (Phone("h"), Phone("oʊ", 1)), ",")
YOU = Word("you", (Phone("uː", 1),), "?")


def test_a_table_numbers_phones_and_finds_relatives() -> None:
    table = make_phone_table([[HELLO], [YOU]])
    assert table.symbols == ("sil", "h", "oʊ", "uː")
    assert [table.number(symbol) for symbol in ("sil", "uː", "u", "o", "x")] == [0, 3, 3, 2, 0]
    assert table.unknown([Word("a", (Phone("u"),))]) == ["u"]


def test_a_sentence_has_pauses_where_marks_are() -> None:
    sentence = PhoneTable(("sil", "h", "oʊ", "uː")).sentence([HELLO, YOU])
    assert sentence.phones.tolist() == [[0, 3, 0], [1, 0, 1], [2, 1, 0], [0, 4, 0], [3, 1, 1], [0, 6, 0]]
    assert sentence.words == (-1, 0, 0, -1, 1, -1) and sentence.texts == ("hello", "you")


def test_an_alignment_becomes_the_same_rows() -> None:
    table = PhoneTable(("sil", "h", "oʊ", "uː"))
    alignment = Alignment(("sil", "h", "oʊ", "sil", "uː"), (-1, 0, 0, -1, 1), (3, 1, 2, 4, 5), -1.0)
    expected = table.sentence([HELLO, YOU]).phones[:-1]
    assert torch.equal(torch.from_numpy(table.aligned([HELLO, YOU], alignment)), expected)


def test_sentences_end_at_marks() -> None:
    assert [len(each) for each in split_sentences([HELLO, YOU, HELLO, HELLO])] == [2, 2]
    assert [len(each) for each in split_sentences([HELLO] * 90)] == [40, 40, 10]
    assert split_sentences([Word("", ())]) == []
    long = Word("long", HELLO.phones * 450)  # 900 phones; what is computed at once has a limit
    assert [len(each) for each in split_sentences([HELLO, *[long] * 5])] == [3, 2, 1]
    with pytest.raises(UserError, match="the word 'long' has"):
        split_sentences([Word("long", HELLO.phones * 1_500)])


def test_prosody_is_mean_rise_and_tempo() -> None:
    rows = np.array([[0, 3, 0], [1, 0, 1], [2, 1, 0], [3, 1, 1]])
    durations = np.array([2, 100, 100, 4])
    pitch = np.concatenate([[9, 9], np.linspace(-1, 1, 200), [2, 2, 2, 2]]).astype(np.float32)
    mean_log = np.array([0, np.log(100), np.log(50), np.log(4)], np.float32)
    values = word_prosody(rows, durations, pitch, np.ones(206, bool), mean_log)
    assert not values[0].any() and (values[1] == values[2]).all()
    np.testing.assert_allclose(values[1], [0, 2, np.log(2) / 2], atol=0.07)
    np.testing.assert_allclose(values[3], [2, 0, 0], atol=1e-6)


def test_the_pitch_goes_on_where_nothing_is_voiced() -> None:
    pitch = voiced_pitch(np.array([0, 100, 0, 400, 0], np.float32))
    np.testing.assert_allclose(np.exp(pitch), [100, 100, 200, 400, 400], rtol=1e-5)
    assert not voiced_pitch(np.zeros(3, np.float32)).any()


def test_pauses_make_no_difference_to_the_level() -> None:
    tone = 0.4 * np.sin(np.arange(8_000) * 0.1).astype(np.float32)
    padded = np.concatenate([np.zeros(8_000, np.float32), tone])
    np.testing.assert_allclose(speech_level(padded, 8_000), speech_level(tone, 8_000), rtol=1e-3)
    np.testing.assert_allclose(speech_level(normalize_loudness(tone, 8_000), 8_000), LEVEL, rtol=1e-3)
    assert not normalize_loudness(np.zeros(100, np.float32), 8_000).any()
