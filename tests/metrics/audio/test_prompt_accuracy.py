from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genai.media.sound import Sound
from genai.metrics.audio import classifier
from genai.metrics.audio import prompt_accuracy as module
from genai.metrics.audio.prompt_accuracy import PromptAccuracy, SoundJudge
from genai.metrics.audio.prompt_attributes import IGNORE_INDEX, find_attributes
from genai.metrics.base import EvalContext, Result
from genai.metrics.frechet import frechet_result
from genai.modalities.audio import Audio
from tests.stubs import SoundSource, StubModel

FREQUENCIES = {"low": 200, "middle": 500, "high": 1200}


def sine(prompt: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """0.2 s of sound for a prompt such as ``"low, spoken by a"``; speaker ``b`` has a third harmonic."""
    pitch, speaker = FREQUENCIES[prompt.split(",")[0]] * rng.uniform(0.9, 1.1), prompt[-1]
    phase = 2 * np.pi * pitch * np.arange(1600) / 8000
    return rng.uniform(0.2, 0.8) * (np.sin(phase) + (np.sin(3 * phase) if speaker == "b" else 0)) / 2


def source(caption: Callable[[int], str]) -> SoundSource:
    return SoundSource([(sine(p, np.random.default_rng(i)), p) for i in range(560) for p in [caption(i)]])


SOURCE = source(lambda number: f"{list(FREQUENCIES)[number % 3]}, spoken by {'ab'[number // 3 % 2]}")


def results(answer: Callable[[list[str]], list[NDArray[np.float64]]]) -> dict[str, Result]:
    audio = Audio(8000)
    audio.typical_seconds = 0.2
    model = StubModel(audio, lambda prompts: [Sound(samples.astype(np.float32), 8000) for samples in answer(prompts)])
    return PromptAccuracy().compute(EvalContext(model, SOURCE, n=70))  # type: ignore[arg-type]


def test_classifier_of_tones_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 40)
    rng = np.random.default_rng(0)
    right = results(lambda prompts: [sine(prompt, rng) for prompt in prompts])
    assert right.keys() == {"prompt_accuracy_word_1", "prompt_accuracy_word_4", "frechet"}
    for name in ("prompt_accuracy_word_1", "prompt_accuracy_word_4"):
        assert min(right[name].value or 0, right[name].reference or 0) > 0.95
    assert "word 1 (high, low, middle); chance is 0.33" in right["prompt_accuracy_word_1"].description
    monkeypatch.setattr(module, "train_audio_classifier", None)  # the weights are cached
    assert right["frechet"].value == pytest.approx(right["frechet"].reference, rel=0.7)
    next_pitch = dict(zip(FREQUENCIES, [*list(FREQUENCIES)[1:], "low"], strict=True))
    wrong = results(lambda prompts: [sine(f"{next_pitch[p.split(',')[0]]},{p[-1]}", rng) for p in prompts])
    assert (wrong["prompt_accuracy_word_1"].value or 0) < 0.05
    assert (wrong["prompt_accuracy_word_4"].value or 0) > 0.95
    noise = results(lambda prompts: [rng.uniform(-0.5, 0.5, 1600) for _ in prompts])
    assert noise["frechet"].value > 2 * noise["frechet"].reference  # type: ignore[operator]


def test_training_is_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 3)
    power = torch.rand(20, 32, 30, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    one, two = (classifier.train_audio_classifier(power, torch.arange(20)[:, None] % 2, [2]) for _ in range(2))
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.equal(before, torch.random.get_rng_state())


def test_free_captions_have_no_attributes() -> None:
    captions = source(lambda number: f"{list(FREQUENCIES)[number % 3]}, {'so ' * (number % 7)}it is, take {number}, b")
    model = StubModel(Audio(8000))
    found = PromptAccuracy().compute(EvalContext(model, captions))  # type: ignore[arg-type]
    assert found.keys() == {"prompt_accuracy"} and found["prompt_accuracy"].value is None
    assert "the prompts are not made of a few words" in found["prompt_accuracy"].description
    assert model.num_prompts == 0


def test_frechet_needs_enough_clips() -> None:
    features = torch.rand(40, 32)
    assert frechet_result(features, features, 0, "the classifier").value is None


def test_recognized_sounds_are_named_by_training_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups by prompt are named as the prompts are written."""
    prompts = ["Low, spoken by A", "high, spoken by b", "LOW, spoken by a", "Low, spoken by A"]
    prompts += [f"{pitch}, spoken by {name}" for pitch in ("low", "high") for name in "ab"] * 10
    prompts = [prompt.title() if prompt.startswith("high") else prompt for prompt in prompts]
    attributes = find_attributes(prompts)
    known = module.most_common_prompts(prompts, attributes)
    judge = SoundJudge(None, None, attributes, known)  # type: ignore[arg-type]
    monkeypatch.setattr(SoundJudge, "_predict", lambda self, samples: samples)
    assert judge.caption([[0, 0], [1, 0]]) == ["High, Spoken By A", "low, spoken by a"]
    assert SoundJudge(None, None, attributes, {}).caption([[0, 1]]) == ["high b"]  # type: ignore[arg-type]


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
def test_find_attributes(caption: Callable[[int], str], names: list[str]) -> None:
    assert [attribute.name for attribute in find_attributes([caption(number) for number in range(400)])] == names


def test_labels() -> None:
    digit, speaker = find_attributes([f"{DIGITS[i % 10]}, spoken by {('ann', 'bob')[i // 10 % 2]}" for i in range(400)])
    assert digit.values == tuple(sorted(DIGITS)) and speaker.values == ("ann", "bob")
    assert digit.values[digit.label("Seven, spoken by nobody")] == "seven"
    assert speaker.label("Seven, spoken by nobody") == speaker.label("bob") == digit.label("") == IGNORE_INDEX
    assert str(speaker) == "word 4 (ann, bob)"
    assert not find_attributes([])
