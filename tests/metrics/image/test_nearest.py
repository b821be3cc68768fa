from typing import Any

import numpy as np
import pytest
import torch

from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.image import nearest as module
from genai.metrics.image.nearest import NearestPicture, nearest_picture_distances
from genai.modalities.image import Image
from genai.toy.data.image import ToyImages
from tests.stubs import StubModel

SOURCE = ToyImages(size=16, items=100)


def results(answer: Any, modality: Image) -> dict[str, Any]:
    return NearestPicture().compute(EvalContext(StubModel(modality, answer), SOURCE, n=10))  # type: ignore[arg-type]


def test_copies_have_distance_0() -> None:
    found = results(lambda prompts: [SOURCE.train[i].media for i in range(len(prompts))], Image(16))
    assert found["nearest_train"].value == found["nearest_train_low"].value == 0
    assert found["nearest_train"].reference > found["nearest_train_low"].reference > 0.01


@pytest.mark.parametrize("flip", [True, False])
def test_mirrored_copies_have_distance_0_if_training_flips(flip: bool) -> None:
    found = results(
        lambda prompts: [Picture(SOURCE.train[i].media.pixels[:, ::-1]) for i in range(len(prompts))],
        Image(16, flip=flip),
    )
    assert (found["nearest_train"].value == 0) is flip


def test_held_out_pictures_equal_the_reference() -> None:
    found = results(lambda prompts: [SOURCE.val[i].media for i in range(len(prompts))], Image(16))
    assert found["nearest_train"].value == pytest.approx(found["nearest_train"].reference)


def test_distances_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHUNK_VALUES", 600)
    context = EvalContext(StubModel(Image(16, 1)), SOURCE)  # type: ignore[arg-type]
    train = np.array(context.train.pixels, np.float64)  # type: ignore[attr-defined]
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16)).astype(np.uint8)
    expected = np.sqrt((((images[:, None] - train[None]) / 255) ** 2).mean((2, 3, 4))).min(1)
    assert nearest_picture_distances(torch.from_numpy(images), context.train, torch.device("cpu")) == pytest.approx(
        expected
    )
    black = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    assert nearest_picture_distances(black, context.train, torch.device("cpu"))[0] > 0
