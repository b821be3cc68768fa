"""Reconstruction: loss and PSNR on hand-made numbers, pictures given back, and what it is not for."""

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.core.errors import UserError
from genai.methods.reconstruction import Reconstruction, ReconstructionOptions
from genai.methods.scaling import PatchScaling, PixelScaling
from genai.networks.autoencoder import Autoencoder


class Halves(nn.Module):
    """Decodes latents, which are the pixels, half as bright."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels

    def decode(self, latents: Tensor) -> Tensor:
        return self.factor * latents

    def forward(self, pixels: Tensor) -> Tensor:
        return self.decode(self.encode(pixels))


@torch.no_grad()
def test_loss_and_psnr_by_hand() -> None:
    white = Batch(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8))
    losses = Reconstruction(Halves(), (3, 8, 8), noise=0.0, penalty=0.25).loss(white)
    assert float(losses["error"]) == pytest.approx(0.5)
    assert float(losses["penalty"]) == pytest.approx(2.0)  # mean 1, standard deviation 0
    assert float(losses["loss"]) == pytest.approx(1.0)
    validation = Reconstruction(Halves(), (3, 8, 8)).validation_loss(white)
    assert float(validation["loss"]) == pytest.approx(0.5)
    assert float(validation["psnr"]) == pytest.approx(12.0412, abs=1e-3)  # an error of a quarter of the range
    noisy = Reconstruction(Halves(), (3, 8, 8), noise=1.0).loss(white)
    assert float(noisy["error"]) > 0.55


def test_training_brings_pictures_back() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 255, (8, 3, 1, 1)).expand(8, 3, 16, 16).byte()
    method = Reconstruction(Autoencoder(3, latents=4, width=8), (3, 16, 16))
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)

    def psnr() -> float:
        with torch.no_grad():
            return float(method.validation_loss(Batch(pixels))["psnr"])

    first = psnr()
    for _ in range(60):
        optimizer.zero_grad()
        method.loss(Batch(pixels))["loss"].backward()
        optimizer.step()
    assert psnr() > first + 6
    pictures = method.eval().sample(
        Request([""] * 2, [0, 1], (3, 16, 16), init=list(pixels[:2])), ReconstructionOptions()
    )
    assert (pictures[0].float() - pixels[0]).abs().mean() < (pictures[0].float() - pixels[1]).abs().mean()


def test_it_needs_pictures_pixels_and_sides_of_eight() -> None:
    method = Reconstruction(Halves(), (3, 8, 8), PixelScaling())
    with pytest.raises(UserError, match="gives one back: init=FILE"):
        method.sample(Request([""], [0], (3, 8, 8)), ReconstructionOptions())
    with pytest.raises(ValueError, match="multiples of 8, not 12 x 8 pixels"):
        Reconstruction(Halves(), (3, 8, 12))
    with pytest.raises(ValueError, match="codec=null"):
        Reconstruction(Halves(), (3, 8, 8), PatchScaling())
    with pytest.raises(ValueError, match="this modality is video"):
        Reconstruction(Halves(), (3, 8, 8), frames=2)
