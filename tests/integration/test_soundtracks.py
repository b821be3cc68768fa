"""The sound of a clip: from the command line, again from its recipe, from Python, measured."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import genai
from genai.data.world_soundtrack import WorldSoundtrack
from genai.errors import Mistake
from genai.metrics.base import Study
from genai.metrics.onsets import InSync
from genai.modalities.clip import Clip
from genai.modalities.sight import SIDE
from genai.modalities.sound import Sound
from genai.model import Model
from tests.conftest import SMALL_AUDIO

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    runs = tmp_path_factory.mktemp("runs")
    return genai.fit(*SMALL_AUDIO, "data=world_soundtrack", f"runs={runs}", "steps=3", "preview_every=2")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file of a second and a quarter."""
    frames = WorldSoundtrack(items=1).train[0].beside.frames[:10]
    (tmp_path / "clip.mp4").write_bytes(Clip(frames, 8).to_bytes())
    return tmp_path / "clip.mp4"


def test_a_clip_is_heard_and_its_recipe_makes_it_again(
    model: Model, clip: Path, tmp_path: Path, inside: Command
) -> None:
    assert model.file
    made = inside("sample", f"ckpt={model.file}", "clip=clip.mp4", "out=a", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    recipe = json.loads((tmp_path / "a" / "000.json").read_text())
    assert recipe["options"]["clip"] == str(clip) and str(clip) in recipe["files"] and recipe["prompt"] == ""
    assert Sound.read(tmp_path / "a" / "000.wav").seconds == pytest.approx(1.25)
    assert not (tmp_path / "a" / "001.wav").exists()
    again = inside("sample", f"ckpt={model.file}", "from=a/000.json", "out=b", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a" / "000.wav").read_bytes() == (tmp_path / "b" / "000.wav").read_bytes()
    clip.rename(tmp_path / "a" / "000.mp4")
    apart = inside("sample", f"ckpt={model.file}", "clip=a/000.mp4", "out=a", cwd=tmp_path)
    assert apart.returncode == 2 and "would be replaced" in apart.stderr
    gone = inside("sample", f"ckpt={model.file}", "from=a/000.json", "out=b", cwd=tmp_path)
    assert gone.returncode == 2 and "clip.mp4 is not there" in gone.stderr


def test_a_clip_has_to_be_said(model: Model, tmp_path: Path, inside: Command) -> None:
    silent = inside("sample", f"ckpt={model.file}", "out=a", cwd=tmp_path)
    assert silent.returncode == 2 and "clip=FILE" in silent.stderr and not (tmp_path / "a").exists()
    missing = inside("sample", f"ckpt={model.file}", "clip=nothing.mp4", "out=a", cwd=tmp_path)
    assert missing.returncode == 2 and "nothing.mp4" in missing.stderr


def test_a_clip_is_a_file_or_a_value(model: Model, clip: Path) -> None:
    by_path, by_name, by_value = (
        model.sample("", clip=each)[0].samples for each in (clip, str(clip), Clip.read(clip, about=SIDE))
    )
    assert len(by_path) == 10_000
    assert np.array_equal(by_path, by_name) and np.array_equal(by_path, by_value)
    with pytest.raises(Mistake, match="clip="):
        model.sample("", clip=3)


def test_previews_are_made_and_soundtracks_measured(model: Model) -> None:
    assert model.file
    previews = model.file.parent.parent / "previews"
    assert len(list(previews.glob("*/*.wav"))) >= 3 and list(previews.glob("*/sheet.png"))
    figures = InSync().measure(Study(model, WorldSoundtrack(items=30), n=2))
    assert figures["onset_f1"].value is not None and figures["onset_f1"].beside > 0.5  # type: ignore[operator]
