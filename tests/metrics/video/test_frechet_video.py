from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Result
from genai.metrics.video import classifier, corruptions
from genai.metrics.video import frechet_video as module
from genai.metrics.video.frechet_video import FrechetVideo
from genai.toy.data.video import ToyVideo
from tests.stubs import corrupted, make_context

SIZE = {"size": 16, "frames": 8, "fps": 4.0}
SOURCE, OTHERS = ToyVideo(items=1280, **SIZE), ToyVideo(items=64, seed=1, **SIZE)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def packed_context() -> EvalContext:
    """The data, packed once."""
    return make_context(SOURCE, n=64)


def distance(packed_context: EvalContext, answer: Callable[[list[Clip]], list[Clip]]) -> Result:
    clips = answer([example.media for example in OTHERS.train])
    model = make_context(SOURCE, lambda prompts: clips, n=64, batch=64)
    model.__dict__ |= {"train": packed_context.train, "val": packed_context.val}
    return FrechetVideo().compute(model)["frechet"]


def test_corruptions_increase_the_distance(packed_context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 120)
    clean = distance(packed_context, lambda clips: clips)
    assert clean.value == pytest.approx(clean.reference, rel=0.8)
    assert "64 samples against as many held-out clips" in clean.description
    monkeypatch.setattr(module, "train_clip_classifier", None)  # the weights are cached
    min_factors = {
        corruptions.shuffle_frames: 20,
        corruptions.repeat_frames: 8,
        corruptions.freeze: 8,
        corruptions.switch_clips: 8,
        corruptions.add_noise: 8,
    }
    for corruption, factor in (min_factors | {corruptions.blur: 3, corruptions.flicker: 3}).items():
        found = distance(packed_context, lambda clips, corruption=corruption: corrupted(corruption, clips))  # type: ignore[misc]
        assert (found.value or 0) > factor * (clean.reference or 1), (corruption, found)
        assert found.reference == clean.reference
    same = distance(packed_context, lambda clips: clips[:1] * 64)
    assert (same.value or 0) > 3 * (clean.reference or 1)


def test_few_samples_have_no_distance(packed_context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 1)
    found = distance(packed_context, lambda clips: clips[:63])
    assert found.value is None and "needs 64 samples and twice as many held-out clips" in found.description


def test_training_is_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 2)
    clips = torch.rand(20, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    one, two = (classifier.train_clip_classifier(clips) for _ in range(2))
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.equal(before, torch.random.get_rng_state())


def test_labels_match_the_corruptions() -> None:
    clips = torch.rand(36, 8, 3, 8, 8)
    changed, labels = classifier.corrupt_clips(clips)
    assert labels.bincount().tolist() == [4] * 9
    same = (changed == clips).flatten(1).all(1)
    assert same[labels == 0].all() and not same[labels > 1].any()


@pytest.mark.parametrize("corruption", corruptions.CORRUPTIONS)
@pytest.mark.parametrize("shape", [(3, 16, 3, 8, 8), (2, 2, 1, 5, 9), (1, 3, 1, 4, 4)])
def test_corruptions_keep_shape_and_range(corruption: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    clips = torch.rand(shape)
    changed = corruption(clips)
    assert changed.shape == clips.shape and changed.min() >= 0 and changed.max() <= 1


def test_corruptions_of_numbered_frames() -> None:
    clips = (
        torch.arange(8.0).div(8).view(1, 8, 1, 1, 1).repeat(64, 1, 1, 4, 4)
        + torch.arange(64).view(-1, 1, 1, 1, 1) / 1e4
    )
    numbers = (clips[:, :, 0, 0, 0] * 8).floor().long()
    assert (numbers == torch.arange(8)).all()

    def order(corruption: Callable[[Tensor], Tensor]) -> Tensor:
        return (corruption(clips)[:, :, 0, 0, 0] * 8).floor().long()

    assert (order(corruptions.shuffle_frames).sort(1).values == torch.arange(8)).all()
    assert (order(corruptions.reverse) == torch.arange(8).flip(0)).all()
    repeated = order(corruptions.repeat_frames)
    assert (repeated[:, 0] == repeated[:, 1]).all() and (repeated.diff(dim=1) >= 0).all()
    assert set(repeated.amax(1).tolist()) == {4, 6}
    frozen = order(corruptions.freeze)
    assert (frozen.diff(dim=1) >= 0).all() and set(frozen[:, -1].tolist()) == {0, 1, 2, 3}
    owner = (corruptions.switch_clips(clips)[:, :, 0, 0, 0] - torch.arange(8) / 8).mul(1e4).round().long()
    assert (owner[:, :2] == torch.arange(64)[:, None]).all() and (
        owner[:, 6:] == torch.arange(-1, 63)[:, None] % 64
    ).all()
