"""The card of an exported model: facts from its record, and nothing that a stranger's text adds."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai.inference.base import describe_base
from genai.inference.card import model_card, public_record
from genai.inference.model import Model, load
from genai.runs.record import BaseRecord
from genai.runs.run import Run
from tests.conftest import copy_run

Trained = Callable[[str], Path]


@pytest.fixture
def model(trained: Trained) -> Model:
    return load(trained("image"), device="cpu")


def metadata(card: str) -> dict[str, Any]:
    _, body, _ = card.split("---\n", 2)
    return dict(yaml.safe_load(body))


def rows(card: str) -> dict[str, str]:
    cells = [line.strip("| ").split(" | ") for line in card.split("\n") if line.startswith("| ")]
    return {row[0]: row[1] for row in cells if len(row) == 2}


def test_it_says_what_is_known(model: Model) -> None:
    card = model_card(model)
    assert metadata(card) == {"library_name": "genai", "pipeline_tag": "text-to-image", "tags": ["genai"]}
    facts = rows(card)
    assert facts["data"] == "toy world of genai" and facts["data, license"] == "mit"
    assert facts["data, hash"] == model.record["data"]["hash"] and facts["checkpoint, sha256"] == model.digest
    assert facts["best validation loss"] == f"{model.record['best']['val_loss']:.4f}"
    assert "The license of this model is not known here" in card and 'genai.load("path/to/this/folder")' in card


@pytest.mark.parametrize(
    ("kind", "task"),
    [("text", "text-generation"), ("audio", "text-to-audio"), ("enhancer", "audio-to-audio"), ("soundtrack", None),
     ("video", "text-to-video"), ("gan", "text-to-image")],
)  # fmt: skip
def test_the_hub_knows_its_task(kind: str, task: str | None, trained: Trained) -> None:
    assert metadata(model_card(load(trained(kind), device="cpu"))).get("pipeline_tag") == task


def test_pictures_without_prompts_are_another_task(model: Model) -> None:
    model.record["known_prompts"] = {"count": 0, "prompts": [], "num_words": 0, "words": ""}
    assert metadata(model_card(model))["pipeline_tag"] == "unconditional-image-generation"


def test_license_and_base_go_into_the_metadata(model: Model) -> None:
    model.record["base"] = {"name": "HuggingFaceTB/SmolLM2-135M", "digest": "12ab", "license": "apache-2.0"}
    model.record["data"] = {"name": "a/b", "license": "cc-by-4.0"}
    card = model_card(model, "transformers")
    assert metadata(card) == {
        "license": "apache-2.0", "base_model": "HuggingFaceTB/SmolLM2-135M", "datasets": ["a/b"],
        "genai_base": "HuggingFaceTB/SmolLM2-135M", "library_name": "transformers", "pipeline_tag": "text-to-image",
        "tags": ["genai"],
    }  # fmt: skip
    facts = rows(card)
    assert facts["base, license"] == "apache-2.0" and facts["base, sha256"] == "12ab" and "not known" not in card
    model.record["license"] = "my own license"
    assert metadata(model_card(model))["license"] == "other"
    assert metadata(model_card(model))["license_name"] == "my own license"


@pytest.mark.parametrize(
    ("library_name", "call"),
    [
        ("genai", 'genai.load("path/to/this/folder")'),
        ("transformers", 'genai.load("path/to/this/folder")'),
        ("gguf", 'genai.load("path/to/this/folder/model.gguf")'),
        ("peft", 'genai.load("path/to/the/base", adapter="path/to/this/folder")'),
    ],
)
def test_it_says_how_to_open_the_folder(library_name: str, call: str, model: Model) -> None:
    assert call in model_card(model, library_name)


EVIL = (
    "mit\n---\nbase_model: evil/evil\n", "x | y |\n| z", "<script>alert(1)</script>", "[a](http://evil)", "`a`",
    "!!python/object:os.system", "*a", "- a\n- b", "\x1b[2J", "a: b", "\u2028license: gpl", "---", "a" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_a_strangers_text_adds_nothing(text: str, model: Model) -> None:
    plain = model_card(model)
    model.record |= {"license": text, "base": {"name": text, "digest": text, "license": text}}
    model.record["data"] = {"name": text, "license": text, "description": text, "hash": text}
    model.record["scores"] = [{"name": text, "value": 1.0, "description": text}]
    model.file = None  # scores of a run are its own
    card = model_card(model)
    values = metadata(card)
    assert (
        set(values) - set(metadata(plain)) <= {"license", "license_name", "genai_base"}
        and "evil/evil" not in values.values()
    )
    assert values.get("license") in ("other", None)
    lines = card.split("---\n", 2)[2].split("\n")
    assert not [line for line in lines if line.strip() == "---" or "<script>" in line or re.search(r"[^\\]\]\(", line)]
    for line in lines:
        if line.startswith("| "):
            cells = line.replace("\\\\", "").replace("\\|", "").count("|") - 1
            assert cells == (4 if "| 1 |" in line or line.startswith("| metric") else 2), line
    assert len(card) < 10_000 and "\x1b" not in card


def test_scores_are_those_of_this_checkpoint(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("image"), tmp_path)
    model = load(run, device="cpu")
    metrics = {
        "frechet": {"value": 1.25, "standard_error": 0.5, "reference": 0.5, "description": "distance"},
        "film_distance": {"value": 1.0, "description": "by an old name"},
        "broken": 3,
    }
    report = {"checkpoint_sha256": model.digest, "weights": "ema", "metrics": metrics}
    (run / "metrics.json").write_text(json.dumps(report))
    assert "| frechet | 1.25 ± 0.5 | 0.5 | distance |" in model_card(model)
    assert public_record(model)["scores"][0]["name"] == "frechet"
    for change in ({"checkpoint_sha256": "0"}, {"weights": "raw"}, {"metrics": []}):
        (run / "metrics.json").write_text(json.dumps(report | change))
        assert "frechet" not in model_card(model)
    (run / "metrics.json").write_text("{")
    assert "## Scores" not in model_card(model)


def test_the_license_of_a_base_is_that_of_what_it_was_trained_from(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("text"), tmp_path)
    origin = describe_base(run, run / "checkpoints" / "best.ckpt")
    path = str(run / "checkpoints" / "best.ckpt")
    assert origin == BaseRecord(run.name, load(run, device="cpu").digest, "", path)
    Run(run).write_record(base=asdict(BaseRecord("a/b", "12", "apache-2.0")))
    assert describe_base(run, run / "checkpoints" / "best.ckpt").license == "apache-2.0"
    assert metadata(model_card(load(run, device="cpu")))["base_model"] == "a/b"
