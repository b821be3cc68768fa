import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.audio.recognizer import check_recognizer, load_recognizer, transcribe
from genai.metrics.judge_options import JudgeOptions
from tests.stubs import WhisperStub


@pytest.fixture(autouse=True)
def whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("faster_whisper")
    package.WhisperModel, package.__version__ = WhisperStub, "1"  # type: ignore[attr-defined]
    package.__spec__ = SimpleNamespace(name="faster_whisper")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "faster_whisper", package)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "model.bin": "weights",
        "config.json": '{"suppress_ids": []}',
        "tokenizer.json": "{}",
    }.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "vocabulary.txt").write_text("a")
    return tmp_path


def test_clips_are_judged_alone_at_equal_level(folder: Path) -> None:
    recognizer = load_recognizer(JudgeOptions(weights=str(folder), language="es"), "word_error")
    WhisperStub.calls.clear()
    sounds = [Sound(np.full(8000, level, np.float32), 8000) for level in (0.5, 0.01, 0)]
    assert transcribe(recognizer, sounds, "samples") == ["1.5  seconds"] * 3
    assert [round(call["peak"], 1) for call in WhisperStub.calls] == [0.7, 0.7, 0]
    assert {call["language"] for call in WhisperStub.calls} == {"es"}
    assert recognizer.sha256[:12] in recognizer.description


def test_what_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(**options: Any) -> str:
        with pytest.raises(UserError) as error:
            load_recognizer(JudgeOptions(**options), "word_error")
        return str(error.value)

    assert "judge.weights=FOLDER" in message()
    assert "no such folder" in message(weights=str(folder / "x"))
    assert "does not know" in message(weights=str(folder), language="xx")
    (folder / "tokenizer.json").unlink()
    assert "it has no tokenizer.json" in message(weights=str(folder))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.bin").write_text("damaged")
    assert "unsupported model" in message(weights=str(folder))
    (folder / "config.json").write_text("{}")
    assert "config.json is not of a Whisper" in message(weights=str(folder))
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(UserError, match=r"genai\[judge\]"):
        check_recognizer(JudgeOptions(weights=str(folder)), "word_error")
