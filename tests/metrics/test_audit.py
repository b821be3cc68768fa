"""Scores of groups on hand-made samples: a judge that looks at one number, and losses that are known."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from genai.core.batch import Batch
from genai.core.data import Example
from genai.core.errors import UserError
from genai.metrics import audit as module
from genai.metrics import intervals
from genai.metrics.audit import audit_groups, format_audit, item_losses, subsample
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.groups import find_groups
from genai.metrics.judge import Judge
from genai.metrics.loss import ValidationLoss
from tests.metrics.test_groups import TableSource
from tests.stubs import StubModel

COLORS = ["red"] * 30 + ["blue"] * 27 + ["gray"] * 3
PROMPTS = [f"a {color} thing" for color in COLORS]


class Numbers(TableSource):
    """Numbers: a thing is its color's place among ``red, blue, gray``; every item is also held out."""

    media = float

    def __init__(self) -> None:
        super().__init__([(prompt, color) for prompt, color in zip(PROMPTS * 3, COLORS * 3, strict=True)])

    def _split(self, name: str, rows: Sequence[tuple[str, str]]) -> Any:
        split = super()._split(name, rows)
        object.__setattr__(
            split, "load", lambda index: Example(number_of(rows[index][0]) + index / 1000, rows[index][0])
        )
        return split


def number_of(prompt: str) -> float:
    return next((float(i) for i, color in enumerate(("red", "blue", "gray")) if color in prompt), 0.0)


class RoundingJudge(Judge):
    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        return [round(sample) == number_of(prompt) for sample, prompt in zip(samples, prompts, strict=True)]

    def caption(self, samples: list[Any]) -> list[str]:
        return [f"{('red', 'blue', 'gray')[round(sample)]} thing" for sample in samples]


class NumberMetric(Metric):
    def judge(self, context: EvalContext) -> Judge:
        return RoundingJudge()

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor]:
        return torch.tensor(samples)[:, None].float(), torch.tensor(real)[:, None].float()

    def compute(self, context: EvalContext) -> dict[str, Result]:
        return {}


class Packed:
    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts

    def __len__(self) -> int:
        return len(self.prompts)

    def batch(self, indices: Sequence[int], random: Any) -> Batch:
        return Batch(torch.tensor([[number_of(self.prompts[index]) + 1] for index in indices]))


class NumberMethod(torch.nn.Module):
    """Its loss is the number, plus noise."""

    prompt_drop, device, needs_reference = 0.1, torch.device("cpu"), False

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise, self.sizes = noise, list[int]()

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        self.sizes.append(len(batch.x))
        return {"loss": batch.x.mean() + self.noise * torch.randn(len(batch.x)).mean()}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "NUM_DRAWS", 2000)


def answer(prompts: list[str]) -> list[Any]:
    """Samples of blue are right in every third case; without a prompt all are red."""
    return [0.0 if "blue" in prompt and index % 3 else number_of(prompt) for index, prompt in enumerate(prompts)]


def context(noise: float = 0.0, n: int = 60) -> EvalContext:
    model = StubModel(SimpleNamespace(), answer)
    model.method = NumberMethod(noise)  # type: ignore[assignment]
    found = EvalContext(model, source := Numbers(), n=n, batch=n)  # type: ignore[arg-type]
    found.__dict__ |= {"train": Packed(source.train.prompts or ()), "val": Packed(source.val.prompts or ())}
    return found


METRICS = {"val_loss": ValidationLoss(), "numbers": NumberMetric()}


