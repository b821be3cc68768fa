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
from genai.runs.evaluation import GROUP_SCORES
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
    assert facts["source"] == "toy world of genai" and facts["its data"] == "mit"
    assert facts["hash, training"] == model.record["data"]["hash"]
    assert facts["sha256 of the checkpoint"] == model.digest and facts["seed"] == str(model.record["seed"])
    assert facts["energy"].startswith(f"{model.record['energy']['kwh'] * 1000:.3g} Wh")
    assert f"Lowest validation loss: {model.record['best']['val_loss']:.4f}" in card
    assert "**License:** not stated" in card and 'genai.load("path/to/this/folder")' in card
    words = model.record["known_prompts"]["num_words"]
    assert f"of {words:,} words, such as" in card and "parameters, where large models" in card


def test_what_is_unknown_is_said(model: Model) -> None:
    model.record, model.file = {}, None
    card = model_card(model)
    assert "not measured" in card and "python -m genai.evaluate ckpt=" in card and "data.license=" in card
    facts = rows(card)
    assert (
        facts["this model"].startswith("not stated")
        and facts["seed"] == facts["time of the whole run"] == "not recorded"
    )
    assert not [line for line in card.split("\n") if re.search(r"\|\s+\|", line) and line != "| | |"]
    assert "None" not in card and "More Information Needed" not in card


def test_it_names_no_folder_of_this_machine(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("text"), tmp_path)
    model = load(run, device="cpu")
    model.record["copying"] = {
        "step": model.step,
        "alarm": None,
        "note": "cannot read /srv/own/data.csv, see https://a.b/c/d",
    }
    texts = model_card(model) + json.dumps(public_record(model))
    assert "cannot read data.csv, see https://a.b/c/d" in texts
    for secret in (str(tmp_path), str(Path.home()), str(run), model.record["hardware"]["system"], "anna"):
        assert secret not in texts
    data_card = json.loads((run / "data_card.json").read_text())
    assert data_card["source"].startswith("/") and data_card["source"] not in texts


