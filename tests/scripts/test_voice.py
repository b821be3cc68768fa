"""scripts/voice.py: texts, trimming and tables, with recordings that the test makes. Its packages need a network."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from genai.data.audio_folder import AudioFolder
from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("voice", ROOT / "scripts" / "voice.py")
assert _spec and _spec.loader
script = sys.modules.setdefault("voice", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(script)


def test_texts_of_speech_are_found() -> None:
    texts = script.read_texts("; a comment\n\nactivated: Activated.\ndigits/0: zero: nought\nbeep: [a tone]\n")
    assert texts == {"activated": "Activated.", "digits/0": "zero: nought", "beep": "[a tone]"}
    assert [script.is_speech(name, text) for name, text in texts.items()] == [True, True, False]
    assert not script.is_speech("silence/1", "one") and not script.is_speech("x", "...")


def test_silence_is_trimmed() -> None:
    tone = np.round(8000 * np.sin(np.arange(16_000) * 0.1)).astype(np.int16)
    padded = np.concatenate([np.zeros(8_000, np.int16), tone, np.zeros(8_000, np.int16)])
    assert len(script.trim(padded)) == 16_000 + 640 + 1280
    assert not len(script.trim(np.zeros(8_000, np.int16))) and not len(script.trim(tone[:1_000]))


def test_the_folder_is_read_as_data(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    recordings = [
        script.Recording(f"r{number}", f"text {number // 2}", draw.integers(-99, 99, 4_000).astype(np.int16))
        for number in range(80)
    ]
    script.write_folder(recordings, tmp_path, "terms")
    source = AudioFolder(str(tmp_path))
    assert len(source.train) + len(source.val) == 80 and 2 <= len(source.val) <= 16
    assert not {*source.train.prompts} & {*source.val.prompts}  # type: ignore[misc]
    assert source.train.column("speaker")[0] == "allison"
    assert "CC-BY-SA-3.0" in (tmp_path / "consent.yaml").read_text()
