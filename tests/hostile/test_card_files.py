"""Files beside a model that a stranger changed: the card is made, or refused in a line."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import UserError
from genai.inference.card import model_card, public_record
from genai.inference.model import Model, load
from tests.conftest import copy_run

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
MARKUP = re.compile(r"(?<!\\)<|(?<!\\)\]\(")
EVIL = "<b>[a](http://evil)</b>\x1b[2J\x9b\u202e\n# x"
VALUES = (5, -1e300, [], {}, EVIL + "a" * 5_000, [EVIL, {EVIL: [EVIL]}, EVIL])
GROUPS = {
    "column": "who",
    "groups": [{"name": "a", "train_items": 1, "scores": {"loss": {"value": 1.0, "low": 0.5, "high": 2.0}}}],
    "worst_to_best": {"loss": {"value": 1.0, "worst": "a", "best": "b"}},
    "note": "Few. None.",
}
COPYING = {"alarm": True, "copies": 0.5, "p": 0.1, "samples": 9, "canaries_p": 0.5, "note": "x", "step": 3}
DATA_CARD = {
    "consent": "no",
    "exact_duplicates": 1,
    "scripts": {"Latin": 1.0},
    "skipped": {"messages": 1},
    "personal_data": {"counts": {"mail": 1}, "record": {"mode": "mask", "counts": {"mail": 1}}},
    "sample": {"texts": 1, "characters": 5},
    "notices": [{"name": "ai.txt", "text": "no"}, {"name": "LICENSE", "text": "mit"}],
}


def changed(value: Any) -> Iterator[Any]:
    """Yield copies of plain values, in which each value in turn is one of ``VALUES``, and each name is ``EVIL``."""
    yield from VALUES
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        rest = copy.copy(value)
        for part in changed(value[key]):
            rest[key] = part
            yield rest
        if isinstance(value, dict):
            yield {EVIL: value[key], **{name: part for name, part in value.items() if name != key}}


@pytest.fixture
def model(trained: Callable[[str], Path], tmp_path: Path) -> Model:
    return load(copy_run(trained("image"), tmp_path), device="cpu")


def check(model: Model) -> bool:
    """Check the card, which may be refused; return whether there is one."""
    try:
        card, record = model_card(model), json.dumps(public_record(model), ensure_ascii=False)
    except UserError:
        return False
    lines = [line for line in card.split("\n") if not line.startswith("    ")]  # without quotes
    assert not CONTROL.search(card + record)
    assert not [line for line in lines if MARKUP.search(line) or line.startswith("# x")]
    assert len(card) < 40_000
    return True


@pytest.mark.parametrize("name", ["data_card.json", "metrics.json", "record.json"])
def test_no_value_of_a_file_breaks_the_card(name: str, model: Model) -> None:
    assert model.run
    file, cards = model.run.folder / name, 0
    good = {
        "data_card.json": DATA_CARD,
        "metrics.json": {"groups": GROUPS},
        "record.json": COPYING | {"step": model.step},
    }
    report = {"checkpoint_sha256": model.digest, "weights": "ema", "n": 3, "metrics": {"loss": {"value": 1.0}}}
    for values in changed(good[name]):
        if name == "record.json":
            model.record["copying"] = values
        else:
            content = report | values if name == "metrics.json" and isinstance(values, dict) else values
            file.write_text(json.dumps(content), encoding="utf-8")
        cards += check(model)
    assert cards > 8


def test_many_entries_of_a_data_card_are_cut(model: Model) -> None:
    assert model.run
    many = {f"entry {number}": 1 for number in range(10_000)}
    notices = [{"name": f"file {number}", "text": "x"} for number in range(10_000)]
    card = {"scripts": many, "personal_data": {"counts": many, "record": {"mode": "mask", "counts": many}}}
    (model.run.folder / "data_card.json").write_text(json.dumps({**card, "sample": {"texts": 9}, "notices": notices}))
    assert check(model) and len(json.dumps(public_record(model)["data_card"])) < 10_000
