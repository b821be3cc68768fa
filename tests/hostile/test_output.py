"""What is printed: names, captions and samples without control characters; nothing is left out without a word."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genai.core.terminal import terminal_text
from genai.data.audio_folder import AudioFolder
from genai.data.chat import ChatFiles
from genai.data.folder import Folder
from genai.data.image_folder import ImageFolder
from genai.data.text import TextFolder
from genai.runs.run import Run
from tests.conftest import copy_run
from tests.hostile.attempts import dangling, device, listener, loop, noise, pipe, sparse

Command = Callable[..., subprocess.CompletedProcess[str]]
ESCAPES = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202egnp"
"""Sets a window's title, a colour, clears the screen, turns the direction of writing."""


def assert_plain(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert terminal_text(text) == text


# ------------------------------------------------------------------------------------------------ control characters


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path, "PNG")


PICTURES: dict[str, Callable[[Path], object]] = {
    "a file name": lambda root: picture(root / f"{ESCAPES}.png", 9),
    "the name of a broken file": lambda root: (root / f"{ESCAPES}.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
    "a class folder": lambda root: picture(root / ESCAPES / "9.png", 9),
    "a caption": lambda root: (root / "0.txt").write_text(f"red {ESCAPES}"),
    "a caption without a picture": lambda root: (root / f"{ESCAPES}.txt").write_text("red"),
    "a caption that is no text": lambda root: (root / f"{ESCAPES}.txt").write_bytes(b"\xff\xfe\xfd"),
    "a table": lambda root: (root / "metadata.jsonl").write_text(
        json.dumps({"file_name": "0.png", "text": ESCAPES}) + "\n" + json.dumps({"file_name": ESCAPES, "text": "a"})
    ),
    "the columns of a table": lambda root: (root / "metadata.csv").write_text(f"{ESCAPES},b\n0.png,red\n"),
    "a copy": lambda root: picture(root / f"{ESCAPES}.png", 0),
    "a linked folder": lambda root: (root / ESCAPES).symlink_to(root),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_names_and_captions_reach_the_terminal_without_control_characters(
    kind: str, inside: Command, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for value in range(4):
        picture(data / f"{value}.png", value * 60)
    PICTURES[kind](data)
    small = ["model.network.width=8", "model.network.blocks=1", "model.prompt.width=16", "modality.size=8"]
    small += ["batch=2", "val_items=2", "steps=1", "trainer=cpu", "model.sampling.steps=1"]
    done = inside("train", "modality=image", "data=image_folder", f"data.path={data}", *small, cwd=tmp_path)
    assert_plain(done)


@pytest.mark.parametrize("kind", ["prompt", "stop", "out", "recorded prompt", "recorded word", "recipe", "folder"])
def test_words_and_records_reach_the_terminal_without_control_characters(
    kind: str, inside: Command, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = copy_run(trained("text"), tmp_path / (ESCAPES if kind == "folder" else "runs"))
    words = {"prompt": [f"prompt={ESCAPES}"], "stop": [f"stop={ESCAPES}"], "out": [f"out={tmp_path / ESCAPES}"]}
    record = Run(run).record
    if kind == "recorded prompt":
        Run(run).write_record(prompts=[ESCAPES])
    if kind == "recorded word":
        Run(run).write_record(overrides=[*record.overrides, f"data.path={ESCAPES}"])
    if kind == "recipe":
        assert inside("sample", f"ckpt={run}", "length=4", "n=1", "out=first", cwd=tmp_path).returncode == 0
        (recipe,) = (tmp_path / "first").glob("*.json")
        recipe.write_text(json.dumps({**json.loads(recipe.read_text()), "prompt": ESCAPES}))
        words["recipe"] = [f"from={recipe}"]
    sample = ["length=4", "n=1"] if kind != "recipe" else []
    assert_plain(
        inside("sample", *([f"ckpt={run}"] if kind != "recipe" else []), *sample, *words.get(kind, []), cwd=tmp_path)
    )
    assert_plain(inside("page", f"samples={tmp_path / ESCAPES}" if kind == "out" else f"ckpt={run}", cwd=tmp_path))


# --------------------------------------------------------------------------------------------------------- omissions


def texts(root: Path) -> TextFolder:
    for number in range(4):
        (root / f"{number}.txt").write_text(f"text {number}")
    return TextFolder(str(root))


def talks(root: Path) -> ChatFiles:
    for number in range(4):
        (root / f"{number}.jsonl").write_text(json.dumps({"source": f"question {number}", "target": "answer"}))
    return ChatFiles(str(root))


def pictures(root: Path) -> Folder:
    for value in range(4):
        picture(root / f"{value}.png", value * 60)
    return ImageFolder(str(root))


def sounds(root: Path) -> Folder:
    import soundfile

    for number in range(4):
        soundfile.write(root / f"{number}.wav", np.full(800, number / 8, np.float32), 8000)
    return AudioFolder(str(root))


@pytest.mark.parametrize("make", [pipe, device, sparse, listener, loop, dangling, noise])
@pytest.mark.parametrize(
    ("source", "name"), [(texts, "x.txt"), (talks, "x.jsonl"), (pictures, "x.png"), (sounds, "x.wav")]
)
def test_what_is_no_usable_file_is_named(
    make: Callable[[Path], None], source: Callable[[Path], TextFolder | ChatFiles | Folder], name: str, tmp_path: Path
) -> None:
    made = source(tmp_path)
    make(tmp_path / name)
    assert len(made.train) + len(made.val) == 4
    assert any(name in line for line in made.skipped), made.skipped


@pytest.mark.parametrize("source", [texts, pictures, sounds])
def test_a_linked_folder_is_read(source: Callable[[Path], TextFolder | Folder], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    made = source(tmp_path / "data")
    for file in list((tmp_path / "data").iterdir())[:2]:
        os.replace(file, tmp_path / "elsewhere" / file.name)
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(made.train) + len(made.val) == 4


def test_empty_texts_and_copies_are_counted(tmp_path: Path) -> None:
    made = texts(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "copy.txt").write_text("text 0")
    assert "left out: 1 empty, 1 copies" in made.description
