"""Metrics of answers, on answers made by hand; and what a run has forgotten."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import genai
from genai.core.data import Example, Source, Split
from genai.core.errors import UserError
from genai.data.tasks import Tasks
from genai.media.chat import Chat
from genai.metrics.base import EvalContext
from genai.metrics.text.chrf import ChrF, chrf
from genai.metrics.text.exact_match import ExactMatch
from genai.metrics.text.forgetting import Forgetting
from genai.metrics.text.token_f1 import TokenF1, word_f1
from genai.modalities.text import Text
from tests.stubs import StubModel

PAIRS = {"the color": "the colour", "a dog": "a dog", "gray sky": "grey sky", "my honor": "my honour"}


def chat(question: str, answer: str) -> Chat:
    return Chat.from_messages([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


NAMES = ("exact_match", "token_f1", "chrf")


class Pairs(Source):
    media = Chat
    train = val = Split("val", len(PAIRS), lambda index: Example(chat(*list(PAIRS.items())[index])), "a")  # type: ignore[assignment]


def context(source: Source, answer: Callable[[str], str], **options: Any) -> EvalContext:
    modality = Text("bytes", block=64, reserved=16)
    modality.ensure_chat_template()

    def samples(prompts: list[str]) -> list[str]:
        questions = [prompt.split("user\n")[-1].split("<|im_end|>")[0] for prompt in prompts]
        return [prompt + answer(question) for prompt, question in zip(prompts, questions, strict=True)]

    model: Any = StubModel(modality, samples)
    model.file, model.record = Path("a.ckpt"), {}
    return EvalContext(model, source, options=options)


def test_exact_match() -> None:
    metric, copies = ExactMatch(), context(Pairs(), lambda question: f" {question}\n")
    result = metric.compute(copies)["exact_match"]
    assert (result.value, result.standard_error) == (0.25, pytest.approx((0.25 * 0.75 / 4) ** 0.5))
    assert metric.compute(context(Pairs(), PAIRS.__getitem__))["exact_match"].value == 1
    lines = metric.lines(copies)
    assert lines[:3] == ["question  the color", "  after   the color", "  real    the colour"]
    assert lines[::3] == [f"question  {question}" for question in PAIRS]


def test_a_source_can_tell_which_answers_are_right() -> None:
    tasks = Tasks("make", items=10)
    right = context(tasks, lambda question: f"1+{int(question[5:]) - 1}")
    assert ExactMatch().compute(right)["exact_match"].value == 1
    assert ExactMatch().compute(context(tasks, lambda question: "1+1"))["exact_match"].value == 0


def test_token_f1() -> None:
    assert word_f1("The dog, the cat", "the CAT") == pytest.approx(2 * 2 / 6)
    assert word_f1("", "a") == 0
    assert word_f1("...", "") == 1
    result = TokenF1().compute(context(Pairs(), lambda question: question))["token_f1"]
    assert result.value == pytest.approx((0.5 + 1 + 0.5 + 0.5) / 4)


def test_chrf() -> None:
    assert chrf(["the cat"], ["the cat"]) == pytest.approx(1)
    assert chrf(["xyz"], ["abc"]) == 0
    results = ChrF().compute(context(Pairs(), PAIRS.__getitem__))
    assert results["chrf"].value == pytest.approx(1)
    assert results["chrf_of_copies"].value == pytest.approx(chrf(list(PAIRS), list(PAIRS.values())))
    assert 0.5 < results["chrf_of_copies"].value < 1  # type: ignore[operator]


def test_questions_that_the_template_refuses_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    refused = chat("a<|im_end|>", "a")
    for chats, value in (([refused, chat("a dog", "a dog")], 1.0), ([refused], None)):
        source = Pairs()
        source.val = Split("val", len(chats), lambda index, chats=chats: Example(chats[index]), "b")  # type: ignore[assignment,misc]
        asked = context(source, str)
        metrics = ExactMatch(), TokenF1(), ChrF()
        results = [metric.compute(asked)[name] for metric, name in zip(metrics, NAMES, strict=True)]
        assert [result.value for result in results[:2]] == [value] * 2
        assert (results[2].value is None) == (value is None)
        err = capsys.readouterr().err
        assert err.count(f"1 of {len(chats)} held-out questions are left out: a message contains") == 1
        assert len(metrics[0].lines(asked)) == 3 * bool(value)


def test_a_model_without_a_chat_template_is_refused() -> None:
    plain = context(Pairs(), str)
    plain.model.modality.chat_template = None  # type: ignore[attr-defined]
    for metric in (ExactMatch(), TokenF1(), ChrF()):
        with pytest.raises(UserError, match=r"no chat template"):
            metric.check(plain)


SMALL = [
    "experiment=sft", "modality.tokenizer=characters", "modality.vocab_size=null", "modality.block=16", "batch=4",
    "model.network.layers=2", "model.network.heads=2", "model.network.width=16", "model.network.ngram_rows=64",
    "trainer=cpu", "trainer.threads=1",
]  # fmt: skip


def test_forgetting(
    trained: Callable[[str], Path], talks: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = trained("text")
    words = [*SMALL, f"data.path={talks}", f"runs={tmp_path}", "steps=6"]
    model = genai.fit(*words, f"init_from={base}")
    report = genai.measure(model, "metrics=[forgetting,exact_match]", "n=4", "length=4")["metrics"]
    assert capfd.readouterr().out.count("\n  before  ") == 4
    before = genai.measure(base, f"out={tmp_path / 'base.json'}", "metrics=[val_loss]")["metrics"]["val_loss"]["value"]
    values = {name: report[name]["value"] for name in ("forgetting", "base_loss", "base_loss_before")}
    assert values["base_loss_before"] == pytest.approx(before)
    assert values["forgetting"] == pytest.approx(values["base_loss"] - before)


def test_forgetting_is_unknown_without_a_base() -> None:
    (result,) = Forgetting().compute(context(Pairs(), str)).values()
    assert result.value is None
    assert "the run began with random weights" in result.description
