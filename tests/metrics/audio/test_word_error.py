import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.audio import word_error
from genai.metrics.audio.spoken_texts import read_sentences
from genai.metrics.audio.word_error import WordError
from genai.metrics.base import EvalContext
from genai.metrics.judge_options import JudgeOptions
from genai.modalities.audio import Audio
from tests.stubs import RecognizerStub, SoundSource, StubModel

SENTENCES = [f"press {word} now" for word in "one two three four five six seven eight".split()]
LENGTHS = {800 + 80 * index: text for index, text in enumerate(SENTENCES)}
"""Sentences by the length of their clips, in samples."""


def clip(text: str, last: float = 0.0) -> Sound:
    length = next(length for length, each in LENGTHS.items() if each == text)
    return Sound(np.concatenate([np.full(length - 1, 0.1), [last]]).astype(np.float32), 8000)


@pytest.fixture
def recognizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecognizerStub:
    stub = RecognizerStub(LENGTHS)
    monkeypatch.setenv("GENAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(word_error, "load_recognizer", lambda options, metric: stub)
    monkeypatch.setattr(word_error, "read_by_espeak", lambda texts, language: [clip(text, 0.9) for text in texts])
    return stub


def make_context(**fields: Any) -> EvalContext:
    """A model that reads every second prompt well, with two held-out clips of eight."""
    source = SoundSource([(clip(text).samples, text) for text in SENTENCES])
    answer = lambda prompts: [clip(text, 0.9 * (index % 2)) for index, text in enumerate(prompts)]  # noqa: E731
    return EvalContext(StubModel(Audio(8000), answer), source, **fields)  # type: ignore[arg-type]


def test_samples_stand_beside_recordings_copies_and_espeak(recognizer: RecognizerStub) -> None:
    metric, context = WordError(), make_context()
    results = metric.compute(context)
    assert list(results) == ["word_error", "word_error_copy", "word_error_espeak"]
    assert (results["word_error"].value, results["word_error"].reference) == (2 / 6, 0)
    assert results["word_error_copy"].value == 0
    assert results["word_error_espeak"].value == 4 / 6
    assert "6 words of 2 samples" in results["word_error"].description
    lines = metric.lines(context)
    assert "1 substituted, 0 deleted, 1 inserted" in lines[0]
    assert [line.split(" x ")[0].strip() for line in lines[1:3]] == ["1", "1"] and recognizer.sha256 in lines[-1]
    table = metric.report_entries(context)["word_error"]["transcripts"]["held_out"]
    assert table[1]["text"] == "press five now"
    assert (table[1]["samples"], table[1]["recordings"]) == ("dress up five now", "press five now")


def test_what_does_not_depend_on_the_model_is_judged_once(recognizer: RecognizerStub) -> None:
    WordError().compute(make_context())
    first = recognizer.num_calls
    again = WordError().compute(make_context())
    assert (first, recognizer.num_calls) == (8, 12)
    assert again["word_error_espeak"].value == 4 / 6


def test_named_lists_are_reported_apart(
    recognizer: RecognizerStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sentences.json"
    file.write_text(json.dumps({"A heard": [{"text": "Press one now."}, "press two now"], "B": ["press six now"]}))
    LENGTHS.update({len(clip("press one now").samples) + 7: "Press one now."})
    results = WordError().compute(make_context(judge=JudgeOptions(sentences=str(file))))
    assert {"word_error_A_heard", "word_error_B", "word_error_B_espeak"} <= results.keys()
    assert (results["word_error_A_heard"].value, results["word_error_B"].value) == (2 / 6, 0)
    assert "1 of 2 sentences of A heard are in the training data" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"A": []}', '{"A": [1]}', '{"A": ["..."]}', '{"A b": ["a"], "A-b": ["b"]}']
)
def test_sentences_that_are_none_are_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "sentences.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"judge\.sentences="):
        read_sentences(file)
