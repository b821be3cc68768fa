"""Super-resolution: what an untrained model makes, tiles, noise of the small picture, crops, and that it learns."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods import upscale
from genai.methods.scaling import PixelScaling
from genai.methods.upscale import Upscale, UpscaleOptions, tiles
from genai.networks.upscale import UpscaleNetwork

SHAPE = (3, 24, 24)


def make_method(factor: Any = 2, **arguments: Any) -> Upscale:
    network = UpscaleNetwork(SHAPE, factor, width=16, blocks=2)
    return Upscale(network, factor, PixelScaling(), **arguments).eval()


def randomized(method: Upscale) -> Upscale:
    torch.manual_seed(0)
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.05)
    return method


def drawings(count: int, side: int = 24) -> Tensor:
    """Random disks with sharp edges: (count, 3, side, side)."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    generator = torch.Generator().manual_seed(0)
    pictures = torch.full((count, 3, side, side), 255, dtype=torch.uint8)
    for picture in pictures:
        for _ in range(3):
            row, column, radius = torch.rand(3, generator=generator) * torch.tensor([side, side, side / 3])
            color = torch.randint(0, 256, (3,), generator=generator, dtype=torch.uint8)
            picture[:, (y - row) ** 2 + (x - column) ** 2 < radius**2] = color[:, None]
    return pictures


@pytest.mark.parametrize("factor", [2, 4])
def test_an_untrained_model_returns_the_bicubic_picture(factor: Any) -> None:
    method, real = make_method(factor), drawings(2)
    small = method.degrade(real)
    assert small.shape == (2, 3, 24 // factor, 24 // factor)
    request = Request(["", ""], [0, 1], SHAPE, init=list(small))
    samples = torch.stack(method.sample(request, UpscaleOptions(steps=1)))
    assert torch.equal(samples, method.bicubic(small))
    with torch.no_grad():
        losses = method.validation_loss(Batch(real))
    assert losses["psnr"] == losses["psnr_bicubic"] and f"{losses['psnr']:.2f} dB" in method.validation_summary(
        {name: float(value) for name, value in losses.items()}
    )


def test_both_ways_are_those_of_pillow() -> None:
    method, real = make_method(), drawings(1)
    image = Pillow.fromarray(real[0].permute(1, 2, 0).numpy())
    small = np.asarray(image.resize((12, 12), Pillow.Resampling.BICUBIC)).astype(int)
    ours = method.degrade(real)[0].permute(1, 2, 0).numpy()
    assert abs(ours.astype(int) - small).mean() < 0.3  # Pillow also rounds and clips between rows and columns
    large = np.asarray(Pillow.fromarray(ours).resize((24, 24), Pillow.Resampling.BICUBIC)).astype(int)
    assert abs(method.bicubic(method.degrade(real))[0].permute(1, 2, 0).numpy().astype(int) - large).mean() < 0.3


@pytest.mark.parametrize("steps", [1, 3])
def test_tiles_give_what_the_whole_picture_gives(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method = randomized(make_method())
    small = torch.randint(0, 256, (3, 20, 34), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    request = Request([""], [5], (3, 40, 68), init=[small])
    whole = method.sample(request, UpscaleOptions(steps=steps))[0].float()
    monkeypatch.setattr(upscale, "TILE_SIDE", 16)
    assert len([*tiles((40, 68), 16)]) == 15
    tiled = method.sample(request, UpscaleOptions(steps=steps))[0].float()
    assert whole.shape == (3, 40, 68) and (whole - tiled).abs().max() <= 1
    monkeypatch.setattr(method.ema_module.network, "reach", 2)  # too little of what is around them
    assert (method.sample(request, UpscaleOptions(steps=steps))[0].float() - whole).abs().max() > 1


def test_noise_is_added_to_the_small_picture_and_told() -> None:
    method = randomized(make_method())
    small = method.degrade(drawings(1))
    request = Request([""], [0], SHAPE, init=[small[0]])
    noise = torch.randn(small.shape)
    level = torch.tensor([0.5])
    added = method.enlarge(small, level, noise) - method.enlarge(small, 0 * level, noise)
    assert added.std() == pytest.approx(0.5 * method.max_noise * 0.75, rel=0.4)  # enlarging smooths it
    samples = [method.sample(request, UpscaleOptions(noise_level=each))[0].float() for each in (0.0, 0.0, 1.0)]
    assert torch.equal(samples[0], samples[1]) and (samples[0] - samples[2]).abs().mean() > 1
    seen = method.ema_module.network(noise_like(small), level, None, noise_like(small), level)
    assert not torch.equal(
        seen, method.ema_module.network(noise_like(small), level, None, noise_like(small), 0 * level)
    )


def noise_like(small: Tensor) -> Tensor:
    return torch.ones(1, 3, 2 * small.shape[-2], 2 * small.shape[-1])


def test_crops_are_parts_of_the_pictures() -> None:
    method = make_method(crop=8)
    positions = torch.arange(24 * 24).view(24, 24) % 251
    batch = Batch(positions.expand(4, 3, 24, 24).to(torch.uint8))
    torch.manual_seed(0)
    parts = method._crop(batch).x
    assert parts.shape == (4, 3, 8, 8) and len({int(part[0, 0, 0]) for part in parts}) > 1
    corners = {(top, left) for top in range(0, 17, 2) for left in range(0, 17, 2)}
    for part in parts:
        assert any(torch.equal(part[0], batch.x[0, 0, t : t + 8, c : c + 8]) for t, c in corners)
    with pytest.raises(ValueError, match="crop=10 is not a multiple of 4"):
        make_method(4, crop=10)


def test_it_learns_more_than_bicubic_knows() -> None:
    torch.manual_seed(0)
    method, real = make_method(crop=None, residual_std=0.3), drawings(8)
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    method.train()
    for _ in range(50):
        optimizer.zero_grad()
        method.loss(Batch(real))["loss"].backward()
        optimizer.step()
    losses = method.eval().validation_loss(Batch(real))
    assert losses["psnr"] > losses["psnr_bicubic"] + 0.5
