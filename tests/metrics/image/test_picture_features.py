import pytest
import torch
from torch import Tensor

from genai.metrics.image.picture_features import NUM_FEATURES, layouts, picture_features


def features(pixels: Tensor) -> Tensor:
    return picture_features(lambda rows: pixels[rows.start : rows.stop], len(pixels), "features")


def random_pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 28, 20), (1, 5, 4), (3, 130, 70)])
def test_pictures_of_all_sizes_have_the_same_features(shape: tuple[int, ...]) -> None:
    found = features(random_pictures(300, *shape))
    assert found.shape == (300, NUM_FEATURES) == (300, 944)
    assert bool(found.isfinite().all()) and float(found.std(0).mean()) > 0


def test_a_plain_picture_has_its_color_and_no_edges() -> None:
    plain = torch.tensor([255, 0, 102], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 64, 64)
    found = features(plain)[0]
    assert layouts(found[None]).reshape(64, 3) == pytest.approx(torch.tensor([[1, 0, 0.4]] * 64))
    assert found[240:880].count_nonzero() == 0
    assert found[880:].nonzero().flatten().tolist() == [3 * 16 + 0 * 4 + 1] and found[880:].sum() == 1


@pytest.mark.parametrize(("turned", "direction"), [(False, 0), (True, 4)])
def test_edges_have_the_direction_in_which_brightness_grows(turned: bool, direction: int) -> None:
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(1, 3, 64, 64)
    found = features(ramp.transpose(2, 3) if turned else ramp)[0, 240:752].reshape(8, 8, 8)
    assert bool((found[..., direction] > 0.5).all())
    assert found.sum() == pytest.approx(found[..., direction].sum().item())


def test_a_larger_picture_has_the_features_of_a_small_one() -> None:
    small = random_pictures(4, 3, 64, 64)
    large = small.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert features(large) == pytest.approx(features(small), abs=1e-4)
