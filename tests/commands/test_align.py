"""Times of words in a folder of recordings, from the command line."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.media.sound import Sound

Command = Callable[..., subprocess.CompletedProcess[str]]
RATE = 16_000
LETTERS = {"a": (700, 1200), "i": (300, 2300), "o": (450, 900), "s": (5000, 6500), "m": (250, 2000)}
"""Two peaks of the spectrum of each letter, in Hz."""
TEXTS = [
    "ma so",
    "si am",
    "oma si",
    "sam io",
    "mo sia",
    "as im",
    "iso ma",
    "sao mi",
    "mi os",
    "asi mo",
    "so im",
    "mas i",
]


def say(text: str, seconds: float = 0.11) -> NDArray[np.float32]:
    """Return each letter as harmonics around its peaks, or noise; silence before, after and between words."""
    random, times = np.random.default_rng(3), np.arange(round(seconds * RATE)) / RATE
    parts = [np.zeros(RATE // 10)]
    for letter in text:
        if letter == " ":
            parts.append(np.zeros(RATE // 10))
            continue
        pitches = np.arange(130, 7000, 130) if letter != "s" else random.uniform(3000, 7900, 300)
        gains = sum(np.exp(-(((pitches - peak) / 250) ** 2)) + 0.01 for peak in LETTERS[letter])
        phases = random.uniform(0, 2 * np.pi, (len(pitches), 1))
        parts.append((gains[:, None] * np.sin(2 * np.pi * pitches[:, None] * times + phases)).sum(0) / 30)
    sound = np.concatenate([*parts, np.zeros(RATE // 10)])
    return (sound + random.normal(0, 1e-4, len(sound))).astype(np.float32)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings, of which ``5`` has the text of another one."""
    folder = tmp_path_factory.mktemp("voice")
    rows = []
    for index, text in enumerate(TEXTS):
        (folder / f"{index}.wav").write_bytes(Sound(say(text), RATE).to_bytes())
        rows.append(f"{index}.wav,{'sososo mamama' if index == 5 else text}")
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *rows]))
    return folder


@pytest.fixture
def run(inside: Command, tmp_path: Path) -> Command:
    """Run the command in an empty folder."""
    return lambda *words: inside("align", *words, cwd=tmp_path)


def test_times_and_a_wrong_text(run: Command, voice: Path, tmp_path: Path) -> None:
    done = run(f"data.path={voice}", "phones=letters", "out=times", "formats=[json,textgrid,srt]")
    assert done.returncode == 0, done.stderr
    files = {file.name for file in (tmp_path / "times").iterdir()}
    assert files == {f"{i}.{suffix}" for i in range(12) for suffix in ("json", "TextGrid", "srt")} | {"scores.csv"}
    times = json.loads((tmp_path / "times" / "2.json").read_text())
    assert [word["text"] for word in times["words"]] == ["oma", "si"]
    starts = [word["start"] for word in times["words"]]
    np.testing.assert_allclose(starts, [0.1, 0.1 + 3 * 0.11 + 0.1], atol=0.04)
    assert [phone["symbol"] for word in times["words"] for phone in word["phones"]] == list("omasi")
    with (tmp_path / "times" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file_name"] == "5.wav" and float(rows[0]["score"]) < float(rows[1]["score"])
    assert "5.wav  sososo mamama" in done.stdout and "letters as phones" in done.stdout


def test_mistakes_write_nothing(run: Command, voice: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    for words, message in {
        ("out=there",): "is there already: name a new folder",
        ("formats=[json,vtt]",): "vtt",
        ("language=?",): "no code of a language",
        ("lexicon=no.txt",): "no.txt",
    }.items():
        done = run(f"data.path={voice}", "phones=letters", *words)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert [file.name for file in tmp_path.iterdir()] == ["there"]
    assert run().returncode == 2
