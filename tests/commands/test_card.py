"""``python -m genai card``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai.exchange.manifest import MANIFEST
from genai.inference.card import model_card, public_record
from genai.inference.model import load
from tests.conftest import copy_run


@pytest.fixture
def run(trained: Callable[[str], Path], tmp_path: Path) -> Path:
    return copy_run(trained("image"), tmp_path)


def test_the_card_of_a_run_stands_in_its_folder(run: Path, inside: Callable[..., Any], tmp_path: Path) -> None:
    done = inside("card", f"ckpt={run}", "json=true", "license=mit", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split("\n")[0] == f"card in {run / 'model_card.md'}"
    model = load(run, device="cpu")
    model.record["license"] = "mit"
    assert (run / "model_card.md").read_text(encoding="utf-8") == model_card(model)
    assert json.loads((run / "model_card.json").read_text(encoding="utf-8")) == public_record(model)


def test_an_exported_folder_stays_as_it_is(run: Path, inside: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "given"
    assert inside("export", f"ckpt={run}", f"out={out}", "format=genai", cwd=tmp_path).returncode == 0
    done = inside("card", f"ckpt={out}", cwd=tmp_path)
    assert done.returncode == 2 and "out=model_card.md" in done.stderr
    assert sorted(file.name for file in out.iterdir()) == ["README.md", "config.json", MANIFEST, "model.safetensors"]
    done = inside("card", f"ckpt={out}", "out=card.md", cwd=tmp_path)
    assert done.returncode == 0 and "# Image Diffusion" in (tmp_path / "card.md").read_text(encoding="utf-8")
    assert load(out, device="cpu").digest in (tmp_path / "card.md").read_text(encoding="utf-8")


def test_a_wrong_value_is_named(run: Path, inside: Callable[..., Any], tmp_path: Path) -> None:
    for word, part in (
        (f"out={tmp_path}", "is a folder"),
        ("out=card.json", "Markdown"),
        ("json=yes please", "json"),
        ("wights=raw", "weights"),
    ):
        done = inside("card", f"ckpt={run}", word, cwd=tmp_path)
        assert done.returncode == 2 and part in done.stderr, word
    assert not (run / "model_card.md").exists()
