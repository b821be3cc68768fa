"""Super-resolution by diffusion: the detail that a small picture lacks is denoised, given the small picture.

As in SR3 (Saharia et al. 2021, arXiv:2104.07636) the network sees the small picture, enlarged by bicubic interpolation,
beside the noisy data. As in SRDiff (Li et al. 2021, arXiv:2104.14951) the data are the difference to that picture, so
an untrained network returns the bicubic one. Noise is added to the small picture, and its level told to the network
(cascaded diffusion, Ho et al. 2021, arXiv:2106.15282), so that flaws of a generated picture can be drowned.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Annotated, Any, Literal, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Chunk, Request
from genai.methods.base import NetworkCall, check_output, map_steps
from genai.methods.denoiser import NetworkInput
from genai.methods.diffusion import Diffusion
from genai.methods.interpolation import Prompt, initial_noise, noise_sampler
from genai.methods.psnr import psnr
from genai.methods.samplers import Denoise, SamplerOptions, SamplerStep, get_sampler
from genai.methods.scaling import Scaling
from genai.networks.layers import append_dims

TILE_SIDE = 256
"""Side in pixels of the parts of a large picture that the network sees at once, without what is around them."""


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions(SamplerOptions):
    """Options of enlarging a picture, with those of ``SamplerOptions``.

    Attributes:
        steps: 1 gives the mean of all pictures that the small one can come from, which has the highest PSNR; more
            steps draw one of them, which is sharper and has a lower PSNR.
        noise_level: noise that is added to the small picture first, as a fraction of the largest in training. It hides
            flaws of a generated picture, and details.
    """

    steps: Annotated[int, Ge(1), Le(1000)] = 1
    noise_level: Annotated[float, Ge(0), Le(1)] = 0.0


class LocalNetwork(Protocol):
    """A network whose output at a pixel depends on its inputs at most ``reach`` pixels away."""

    reach: int


class Upscale(Diffusion):
    """Learns from large pictures, which it makes small itself.

    Args:
        network: (x, time, None, enlarged picture, noise level) -> the shape of x; a ``LocalNetwork``.
        upscale: factor between the sides of the small and the large picture, which the modality has.
        scaling: from pixels to zero mean and unit variance.
        residual_std: standard deviation of scaled pixels around the enlarged picture, which makes it unit variance.
        max_noise: standard deviation of the largest noise added to the small picture, in scaled pixels.
        crop: side in pixels of the part of a picture that a training step sees; ``None``: all of it.
        logit_mean, logit_std, floor, sampling: as for ``Diffusion``.

    Raises:
        ValueError: there is no factor, or ``crop`` is not a multiple of it.
    """

    Options = UpscaleOptions  # type: ignore[assignment]
    metrics = ("val_loss", "upscaling")
    supports_interpolation = False
    restores_init = True

    def __init__(
        self,
        network: nn.Module,
        upscale: Literal[2, 4] | None = None,
        scaling: Scaling | None = None,
        residual_std: Annotated[float, Gt(0), Le(10)] = 0.2,
        max_noise: Annotated[float, Ge(0), Le(10)] = 0.1,
        crop: Annotated[int, Ge(8)] | None = 48,
        logit_mean: float = 1.0,
        logit_std: Annotated[float, Gt(0)] = 1.3,
        floor: Annotated[float, Gt(0), Le(1)] = 0.1,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        if upscale is None:
            raise ValueError("it needs a factor: modality.upscale=2 or modality.upscale=4")
        super().__init__(network, None, scaling, "x0", logit_mean, logit_std, floor, 0.0, sampling)
        if crop is not None and crop % upscale:
            raise ValueError(f"crop={crop} is not a multiple of {upscale}, by which pictures are made small")
        self.upscale, self.residual_std, self.max_noise, self.crop = upscale, residual_std, max_noise, crop

    @property
    def network(self) -> LocalNetwork:
        return cast(LocalNetwork, self.ema_module.network)

    def unused_options(self, request: Request, options: Any) -> dict[str, str]:
        return {}

    # ------------------------------------------------------------------------------------------ small and large

    def degrade(self, x: Tensor) -> Tensor:
        """Make pictures (batch, channels, height, width) uint8 small, by bicubic interpolation with antialiasing."""
        sides = [side // self.upscale for side in x.shape[-2:]]
        small = F.interpolate(x.float(), sides, mode="bicubic", antialias=True)
        return small.round().clamp(0, 255).to(torch.uint8)

    def enlarge(self, small: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Return scaled pictures, with noise, enlarged by bicubic interpolation.

        Args:
            small: (batch, channels, height, width) uint8.
            level: (batch,), fraction of ``max_noise``.
            noise: of the shape of ``small``, of unit variance.
        """
        noisy = self.scaling.scale(small) + append_dims(level * self.max_noise, 4) * noise
        sides = [side * self.upscale for side in small.shape[-2:]]
        return F.interpolate(noisy, sides, mode="bicubic", antialias=True)

    def bicubic(self, small: Tensor) -> Tensor:
        """Enlarge pictures (batch, channels, height, width) uint8 by bicubic interpolation alone."""
        return self.scaling.unscale(self._enlarge_clean(small)[0])

    def _enlarge_clean(self, small: Tensor) -> tuple[Tensor, Tensor]:
        """Return enlarged pictures without noise, and its level."""
        level = torch.zeros(len(small), device=small.device)
        return self.enlarge(small, level, torch.zeros(small.shape, device=small.device)), level

    def _pixels(self, residual: Tensor, enlarged: Tensor) -> Tensor:
        return self.scaling.unscale(enlarged + check_output(residual) * self.residual_std)

    # --------------------------------------------------------------------------------------------------- training

    def denoise(  # type: ignore[override]
        self, x: Tensor, time: Tensor, prompts: Sequence[Prompt], *conditioning: Tensor
    ) -> Tensor:
        """Predict the data from ``x`` (batch, ...) at ``time`` (batch,).

        The network predicts what the best linear estimate lacks, in unit variance, as c_skip and c_out of Karras et al.
        2022 (arXiv:2206.00364, table 1), for this path and data of unit variance.
        """
        t = append_dims(time, x.ndim)
        scale = ((1 - t) ** 2 + t**2).sqrt()
        return (1 - t) / scale**2 * x + t / scale * self.ema_module(x / scale, time, prompts, *conditioning)

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        return super().loss(self._crop(batch) if self.training else batch, network_name)

    def _inputs(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        small = self.degrade(batch.x)
        level = torch.rand(len(small), device=small.device)
        enlarged = self.enlarge(small, level, torch.randn(small.shape, device=small.device))
        return (self.scaling.scale(batch.x) - enlarged) / self.residual_std, (enlarged, level)

    def _crop(self, batch: Batch) -> Batch:
        """Return a random part of each picture; it begins at a multiple of the factor."""
        height, width = batch.x.shape[-2:]
        side = min(self.crop or height, height, width)
        if side == height == width:
            return batch
        tops, lefts = (
            (torch.rand(len(batch)) * ((limit - side) // self.upscale + 1)).int() for limit in (height, width)
        )
        corners = [(int(top) * self.upscale, int(left) * self.upscale) for top, left in zip(tops, lefts, strict=True)]

        def cut(x: Tensor) -> Tensor:
            rows = zip(x, corners, strict=True)
            return torch.stack([row[..., top : top + side, left : left + side] for row, (top, left) in rows])

        return replace(batch, x=cut(batch.x), loss_mask=None if batch.loss_mask is None else cut(batch.loss_mask))

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss; ``psnr`` in dB of what one step gives, which is a mean; ``psnr_bicubic`` for comparison."""
        small = self.degrade(batch.x)
        enlarged, level = self._enlarge_clean(small)
        time = torch.ones_like(level)
        residual = self.denoise(torch.randn_like(enlarged), time, [""] * len(small), enlarged, level)
        images = {"psnr": self._pixels(residual, enlarged), "psnr_bicubic": self.scaling.unscale(enlarged)}
        return self.loss(batch) | {name: psnr(x, batch.x).mean() for name, x in images.items()}

    def validation_summary(self, losses: Mapping[str, float]) -> str:
        gain = losses["psnr"] - losses["psnr_bicubic"]
        return f"PSNR {losses['psnr']:.2f} dB in one step, bicubic {losses['psnr_bicubic']:.2f} dB ({gain:+.2f})"

    def item_loss(self, batch: Batch) -> Tensor:
        return self.loss(batch)["loss"]

    # --------------------------------------------------------------------------------------------------- sampling

    @torch.inference_mode()
    def steps(  # type: ignore[override]
        self, request: Request, options: UpscaleOptions
    ) -> Generator[Chunk | NetworkCall, Any, None]:
        """Yield the large pictures, (batch, channels, height, width) uint8, as predicted at each step, and the network
        calls. ``request.init`` has the small ones, which have the same size."""
        small = self._stack(request.init)
        assert small is not None
        draw_noise = noise_sampler(request)
        level = torch.full((len(small),), options.noise_level, device=small.device)
        enlarged = self.enlarge(small, level, draw_noise(self.scaling.scale(small)))
        times, numbers = self.times(options), count(1)

        def output(step: SamplerStep) -> Chunk:
            time, x_t, predicted = step
            pixels = self._pixels(predicted if time else x_t, enlarged)
            return Chunk(0, pixels.cpu(), next(numbers) / options.steps)

        noise = initial_noise(request, enlarged.shape[1:]).to(enlarged)
        sampler = get_sampler(options.sampler, draw_noise)
        yield from map_steps(sampler(self._tiled_denoiser(enlarged, level), noise, times), output)

    def _tiled_denoiser(self, enlarged: Tensor, level: Tensor) -> Denoise:
        """Return a denoiser that sees one tile after another, with all that its prediction depends on."""

        def denoise(x: Tensor, t: float, step_size: float) -> Generator[Any, Any, Tensor]:
            time, prompts = torch.full_like(level, t), [""] * len(x)
            predicted = torch.empty_like(x)
            for rows, columns in tiles(x.shape[-2:], TILE_SIDE):
                outer_rows, outer_columns = (_extend(part, self.network.reach) for part in (rows, columns))
                part, condition = (each[..., outer_rows, outer_columns] for each in (x, enlarged))
                output = yield NetworkInput(part, time, prompts, (condition, level))
                inner_rows, inner_columns = _shift(rows, outer_rows), _shift(columns, outer_columns)
                predicted[..., rows, columns] = output[..., inner_rows, inner_columns]
            return predicted

        return denoise


def tiles(sides: Sequence[int], side: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of tiles of at most ``side`` x ``side`` that cover an area of ``sides``."""
    for top in range(0, sides[0], side):
        for left in range(0, sides[1], side):
            yield slice(top, min(top + side, sides[0])), slice(left, min(left + side, sides[1]))


def _extend(part: slice, margin: int) -> slice:
    return slice(max(0, part.start - margin), part.stop + margin)


def _shift(part: slice, outer: slice) -> slice:
    """Return where a part is within ``outer``."""
    return slice(part.start - outer.start, part.stop - outer.start)
