from typing import Any

import numpy as np
import pytest
import torch

from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.image import nearest as module
from genai.metrics.image.nearest import Nearest, nearest
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from tests.metrics.stubs import Model

SOURCE = ToyImages(size=16, items=100)


def figures(answer: Any, modality: Image) -> dict[str, Any]:
    return Nearest().compute(EvalContext(Model(modality, answer), SOURCE, n=10))  # type: ignore[arg-type]


def test_copies_are_at_nothing() -> None:
    found = figures(lambda prompts: [SOURCE.train[i].media for i in range(len(prompts))], Image(16))
    assert found["nearest_train"].value == found["nearest_train_low"].value == 0
    assert found["nearest_train"].beside > found["nearest_train_low"].beside > 0.01


@pytest.mark.parametrize("flip", [True, False])
def test_mirrored_copies_are_copies_where_the_training_mirrors(flip: bool) -> None:
    found = figures(
        lambda prompts: [Picture(SOURCE.train[i].media.pixels[:, ::-1]) for i in range(len(prompts))],
        Image(16, flip=flip),
    )
    assert (found["nearest_train"].value == 0) is flip


def test_held_out_pictures_are_as_near_as_themselves() -> None:
    found = figures(lambda prompts: [SOURCE.val[i].media for i in range(len(prompts))], Image(16))
    assert found["nearest_train"].value == pytest.approx(found["nearest_train"].beside)


def test_distances_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUMBERS", 600)
    study = EvalContext(Model(Image(16, 1)), SOURCE)  # type: ignore[arg-type]
    train = np.array(study.train.pixels, np.float64)  # type: ignore[attr-defined]
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16)).astype(np.uint8)
    by_hand = np.sqrt((((images[:, None] - train[None]) / 255) ** 2).mean((2, 3, 4))).min(1)
    assert nearest(torch.from_numpy(images), study.train, torch.device("cpu")) == pytest.approx(by_hand)
    black = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    assert nearest(black, study.train, torch.device("cpu"))[0] > 0
