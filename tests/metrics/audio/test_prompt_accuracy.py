from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genai.media.sound import Sound
from genai.metrics.audio import classifier
from genai.metrics.audio import prompt_accuracy as judge
from genai.metrics.audio.prompt_accuracy import Judge
from genai.metrics.audio.prompt_attributes import UNKNOWN, attributes
from genai.metrics.base import EvalContext, Result
from genai.metrics.frechet import frechet
from genai.modalities.audio import Audio
from tests.metrics.stubs import Model, Sounds

PITCHES = {"low": 200, "middle": 500, "high": 1200}


def tone(prompt: str, draw: np.random.Generator) -> NDArray[np.float64]:
    """What ``"low, spoken by a"`` asks for, 0.2 s: ``b`` has a hollow voice."""
    pitch, speaker = PITCHES[prompt.split(",")[0]] * draw.uniform(0.9, 1.1), prompt[-1]
    phase = 2 * np.pi * pitch * np.arange(1600) / 8000
    return draw.uniform(0.2, 0.8) * (np.sin(phase) + (np.sin(3 * phase) if speaker == "b" else 0)) / 2


def source(caption: Callable[[int], str]) -> Sounds:
    return Sounds([(tone(p, np.random.default_rng(i)), p) for i in range(560) for p in [caption(i)]])


SOURCE = source(lambda number: f"{list(PITCHES)[number % 3]}, spoken by {'ab'[number // 3 % 2]}")


def figures(answer: Callable[[list[str]], list[NDArray[np.float64]]]) -> dict[str, Result]:
    audio = Audio(8000)
    audio.typical = 0.2
    model = Model(audio, lambda prompts: [Sound(samples.astype(np.float32), 8000) for samples in answer(prompts)])
    return Judge().compute(EvalContext(model, SOURCE, n=70))  # type: ignore[arg-type]


def test_tones_are_told_apart_once_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 40)
    draw = np.random.default_rng(0)
    right = figures(lambda prompts: [tone(prompt, draw) for prompt in prompts])
    assert right.keys() == {"judge_word_1", "judge_word_4", "frechet_judge"}
    for name in ("judge_word_1", "judge_word_4"):
        assert min(right[name].value or 0, right[name].beside or 0) > 0.95
    assert "word 1 (high, low, middle); chance is 0.33" in right["judge_word_1"].about
    monkeypatch.setattr(judge, "learn", None)  # what was learnt is kept
    assert right["frechet_judge"].value == pytest.approx(right["frechet_judge"].beside, rel=0.7)
    turned = dict(zip(PITCHES, [*list(PITCHES)[1:], "low"], strict=True))
    wrong = figures(lambda prompts: [tone(f"{turned[p.split(',')[0]]},{p[-1]}", draw) for p in prompts])
    assert (wrong["judge_word_1"].value or 0) < 0.05
    assert (wrong["judge_word_4"].value or 0) > 0.95
    noise = figures(lambda prompts: [draw.uniform(-0.5, 0.5, 1600) for _ in prompts])
    assert noise["frechet_judge"].value > 2 * noise["frechet_judge"].beside  # type: ignore[operator]


def test_the_same_is_learnt_every_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(classifier, "STEPS", 3)
    power = torch.rand(20, 32, 30, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    for name in "ab":
        classifier.learn(power, torch.arange(20)[:, None] % 2, [2], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert torch.equal(before, torch.random.get_rng_state())


def test_captions_of_any_kind_are_not_judged() -> None:
    captions = source(lambda number: f"{list(PITCHES)[number % 3]}, {'so ' * (number % 7)}it is, take {number}, b")
    model = Model(Audio(8000))
    found = Judge().compute(EvalContext(model, captions))  # type: ignore[arg-type]
    assert found.keys() == {"judge"} and found["judge"].value is None
    assert "the prompts are not made of a few words" in found["judge"].about
    assert model.asked == 0


def test_few_clips_have_no_frechet_distance() -> None:
    features = torch.rand(40, 32)
    assert frechet(features, features, 0, "the judge").value is None


DIGITS = "zero one two three four five six seven eight nine".split()


@pytest.mark.parametrize(
    ("caption", "names"),
    [
        (lambda i: f"{DIGITS[i % 10]}, spoken by {('ann', 'bob')[i // 10 % 2]}", ["word_1", "word_4"]),
        (lambda i: DIGITS[i % 10], ["word_1"]),
        (lambda i: ("dog bark", "cat meow")[i % 2], ["word_1"]),  # the second word says the same again
        (lambda i: ("rain", "sea waves", "church bells")[i % 3], ["prompt"]),
        (lambda i: f"Take {i}: {DIGITS[i % 10]}", ["word_3"]),  # numbers that never come again
        (lambda i: f"{DIGITS[i % 10]} again" if i % 50 else "(noise)", ["word_1"]),  # a few are something else
        (lambda i: "a sound", []),
        (lambda i: "", []),
        (lambda i: DIGITS[i % 10] if i % 2 else "", []),
        (lambda i: " ".join(DIGITS[: i % 10 + 1]) + f" {i}", []),
    ],
)
def test_what_prompts_are_made_of(caption: Callable[[int], str], names: list[str]) -> None:
    assert [attribute.name for attribute in attributes([caption(number) for number in range(400)])] == names


def test_labels() -> None:
    digit, speaker = attributes([f"{DIGITS[i % 10]}, spoken by {('ann', 'bob')[i // 10 % 2]}" for i in range(400)])
    assert digit.values == tuple(sorted(DIGITS)) and speaker.values == ("ann", "bob")
    assert digit.values[digit.label("Seven, spoken by nobody")] == "seven"
    assert speaker.label("Seven, spoken by nobody") == speaker.label("bob") == digit.label("") == UNKNOWN
    assert str(speaker) == "word 4 (ann, bob)"
    assert not attributes([])
