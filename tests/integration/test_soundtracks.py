"""The sound of a clip, and of clips that are made: from the command line, from its recipe, from Python, measured."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

import genai
from genai.core.errors import UserError
from genai.inference.model import Model
from genai.media.clip import Clip
from genai.media.sound import Sound
from genai.metrics.base import EvalContext
from genai.modalities.visual_onsets import MAX_ANALYSIS_SIDE
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.metrics.onsets import OnsetF1
from tests.stubs import decoded, decoded_files

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(trained: Callable[[str], Path]) -> Model:
    return genai.load(trained("soundtrack"))


@pytest.fixture(scope="module")
def films(trained: Callable[[str], Path]) -> Model:
    """What makes clips of two seconds."""
    return genai.load(trained("video"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file of a second and a quarter."""
    frames = ToySoundtracks(items=1).train[0].conditioning.frames[:10]
    (tmp_path / "clip.mp4").write_bytes(Clip(frames, 8).to_bytes())
    return tmp_path / "clip.mp4"


def test_a_clip_is_heard_and_its_recipe_makes_it_again(
    model: Model, clip: Path, tmp_path: Path, inside: Command
) -> None:
    assert model.file
    process = inside("sample", f"ckpt={model.file}", "clip=clip.mp4", "out=a", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    recipe = json.loads((tmp_path / "a" / "000.json").read_text())
    assert recipe["options"]["clip"] == str(clip) and str(clip) in recipe["files"] and recipe["prompt"] == ""
    assert Sound.read(tmp_path / "a" / "000.wav").seconds == pytest.approx(1.25)
    assert not (tmp_path / "a" / "001.wav").exists()
    again = inside("sample", f"ckpt={model.file}", "from=a/000.json", "out=b", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert decoded_files(tmp_path / "a", "000.wav") == decoded_files(tmp_path / "b", "000.wav")
    clip.rename(tmp_path / "a" / "000.mp4")
    same_file = inside("sample", f"ckpt={model.file}", "clip=a/000.mp4", "out=a", cwd=tmp_path)
    assert same_file.returncode == 2 and "would be replaced" in same_file.stderr
    missing_file = inside("sample", f"ckpt={model.file}", "from=a/000.json", "out=b", cwd=tmp_path)
    assert missing_file.returncode == 2 and "clip.mp4 is missing" in missing_file.stderr


def test_a_clip_has_to_be_said(model: Model, tmp_path: Path, inside: Command) -> None:
    silent = inside("sample", f"ckpt={model.file}", "out=a", cwd=tmp_path)
    assert silent.returncode == 2 and "clip=FILE" in silent.stderr and not (tmp_path / "a").exists()
    missing = inside("sample", f"ckpt={model.file}", "clip=nothing.mp4", "out=a", cwd=tmp_path)
    assert missing.returncode == 2 and "nothing.mp4" in missing.stderr


def test_a_clip_is_a_file_or_a_value(model: Model, clip: Path) -> None:
    by_path, by_name, by_value = (
        model.sample("", clip=each)[0].samples
        for each in (clip, str(clip), Clip.read(clip, short_side=MAX_ANALYSIS_SIDE))
    )
    assert len(by_path) == 10_000
    assert np.array_equal(by_path, by_name) and np.array_equal(by_path, by_value)
    with pytest.raises(UserError, match="clip="):
        model.sample("", clip=3)


def test_previews_are_made_and_soundtracks_measured(model: Model) -> None:
    assert model.file
    previews = model.file.parent.parent / "previews"
    assert len(list(previews.glob("*/*.wav"))) >= 3 and list(previews.glob("*/sheet.png"))
    figures = OnsetF1().compute(EvalContext(model, ToySoundtracks(items=30), n=2))
    assert figures["onset_f1"].value is not None and figures["onset_f1"].reference > 0.5  # type: ignore[operator]


def test_samples_have_their_sound_and_a_recipe_makes_one_again(
    model: Model, films: Model, tmp_path: Path, inside: Command
) -> None:
    run = tmp_path / "runs" / "2026-01-30" / "12-00-00-audio-wavenet"
    shutil.copytree(model.file.parent.parent, run)  # type: ignore[union-attr]
    process = inside(
        "sample", f"ckpt={films.file}", f"soundtrack={run}", "prompt=a", "n=2", "steps=2", "out=a", cwd=tmp_path
    )
    assert process.returncode == 0 and f"soundtrack {run}" in process.stderr, process.stderr
    recipe = json.loads((tmp_path / "a" / "001.json").read_text())
    assert recipe["sound"]["checkpoint_sha256"] == model.digest
    file = tmp_path / "a" / "001.mp4"
    with av.open(str(file)) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
        assert container.duration / 1e6 == pytest.approx(2, abs=0.01)  # type: ignore[operator]
    silent = films.sample("a", n=2, steps=2)[1]
    expected = silent.with_sound(model.sample("", seed=1, clip=silent)[0]).to_bytes()
    assert decoded(expected) == decoded(file.read_bytes())
    run.rename(run := tmp_path / "runs" / "2026-01-30" / "moved")
    again = inside("sample", f"ckpt={films.file}", "from=a/001.json", "out=b", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert decoded((tmp_path / "b" / "001.mp4").read_bytes()) == decoded(file.read_bytes())
    for path in run.glob("checkpoints/best.ckpt*"):
        path.unlink()
    for path in run.glob("checkpoints/*.sha256"):
        path.write_text("0" * 64)
    changed = inside("sample", f"ckpt={films.file}", "from=a/001.json", "out=c", cwd=tmp_path)
    assert changed.returncode == 2 and "has changed since" in changed.stderr and "soundtrack=" in changed.stderr
    other = inside("sample", f"ckpt={films.file}", "from=a/001.json", f"soundtrack={films.file}", "out=c", cwd=tmp_path)
    assert other.returncode == 2 and "is not a soundtrack model" in other.stderr and not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["format=apng"], "a .png file cannot hold sound. Use format=mp4"),
        (["format=webp"], "a .webp file cannot hold sound"),
        (["soundtrack={films}"], "is not a soundtrack model. Train one"),
        (["soundtrack={sound}x"], "Did you mean '{name}'"),
        (["ckpt={sound}", "clip=a.mp4"], "soundtrack=: only clips can have a soundtrack, not audio"),
    ],
)
def test_a_sound_that_cannot_be_is_refused_before_anything_is_made(
    words: list[str], message: str, model: Model, films: Model, tmp_path: Path, inside: Command
) -> None:
    assert model.file and films.file
    known = {"sound": model.file, "films": films.file, "name": model.file.name}
    keys = dict(word.format(**known).split("=", 1) for word in ("ckpt={films}", "soundtrack={sound}", *words))
    done = inside("sample", *(f"{key}={value}" for key, value in keys.items()), "out=a", cwd=tmp_path)
    assert done.returncode == 2 and message.format(**known) in done.stderr and not (tmp_path / "a").exists()
    assert len(done.stderr.splitlines()) == 1


def test_the_sound_of_samples_is_measured(model: Model, films: Model, tmp_path: Path, inside: Command) -> None:
    words = f"ckpt={films.file}", f"soundtrack={model.file}", "n=3", "steps=2", "out=a.json"
    done = inside("evaluate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["sound"]["checkpoint_sha256"] == model.digest
    assert report["metrics"].keys() >= {"onset_f1", "onset_f1_shuffled", "clips_counted", "bounces_counted"}
    assert report["metrics"]["clips_counted"]["reference"] == 1
    without_model = inside("evaluate", *words[::2], "metrics=[soundtrack_onsets]", cwd=tmp_path)
    assert without_model.returncode == 2 and "needs a soundtrack model: soundtrack=RUN" in without_model.stderr
    unused = inside("evaluate", *words, "metrics=[toy_video]", cwd=tmp_path)
    assert unused.returncode == 2 and "none of these metrics uses it. Add soundtrack_onsets" in unused.stderr
