"""The refiner: the identity at first, and a smaller error than the codec's after some steps."""

import pytest
import torch

from genai.adapters.lora import LoRA
from genai.core.batch import Batch
from genai.methods.diffusion import Diffusion
from genai.networks.refiner import Refiner
from genai.networks.unet import UNet
from tests.modalities.test_patch_codec import fitted, pictures


@pytest.mark.parametrize(("channels", "coefficients"), [(3, 32), (1, 16)])
def test_it_begins_as_the_identity(channels: int, coefficients: int) -> None:
    pixels = torch.randn(2, channels, 16, 24)
    assert torch.equal(Refiner(channels, coefficients, 8)(pixels, torch.randn(2, coefficients, 2, 3)), pixels)


def test_training_makes_decoded_pictures_better_and_leaves_the_denoiser_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.methods.diffusion.REFINER_SHARE", 1)
    torch.manual_seed(0)
    pixels = torch.randint(30, 220, (40, 3, 1, 1)).repeat(1, 1, 32, 32).byte()
    for picture in pixels:  # flat, with edges that 32 of 192 coefficients blur
        top, left = (int(x) for x in torch.randint(2, 20, (2,)))
        picture[:, top : top + 9, left : left + 9] = 250
    image, scaling = fitted(pixels.numpy())
    network = UNet(image.interface["shape"], width=8, patch=1, multipliers=(1,), attention=0)
    method = Diffusion(network, scaling=scaling, refiner=Refiner(3, 32, 8, width=16))
    coefficients = scaling.scale(pixels)
    coefficients += 0.15 * torch.randn_like(coefficients)  # as sampling leaves it

    def error() -> float:
        with torch.no_grad():
            return float((method.decode(coefficients).float() - pixels).abs().mean())

    first = error()
    assert set(method.loss(Batch(pixels), "model")) == {"loss", "denoiser", "refiner"}
    optimizer = torch.optim.Adam(method.ema_module.refiner.parameters(), 5e-3)  # type: ignore[union-attr]
    batch = Batch(pixels)
    for _ in range(60):
        optimizer.zero_grad()
        method._refiner_loss(batch, scaling.scale(batch.x)).backward()
        optimizer.step()
    assert error() < 0.95 * first
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_refiner_that_is_not_trained_has_no_loss() -> None:
    image, scaling = fitted(pictures())
    network = UNet(image.interface["shape"], width=8, patch=1, multipliers=(1,), attention=0)
    refiner = Refiner(3, 32, 8, width=16).requires_grad_(requires_grad=False)
    losses = Diffusion(network, scaling=scaling, refiner=refiner).loss(Batch(torch.from_numpy(pictures())), "model")
    assert set(losses) == {"loss"}


def test_adapters_leave_it_alone() -> None:
    network = UNet((32, 4, 4), width=8, patch=1, multipliers=(1,), attention=0)
    method = Diffusion(network, refiner=Refiner(3, 32, 8, width=16))
    LoRA(rank=2).attach(method)
    names = [name for name, parameter in method.named_parameters() if parameter.requires_grad]
    assert names and not any("refiner" in name for name in names)
