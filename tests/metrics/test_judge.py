"""Judges of single samples: real items are as their prompts say, and not as other prompts say; features tell copies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.data import Split
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.metrics.audio import classifier
from genai.metrics.audio.nearest import NearestSound
from genai.metrics.audio.prompt_accuracy import PromptAccuracy
from genai.metrics.base import EvalContext, Metric
from genai.metrics.image import classification_accuracy
from genai.metrics.image.classification_accuracy import ClassificationAccuracy
from genai.metrics.image.nearest import NearestPicture
from genai.metrics.video.nearest import NearestClip
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.toy.data.audio import ToyAudio
from genai.toy.data.image import ToyImages
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.audio import MelodyPromptAccuracy
from genai.toy.metrics.image import ScenePromptAccuracy
from genai.toy.metrics.video import MotionPromptAccuracy
from tests.metrics.audio.test_prompt_accuracy import FREQUENCIES, SOURCE, sine
from tests.metrics.image.test_classification_accuracy import SOURCE as PATTERNS
from tests.metrics.image.test_classification_accuracy import draw_patterns
from tests.stubs import ClipModality, StubModel, make_clip


def context(modality: Any, source: Any) -> EvalContext:
    return EvalContext(StubModel(modality), source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "source", "attribute", "at_least"),
    [
        (ScenePromptAccuracy(), ToyImages(32, 24), "color", 0.9),
        (MelodyPromptAccuracy(), ToyAudio(items=24), "timbre", 0.9),
        (MotionPromptAccuracy(), ToyVideo(items=24), "direction", 0.9),
    ],
)
def test_oracles(metric: Metric, source: Any, attribute: str, at_least: float) -> None:
    examples = [source.train[index] for index in range(12)]
    samples, prompts = [each.media for each in examples], [each.prompt for each in examples]
    judge = metric.judge(context(None, source))
    assert judge and np.mean([bool(hit) for hit in judge.matches(samples, prompts)]) >= at_least
    assert np.mean([bool(hit) for hit in judge.matches(samples, [*prompts[1:], prompts[0]])]) < 0.3
    captions = [source.prompt_attributes(text).get(attribute) for text in judge.caption(samples)]
    truth = [source.prompt_attributes(prompt).get(attribute) for prompt in prompts]
    named = [(a, b) for a, b in zip(captions, truth, strict=True) if b]
    assert len(named) >= 8 and np.mean([a == b for a, b in named]) >= at_least


def test_a_classifier_of_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 40)
    audio, rng = Audio(8000), np.random.default_rng(0)
    audio.typical_seconds = 0.2
    each = context(audio, SOURCE)
    judge = PromptAccuracy().judge(each)
    prompts = [f"{pitch}, spoken by {speaker}" for pitch in FREQUENCIES for speaker in "ab" for _ in range(3)]
    samples = [Sound(sine(prompt, rng).astype(np.float32), 8000) for prompt in prompts]
    assert judge
    *hits, unknown = judge.matches(samples, [*prompts[:-1], "by nobody"])
    assert sum(map(bool, hits)) >= 15 and unknown is None
    assert sum(map(bool, judge.matches(samples, [*prompts[3:], *prompts[:3]]))) <= 2
    captions = judge.caption(samples)
    assert (
        sum(text == f"{prompt.split(',')[0]} {prompt[-1]}" for text, prompt in zip(captions, prompts, strict=True))
        >= 16
    )
    features = PromptAccuracy().features(each, samples, samples[:5])
    assert features and torch.cdist(*features).argmin(0).tolist() == [0, 1, 2, 3, 4]
    assert PromptAccuracy().judge(context(audio, _without_prompts())) is None


def _without_prompts() -> Any:
    split = Split("train", 3, lambda index: SOURCE.train[index], "none", ["", "", ""])
    return type("Silent", (), {"train": split})()


def test_a_classifier_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification_accuracy, "STEPS", 80)
    modality = Image(8, 1)
    each = context(modality, PATTERNS)
    judge = ClassificationAccuracy().judge(each)
    prompts = ["rows", "columns", "flat"] * 6
    samples = draw_patterns(prompts)
    assert judge and np.mean([bool(hit) for hit in judge.matches(samples, prompts)]) > 0.8
    assert judge.matches(samples[:1], ["nothing known"]) == [None]
    assert set(judge.caption(samples)) == {"rows", "columns", "flat"}


def pixels(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def tone(number: int) -> Sound:
    return Sound(np.sin(np.arange(2000) / (number + 2)).astype(np.float32), 8000)


class FittingClips(ClipModality):
    def encode(self, clip: Any) -> torch.Tensor:
        return torch.from_numpy(clip.frames.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize(
    ("metric", "modality", "media"),
    [
        (NearestPicture(), Image(24), [Picture(pixels(i, 24, 24, 3)) for i in range(4)]),
        (NearestSound(), Audio(8000), [tone(i) for i in range(4)]),
        (NearestClip(), FittingClips(), [make_clip(pixels(i, 6 + i, 3, 20, 20)) for i in range(4)]),
    ],
)  # fmt: skip
def test_features_of_copies_are_equal(metric: Metric, modality: Any, media: Sequence[Any]) -> None:
    features = metric.features(context(modality, None), list(media[:3]), list(media[1:]))
    assert features and [len(part) for part in features] == [3, 3] and features[0].ndim == 2
    assert torch.cdist(*features).argmin(0).tolist()[:2] == [1, 2]


def test_other_metrics_judge_nothing() -> None:
    class Plain(Metric):
        def compute(self, context: EvalContext) -> dict[str, Any]:
            return {}

    each = context(None, None)
    assert Plain().judge(each) is None and Plain().features(each, [], []) is None
