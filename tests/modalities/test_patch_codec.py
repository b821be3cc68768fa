"""The codec of patches: orthonormal, of unit variance, restored from a checkpoint, exact where pixels are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.errors import UserError
from genai.core.instantiate import instantiate
from genai.inference.model import Model
from genai.media.picture import Picture
from genai.methods.diffusion import Diffusion
from genai.methods.scaling import Scaling
from genai.modalities.image import Image, pixel_mean_std
from genai.modalities.patch_codec import fit_patch_basis, restore_codec
from genai.networks.unet import UNet


def pictures(count: int = 40, size: int = 32, channels: int = 3) -> np.ndarray:
    """Waves of slowly changing color."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    phases = rng.uniform(0, 6, (count, channels, 1, 1))
    slopes = rng.uniform(-6, 6, (2, count, channels, 1, 1))
    values = 127 + 90 * np.sin(phases + slopes[0] * x + slopes[1] * y) + rng.normal(0, 4, (count, channels, size, size))
    return values.clip(0, 255).astype(np.uint8)


def fitted(pixels: np.ndarray) -> tuple[Image, Any]:
    """A modality that was fitted to pictures, and its scaling."""
    image = Image(pixels.shape[-1], pixels.shape[1], codec="pca")  # type: ignore[arg-type]
    image.mean, image.std = pixel_mean_std(pixels)
    image.codec_state = fit_patch_basis(pixels, image.mean, image.std)
    values = {name: value for name, value in image.interface.items() if name != "scaling"}
    return image, instantiate(image.interface["scaling"], Scaling, "scaling", values)


@pytest.mark.parametrize(("channels", "count"), [(3, 32), (1, 16)])
def test_coefficients_have_unit_variance_and_give_the_picture_back(channels: int, count: int) -> None:
    pixels = torch.from_numpy(pictures(channels=channels))
    image, scaling = fitted(pixels.numpy())
    coefficients = scaling.scale(pixels)
    assert coefficients.shape == (40, count, 4, 4) == (40, *image.interface["shape"])
    assert scaling.scaled_shape((channels, 32, 32)) == image.interface["shape"]
    assert abs(coefficients.mean()) < 1e-3 and abs(coefficients.std() - 1) < 1e-2
    error = (scaling.unscale(coefficients).float() - pixels).square().mean().sqrt()
    assert error < 6  # of 255: the noise that it leaves out
    again = scaling.scale(scaling.unscale(coefficients))
    assert (again - coefficients).abs().max() < 0.2  # rounded pixels alone


def test_the_basis_is_orthonormal_and_the_same_each_time() -> None:
    state = fit_patch_basis(pictures(), 0.0, 0.5)
    rows = state["basis"].flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(32), atol=1e-5)
    assert all(torch.equal(value, fit_patch_basis(pictures(), 0.0, 0.5)[name]) for name, value in state.items())


def test_known_patches_are_replaced_and_others_are_not() -> None:
    pixels = torch.from_numpy(pictures(2))
    _, scaling = fitted(pictures())
    known, noise = scaling.scale(pixels), torch.randn(2, 32, 4, 4)
    mask = torch.zeros(2, 3, 32, 32, dtype=torch.bool)
    mask[..., :16] = True
    blended = scaling.blend(noise, known, mask)
    assert torch.allclose(blended[..., :2], known[..., :2], atol=1e-4)
    assert torch.equal(blended[..., 2:], noise[..., 2:])


def test_kept_pixels_stay_bit_for_bit(tmp_path: Path) -> None:
    image, scaling = fitted(pictures())
    torch.manual_seed(0)
    model = Model(image, Diffusion(UNet(image.interface["shape"], patch=1, width=32), scaling=scaling).eval())
    init, mask = Picture(pictures(1)[0].transpose(1, 2, 0).copy()), np.zeros((32, 32, 1), np.uint8)
    mask[5:20, 9:30] = 255  # not whole patches
    (tmp_path / "mask.png").write_bytes(Picture(mask).to_bytes())
    (sample,) = model.sample(init=init, mask=str(tmp_path / "mask.png"), steps=2)
    is_kept = mask[..., 0] == 0
    assert np.array_equal(sample.pixels[is_kept], init.pixels[is_kept])
    assert not np.array_equal(sample.pixels[~is_kept], init.pixels[~is_kept])


def test_a_state_that_does_not_fit_is_refused() -> None:
    image, _ = fitted(pictures())
    other = Image(32, codec="pca")
    other.restore(image.state())
    assert all(torch.equal(value, other.codec_state[name]) for name, value in image.codec_state.items())
    good = image.codec_state
    for state in (None, {}, good | {"basis": good["basis"][:4]}, good | {"centers": good["centers"] * torch.nan},
                  good | {"scales": -good["scales"]}, good | {"basis": [[1.0]]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"codec"):
            restore_codec(state, 3)


def test_sides_that_are_no_multiples_are_named() -> None:
    with pytest.raises(ValueError, match="codec=pca"):
        Image(36, codec="pca")
    node = {"_target_": "genai.modalities.image.Image", "size": 36, "codec": "pca"}
    with pytest.raises(UserError, match="sides"):
        instantiate(node, Image, "modality")


def test_pixels_have_no_codec() -> None:
    assert Image(32).interface["shape"] == (3, 32, 32) and "patch" not in Image(32).interface


@pytest.mark.parametrize(
    ("size", "codec"), [(64, "pca"), ([64, 96], "pca"), (32, None), ([64, 32], None), (72, None), (128, "pca")]
)
def test_auto_is_for_large_pictures(size: Any, codec: str | None) -> None:
    assert Image(size, codec="auto").codec == codec