def test_all_scores_are_those_of_the_numbers() -> None:
    found = audit_groups(each := context(), METRICS, find_groups(each, "speaker"))
    entries = found.entries()
    json.dumps(entries)
    assert entries.keys() == {"column", "groups", "worst_to_best", "note"} and entries["column"] == "speaker"
    groups = {group["name"]: group for group in entries["groups"]}
    assert {name: (group["train_items"], group["held_out_items"]) for name, group in groups.items()} == {
        "red": (60, 30), "blue": (54, 27), "gray": (6, 3),
    }  # fmt: skip
    scores = {name: {key: value["value"] for key, value in group["scores"].items()} for name, group in groups.items()}
    assert scores["red"] == pytest.approx(
        {"loss": 1, "obedience": 1, "obedience_of_real": 1, "coverage": 5 / 27, "balance": 2}, abs=0.1
    )
    assert scores["blue"] | {"coverage": 0} == pytest.approx(
        {"loss": 2, "obedience": 1 / 3, "obedience_of_real": 1, "coverage": 0, "balance": 0}
    )
    assert scores["gray"] == {"obedience": 1}  # 3 held-out items, and 3 samples that should be gray, are too few
    obedience = entries["worst_to_best"]["obedience"]
    assert obedience.keys() == {"value", "low", "high", "worst", "best"} and obedience["worst"] == "blue"
    assert obedience["value"] == pytest.approx(1 / 3)
    assert obedience["low"] < obedience["value"] < obedience["high"] < 0.7
    assert entries["worst_to_best"]["loss"]["value"] == 2 and entries["worst_to_best"]["loss"]["worst"] == "blue"
    assert "loss: too few to say of gray (fewer than 10)." in entries["note"]
    table = format_audit(found, 60)
    assert "blue / " in table and "they differ" in table and "no difference is shown" in table
    assert next(line for line in table.splitlines() if line.startswith("gray")).count("too few to say") == 4


def test_losses_have_equal_noise_and_repeat_only_if_they_are_random() -> None:
    rows = [item_losses(each := context(noise=1.0), indices) for indices in ([0, 1, 2], [2, 1, 0, 3])]
    assert rows[0] == rows[1][:3] and len(set(rows[1])) == 4
    assert each.model.method.sizes == [1, 1, 4, 4, 4, 4]  # type: ignore[union-attr]
    constant = context()
    item_losses(constant, [0, 1])
    assert constant.model.method.sizes == [1, 1, 1, 1]  # type: ignore[union-attr]
    assert item_losses(constant, []) == []


def test_several_processes_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = audit_groups(each := context(1.0), METRICS, find_groups(each, "speaker")).entries()
    parts: list[list[Any]] = []

    def share_of(place: Any, items: Sequence[Any]) -> Sequence[Any]:
        return items[place::2]

    for place in (0, 1):  # what each process computes
        monkeypatch.setattr(module, "find_place", lambda place=place: place)
        monkeypatch.setattr(module, "share_of", share_of)
        monkeypatch.setattr(module, "gather_shares", lambda place, share: parts.append(share) or [[]] * 3)
        audit_groups(each := context(1.0), METRICS, find_groups(each, "speaker"))
    together = [parts[number % 2][number // 2] for number in range(3)]
    monkeypatch.setattr(module, "gather_shares", lambda place, share: together)
    for place in (0, 1):
        monkeypatch.setattr(module, "find_place", lambda place=place: place)
        found = audit_groups(each := context(1.0), METRICS, find_groups(each, "speaker")).entries()
        assert found == alone


def test_no_metric_scores_groups() -> None:
    class Other(NumberMetric):
        def judge(self, context: EvalContext) -> None:  # type: ignore[override]
            return None

        def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> None:  # type: ignore[override]
            return None

    with pytest.raises(UserError, match=r"none of the metrics \(other\) scores groups"):
        audit_groups(each := context(), {"other": Other()}, find_groups(each, "speaker"))


def test_a_model_that_never_samples_without_a_prompt_has_no_balance() -> None:
    each = context()
    each.model.method.prompt_drop = 0.0
    assert "balance" not in audit_groups(each, METRICS, find_groups(each, "speaker")).scores


def test_nothing_is_sampled_for_the_loss_alone() -> None:
    each = context()
    found = audit_groups(each, {"val_loss": ValidationLoss()}, find_groups(each, "speaker"))
    assert list(found.scores) == ["loss"] and each.num_samples == 0


def test_evenly_spaced() -> None:
    assert subsample([5, 6, 7, 8, 9], 2) == [5, 7] and subsample([1, 2], 9) == [1, 2]