@pytest.mark.parametrize(
    ("kind", "task"),
    [("text", "text-generation"), ("audio", "text-to-audio"), ("enhancer", "audio-to-audio"), ("soundtrack", None),
     ("upscale", "image-to-image"),
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
    base = rows(card)["its base"]
    assert base == "apache-2.0: HuggingFaceTB/SmolLM2-135M, sha256 12ab" and rows(card)["this model"] == "apache-2.0"
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


def cells(line: str) -> int:
    return line.replace("\\\\", "").replace("\\|", "").count("|") - 1


EVIL = (
    "mit\n---\nbase_model: evil/evil\n", "x | y |\n| z", "<script>alert(1)</script>", "[a](http://evil)", "`a`",
    "!!python/object:os.system", "*a", "- a\n- b", "\x1b[2J", "a: b", "\u2028license: gpl", "---", "a" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_a_strangers_text_adds_nothing(text: str, model: Model) -> None:
    plain = model_card(model)
    model.record |= {"license": text, "base": {"name": text, "digest": text, "license": text}}
    model.record["data"] = {"name": text, "license": text, "description": text, "hash": text}
    model.record["scores"] = [{"name": text, "value": 1e300, "standard_error": 1e300, "description": text}]
    model.file = None  # scores of a run are its own
    model.record["evaluation"] = {"n": text}
    model.record["copying"] = {"alarm": True, "copies": 1e300, "note": text, "p": 0.5}
    score = {"value": 0.5, "low": 0.25, "high": text, "worst": text, "best": text}
    model.record["groups"] = {
        "column": text, "groups": [{"name": text, "train_items": 3, "scores": {text: score}}, text, {}],
        "worst_to_best": {text: score, "x": text}, "note": text,
    }  # fmt: skip
    model.record["data_card"] = {
        "consent": text, "split_by": text, "scripts": {text: 1.0}, "personal_data": {text: 1}, "num_texts": 1,
        "notices": [text, "ai.txt"], "opt_outs": {text: text, "ai.txt": text},
    }  # fmt: skip
    model.record["hardware"], model.record["versions"] = {"processor": text}, {"genai": text}
    card = model_card(model)
    values = metadata(card)
    new = {"license", "license_name", "genai_base", "model-index"}
    assert set(values) - set(metadata(plain)) <= new and "evil/evil" not in values.values()
    assert values.get("license") in ("other", None)
    lines = [line for line in card.split("---\n", 2)[2].split("\n") if not line.startswith("    ")]  # not quotes
    assert not [line for line in lines if line.strip() == "---" or "<script>" in line or re.search(r"[^\\]\]\(", line)]
    assert "\u2028" not in card and "\x1b" not in card and len(card) < 30_000
    for table in "\n".join(lines).split("\n\n"):
        columns = {cells(line) for line in table.split("\n") if line.startswith("|")}
        assert len(columns) <= 1, table


def test_scores_are_those_of_this_checkpoint(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("image"), tmp_path)
    model = load(run, device="cpu")
    metrics = {
        "frechet": {"value": 1.25, "standard_error": 0.5, "reference": 0.5, "description": "distance"},
        "follows": {"value": 0.5, "standard_error": 0.0, "description": "share"},
        "follows_shuffled": {"value": 0.25, "description": "share"},
        "color": {"value": 1, "description": "share"},
        "colour": {"value": 1, "description": "by an old name"},
        "broken": 3,
        "another": {"value": "3", "description": "by words"},
    }
    report = {
        "checkpoint_sha256": model.digest,
        "weights": "ema",
        "n": 32,
        "seed": 0,
        "metrics": metrics,
        "groups": GROUPS,
    }
    (run / "metrics.json").write_text(json.dumps(report))
    card = model_card(model)
    assert "| frechet | 1.25 ± 0.98 | 0.5 on real data | distance |" in card and "n=32" in card
    assert "| follows | 0.5 ± 0 | 0.25 with shuffled prompts | share |" in card and "| follows_shuffled" not in card
    assert "by an old name" not in card and "| another | not measurable | none | by words |" in card
    index = metadata(card)["model-index"][0]["results"][0]
    assert index["metrics"][0] == {"type": "frechet", "value": 1.25, "name": "distance"}
    assert index["task"] == {"type": "text-to-image"} and index["dataset"]["name"] == "toy world of genai"
    assert public_record(model)["scores"][0]["name"] == "frechet"
    for change in ({"checkpoint_sha256": "0"}, {"weights": "raw"}, {"metrics": []}):
        (run / "metrics.json").write_text(json.dumps(report | change))
        assert "frechet" not in model_card(model) and "anna" not in model_card(model)
    (run / "metrics.json").write_text("{")
    assert "Other scores: not measured" in model_card(model)


GROUPS = {
    "column": "speaker",
    "groups": [
        {"name": "anna", "train_items": 1200, "held_out_items": 30,
         "scores": {"right": {"value": 0.5, "low": 0.25, "high": 0.75}, "coverage": {"value": 0.5}}},
        {"name": "ben", "train_items": 4, "held_out_items": None, "scores": {}},
    ],
    "worst_to_best": {"right": {"value": 0.5, "low": 0.1, "high": 1.5, "worst": "ben", "best": "anna"}},
    "note": "Few items. loss: too few to say of ben.",
}  # fmt: skip
COPYING = {"alarm": True, "copies": 0.25, "nearer_train": 0.75, "p": 0.001, "samples": 64, "note": "look"}


def test_groups_and_copies_are_on_the_card_and_stay_through_export(
    trained: Trained, tmp_path: Path, inside: Callable[..., Any]
) -> None:
    run = copy_run(trained("image"), tmp_path)
    model = load(run, device="cpu")
    report = {"checkpoint_sha256": model.digest, "weights": "ema", "metrics": {"a": {"value": 1.0}}, "groups": GROUPS}
    (run / "metrics.json").write_text(json.dumps(report))
    Run(run).write_record(copying=COPYING | {"step": model.step})
    card = model_card(load(run, device="cpu"))
    assert "| anna | 1,200 | 30 | 0.5 (0.25 to 0.75) | 0.5 |" in card
    assert "| ben | 4 | not recorded | not measured | not measured |" in card
    assert f"- coverage: {GROUP_SCORES['coverage']}." in card
    assert (
        "| right | 0.5 (0.1 to 1.5) | ben | anna |" in card
        and "- Note: Few items.\n- Note: loss: too few to say of ben." in card
    )
    facts = rows(card)
    assert "**Warning:** it copies its training data" in card and facts["copies among them"] == "25.0%"
    assert facts["p-value of that"] == "0.001" and facts["p-value of canaries"] == "not measured"
    out = tmp_path / "given"
    inside("export", f"ckpt={run}", f"out={out}", "format=genai", cwd=tmp_path)
    assert (out / "README.md").read_text() == card
    exported = load(out, device="cpu")
    text = lambda card: card.replace(exported.digest, "").replace(model.digest, "")  # noqa: E731
    assert text(model_card(exported)) == text(card)


def test_copies_are_those_of_these_weights(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("image"), tmp_path)
    step = load(run, device="cpu").step
    for recorded, weights, is_known in ((step, "ema", True), (step + 1, "ema", False), (step, "raw", False)):
        Run(run).write_record(copying=COPYING | {"step": recorded})
        model = load(run, device="cpu", weights=weights)
        card = model_card(model)
        assert ("**Warning:** it copies" in card) == ("copying" in public_record(model)) == is_known
        assert ("Not measured for these weights." in card) == (not is_known)


def test_a_run_without_alarm_is_not_proven_clean(model: Model) -> None:
    for alarm, words in ((False, "That does not prove"), (None, "could not be tested")):
        model.record["copying"] = {"step": model.step, "alarm": alarm, "copies": 0.0}
        assert words in model_card(model) and "Warning" not in model_card(model)


def test_energy_of_samples_is_that_of_this_checkpoint(
    trained: Trained, tmp_path: Path, inside: Callable[..., Any]
) -> None:
    run = copy_run(trained("image"), tmp_path)
    digest = load(run, device="cpu").digest
    energy = {"kwh_per_1000_samples": 0.002, "how": "rapl", "co2e_kg": 0.001, "kg_per_kwh": 0.5, "samples": 64}
    Run(run).write_record(sampling_energy=energy | {"checkpoint_sha256": digest})
    card = model_card(load(run, device="cpu"))
    known = "2 Wh, rapl = 1 g of CO2e at 0.5 kg/kWh; measured with 64 samples"
    assert rows(card)["energy of 1,000 samples"] == known
    inside("export", f"ckpt={run}", f"out={tmp_path / 'given'}", "format=genai", cwd=tmp_path)
    assert rows(model_card(load(tmp_path / "given", device="cpu")))["energy of 1,000 samples"] == known
    assert "not recorded" in rows(model_card(load(run, device="cpu", weights="raw")))["energy of 1,000 samples"]
    Run(run).write_record(sampling_energy=energy | {"checkpoint_sha256": "0"})
    assert "not recorded" in rows(model_card(load(run, device="cpu")))["energy of 1,000 samples"]


def test_copies_that_could_not_be_tested_are_a_warning(model: Model) -> None:
    model.record["copying"] = {"step": model.step, "alarm": None, "copies": 0.5, "samples": 24}
    card = model_card(model)
    assert "**Warning:** copies of its training data were found" in card
    assert "**Copies of training data were found.**" in card and "It could not be tested whether it copies" not in card


def test_opt_outs_are_quoted_and_people_are_not(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("image"), tmp_path)
    card = json.loads((run / "data_card.json").read_text())
    card["notices"] = [
        {"name": "ai.txt", "text": "User-Agent: *\n</pre># Disallow: /"}, {"name": "consent.yaml", "text": "anna: yes"},
    ]  # fmt: skip
    card |= {"personal_data": {"counts": {"mail": 2}, "texts": 1, "examples": {"mail": ["a***@e***.org"]},
                               "record": {"mode": "mask", "counts": {"phone": 3}}},
             "sample": {"texts": 7, "characters": 70, "items": 9}}  # fmt: skip
    (run / "data_card.json").write_text(json.dumps(card))
    text = model_card(load(run, device="cpu"))
    assert "    User-Agent: *\n    </pre># Disallow: /" in text and "anna" not in text and "@" not in text
    facts = rows(text)
    assert facts["personal data"] == "2 mail, in 70 characters of 7 items" and facts["opt-outs"] == "ai.txt"
    assert facts["personal data, all texts"] == "3 phone: masked"
    assert facts["other files beside the data"] == "consent.yaml"


@pytest.mark.peers
def test_the_hub_reads_the_metadata(trained: Trained, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    run = copy_run(trained("image"), tmp_path)
    model = load(run, device="cpu")
    metrics = {"frechet": {"value": 1.25, "description": "a | b: 'c'\n---\n"}, "n": {"value": 3}}
    (run / "metrics.json").write_text(
        json.dumps({"checkpoint_sha256": model.digest, "weights": "ema", "metrics": metrics})
    )
    model.record |= {"license": "my own", "base": {"name": "a/b"}}
    (tmp_path / "README.md").write_text(model_card(model), encoding="utf-8")
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.license_name, data.base_model) == ("other", "my own", "a/b")
    assert (data.library_name, data.pipeline_tag, data.tags) == ("genai", "text-to-image", ["genai"])
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [("frechet", 1.25), ("n", 3)]
    assert data.eval_results[0].task_type == "text-to-image"


def test_the_license_of_a_base_is_that_of_what_it_was_trained_from(trained: Trained, tmp_path: Path) -> None:
    run = copy_run(trained("text"), tmp_path)
    origin = describe_base(run, run / "checkpoints" / "best.ckpt")
    path = str(run / "checkpoints" / "best.ckpt")
    assert origin == BaseRecord(run.name, load(run, device="cpu").digest, "", path)
    Run(run).write_record(base=asdict(BaseRecord("a/b", "12", "apache-2.0")))
    assert describe_base(run, run / "checkpoints" / "best.ckpt").license == "apache-2.0"
    assert metadata(model_card(load(run, device="cpu")))["base_model"] == "a/b"
