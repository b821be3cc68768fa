from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Result
from genai.metrics.video import classifier as film_judge
from genai.metrics.video import corruptions as damaged
from genai.metrics.video import frechet_video as film_distance
from genai.metrics.video.frechet_video import FilmDistance
from genai.toy.data.video import ToyVideo
from tests.metrics.video.damaged_clips import after, study

SIZE = {"size": 16, "frames": 8, "fps": 4.0}
SOURCE, OTHERS = ToyVideo(items=1280, **SIZE), ToyVideo(items=64, seed=1, **SIZE)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def looked() -> EvalContext:
    """The data, packed once."""
    return study(SOURCE, n=64)


def distance(looked: EvalContext, answer: Callable[[list[Clip]], list[Clip]]) -> Result:
    clips = answer([example.media for example in OTHERS.train])
    model = study(SOURCE, lambda prompts: clips, n=64, batch=64)
    model.__dict__ |= {"train": looked.train, "val": looked.val}
    return FilmDistance().compute(model)["film_distance"]


def test_damage_of_every_kind_is_far_above_the_floor(looked: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_judge, "STEPS", 120)
    whole = distance(looked, lambda clips: clips)
    assert whole.value == pytest.approx(whole.beside, rel=0.8)
    assert "64 samples against as many held-out clips" in whole.about
    monkeypatch.setattr(film_distance, "learn", None)  # what was learnt is kept
    least = {damaged.shuffled: 20, damaged.stuttered: 8, damaged.frozen: 8, damaged.switched: 8, damaged.noisy: 8}
    for damage, times in (least | {damaged.blurred: 3, damaged.flickering: 3}).items():
        found = distance(looked, lambda clips, damage=damage: after(damage, clips))  # type: ignore[misc]
        assert (found.value or 0) > times * (whole.beside or 1), (damage, found)
        assert found.beside == whole.beside
    same = distance(looked, lambda clips: clips[:1] * 64)
    assert (same.value or 0) > 3 * (whole.beside or 1)


def test_few_samples_have_no_distance(looked: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_judge, "STEPS", 1)
    found = distance(looked, lambda clips: clips[:63])
    assert found.value is None and "needs 64 samples and twice as many held-out clips" in found.about


def test_the_same_is_learnt_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_judge, "STEPS", 2)
    clips = torch.rand(20, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    for name in "ab":
        film_judge.learn(clips, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert torch.equal(before, torch.random.get_rng_state())


def test_labels_are_of_what_was_done() -> None:
    clips = torch.rand(36, 8, 3, 8, 8)
    changed, labels = film_judge.spoilt(clips)
    assert labels.bincount().tolist() == [4] * 9
    same = (changed == clips).flatten(1).all(1)
    assert same[labels == 0].all() and not same[labels > 1].any()


@pytest.mark.parametrize("damage", damaged.DAMAGES)
@pytest.mark.parametrize("shape", [(3, 16, 3, 8, 8), (2, 2, 1, 5, 9), (1, 3, 1, 4, 4)])
def test_damages_keep_shape_and_range(damage: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    clips = torch.rand(shape)
    changed = damage(clips)
    assert changed.shape == clips.shape and changed.min() >= 0 and changed.max() <= 1


def test_damages_by_hand() -> None:
    clips = (
        torch.arange(8.0).div(8).view(1, 8, 1, 1, 1).repeat(64, 1, 1, 4, 4)
        + torch.arange(64).view(-1, 1, 1, 1, 1) / 1e4
    )
    times = (clips[:, :, 0, 0, 0] * 8).floor().long()
    assert (times == torch.arange(8)).all()

    def order(damage: Callable[[Tensor], Tensor]) -> Tensor:
        return (damage(clips)[:, :, 0, 0, 0] * 8).floor().long()

    assert (order(damaged.shuffled).sort(1).values == torch.arange(8)).all()
    assert (order(damaged.backwards) == torch.arange(8).flip(0)).all()
    stand = order(damaged.stuttered)
    assert (stand[:, 0] == stand[:, 1]).all() and (stand.diff(dim=1) >= 0).all()
    assert set(stand.amax(1).tolist()) == {4, 6}
    still = order(damaged.frozen)
    assert (still.diff(dim=1) >= 0).all() and set(still[:, -1].tolist()) == {0, 1, 2, 3}
    whose = (damaged.switched(clips)[:, :, 0, 0, 0] - torch.arange(8) / 8).mul(1e4).round().long()
    assert (whose[:, :2] == torch.arange(64)[:, None]).all() and (
        whose[:, 6:] == torch.arange(-1, 63)[:, None] % 64
    ).all()
