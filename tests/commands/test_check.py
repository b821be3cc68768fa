"""What a training run would read, before it runs."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.test_output import picture

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(inside: Command, tmp_path: Path) -> Command:
    """Run the command in an empty folder."""
    return lambda *words: inside("check", *words, cwd=tmp_path)


def test_pictures(run: Command, tmp_path: Path) -> None:
    for value in range(6):
        picture(tmp_path / "data" / ("red_cat" if value % 2 else "dog") / f"{value}.png", value * 40)
    (tmp_path / "data" / "dog" / "broken.png").write_bytes(b"no picture")
    done = run("modality=image", "data=image_folder", "data.path=data", "modality.size=16")
    rows = {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stderr
    assert rows["splits"] == "5 items to train on, 1 held out"
    assert rows["sizes"] == "all 8 x 8 pixels"
    assert rows["seen as"] == "16 x 16 pixels; other shapes are cut to their middle part"
    assert rows["layout"] == "0.1 held out by content; captions: 7 from names of folders"
    assert rows["prompts"].startswith("2 different: ") and "red cat" in rows["prompts"]
    assert "broken.png" in rows["not used"]
    assert {file.name for file in (tmp_path / "check").iterdir()} == {f"check-{index:03d}.png" for index in range(3)}
    assert not (tmp_path / "runs").exists()


def test_the_layout_and_look_alikes(run: Command, tmp_path: Path) -> None:
    for side, values in {"train": (0, 60, 61), "val": (200,)}.items():
        for value in values:
            picture(tmp_path / "data" / side / f"{value}.png", value)
    (tmp_path / "data" / "train" / "0.txt").write_text("a black picture")
    (tmp_path / "data" / "train" / "metadata.csv").write_text("file_name,text\n60.png,gray\n")
    done = run("modality=image", "data=image_folder", "data.path=data", "modality.size=8")
    rows = {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}
    assert rows["layout"] == "train/ and val/; captions: 1 from text files, 1 from tables, 2 files without"
    done = run("modality=image", "data=image_folder", "data.path=data/train", "modality.size=8")
    assert "; 1 look like another one, copies included" in done.stdout


def test_texts_are_shown(run: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(4):
        (tmp_path / "data" / f"{number}.txt").write_text(f"text {number} " * (number + 1) * 40)
    done = run("modality=text", "data=text_folder", "data.path=data", "modality.block=8", "out=seen")
    assert done.returncode == 0 and "from 560 characters to" in done.stdout
    assert "---\ntext " in done.stdout and "prompts" not in done.stdout
    assert len(list((tmp_path / "seen").glob("*.txt"))) == 3


def test_nothing_usable_is_exit_code_2(run: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.png").write_bytes(b"no picture")
    done = run("modality=image", "data=image_folder", "data.path=data")
    assert done.returncode == 2 and "broken.png" in done.stderr and not (tmp_path / "check").exists()


@pytest.mark.parametrize("word", ["-m", "resume=auto"])
def test_it_is_about_one_new_run(word: str, run: Command) -> None:
    done = run("modality=image", word)
    assert done.returncode == 2 and f"{word}: check looks at the data of one new run" in done.stderr


def test_a_wrong_word_and_help(run: Command) -> None:
    assert "There is no option 'stepz'. Did you mean 'steps'" in run("stepz=3").stderr
    assert "python -m genai check" in run("--help").stdout


def test_data_for_a_model_that_is_trained_further(
    run: Command, trained: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    done = run(f"init_from={trained('text')}", "adapter=lora", "data=text_folder", f"data.path={corpus}")
    assert done.returncode == 0, done.stderr
    assert "different tokens (characters), with a context of 16" in done.stdout
    done = run("init_from=nowhere", "adapter=lora")
    assert done.returncode == 2 and "nowhere is not a run folder" in done.stderr


def test_conversations(run: Command, talks: Path) -> None:
    done = run("experiment=sft", f"data.path={talks}")
    assert done.returncode == 0, done.stderr
    learned = [line[10:] for line in done.stdout.splitlines() if line.startswith("learned")]
    assert len(learned) == 3
    assert all(line.startswith("<|im_start|>user") and line.count("[[") == 1 for line in learned)
    assert "messages: 60 rows" in done.stdout
