"""``python -m genai prepare``."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.data.prepared import Prepared

Command = Callable[..., subprocess.CompletedProcess[str]]
WORDS = ("modality=image", "modality.size=16", "data=webdataset", "data.val_fraction=0.4", "processes=1")


def test_it_says_what_it_made_and_how_to_train(inside: Command, tars: Path, tmp_path: Path) -> None:
    done = inside("prepare", *WORDS, f"data.path={tars}", "out=data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    count = len(Prepared(str(tmp_path / "data")).train)
    assert lines[0].startswith(f"train     {count} items in 2 shards, ") and lines[1].startswith("val       ")
    assert lines[2].endswith("python -m genai.train modality=image modality.size=16 data=prepared data.path=data")
    assert inside("prepare", *WORDS, f"data.path={tars}", "out=data", cwd=tmp_path).stdout == done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "out= is missing"),
        (("out=x", "processes=0"), "processes=0: it should be a whole number"),
        (("out=x", "processes=100000"), "this machine has"),
        (("out=x", "resume=auto"), "resume=auto: prepare reads"),
        (("out=x", "data.path=nowhere"), "data.path=nowhere: there is no such file"),
        (("out=x", "data.pth=nowhere"), "data.pth"),
    ],
)
def test_mistakes(inside: Command, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    known = [word for word in WORDS if not word.startswith("processes") or words != ()]
    done = inside("prepare", *[word for word in known if "processes" not in word], *words, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and not (tmp_path / "x").exists()


def test_data_of_a_modality_that_has_none_of_them(inside: Command, tars: Path, tmp_path: Path) -> None:
    done = inside("prepare", "modality=text", "data=image_folder", f"data.path={tars}", "out=x", cwd=tmp_path)
    assert done.returncode == 2 and "Text does not fit ImageFolder" in done.stderr
