"""Regression: a network learns to remove a degradation. Its input is degraded data, its target the clean data.

For sound this is speech enhancement with a non-causal WaveNet (Rethage et al. 2018, arXiv:1706.07162). Inputs are
normalized to the same loudness and outputs scaled back, so the loudness of a recording makes no difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.methods.base import Method, check_output
from genai.methods.degradation import MIN_LEVEL, Degradation, loudness

WINDOW_SAMPLES = 2**14
"""Approximate number of samples that are processed at once, so that a long recording needs bounded memory."""

MIN_ERROR_POWER = 0.01
"""Added to the relative power of the error: errors far below it (-20 dB) hardly change the loss."""


@dataclass(frozen=True)
class RegressionOptions:
    """Options of restoring a sound.

    Attributes:
        strength: fraction of the detected degradation that is removed, 0 to 1.
    """

    strength: Annotated[float, Ge(0), Le(1)] = 1.0


class NonCausalNetwork(Protocol):
    """A network that maps a waveform (batch, time) to a waveform.

    Attributes:
        patch: the network is equivariant to shifts by whole patches of this many samples.
        reach: samples on either side of a patch that its output depends on, in whole patches.
    """

    patch: int
    reach: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Regression(Method):
    """Learns from clean waveforms, which it degrades itself.

    The loss is the power of the error relative to the clean waveform in dB, so that weak degradation counts as much as
    strong one, plus a spectral distance, which is sensitive to what the first term misses: quiet high frequencies. The
    energy-conserving loss of Rethage et al. (equation 6), the absolute error plus that of the background ``noisy -
    restored``, is no more than twice the absolute error.

    Args:
        network: a ``NonCausalNetwork``.
        degradation: degrades clean waveforms.
        spectral: weight in dB of the spectral distance.
        window_seconds: lengths of the windows of the spectral distance.
        sampling: this model's own defaults for ``RegressionOptions``.
    """

    Options = RegressionOptions
    metrics = ("val_loss", "enhancement")
    restores_init = True

    def __init__(
        self,
        network: nn.Module,
        degradation: Degradation,
        spectral: Annotated[float, Ge(0), Le(1000)] = 20.0,
        window_seconds: Sequence[Annotated[float, Gt(0), Le(1)]] = (0.016, 0.064),
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not window_seconds:
            raise ValueError("window_seconds=[]: give at least one")
        self.ema_module, self.degradation = network, degradation
        self.spectral, self.sampling = spectral, sampling or {}
        self.window_sizes = [max(4, round(seconds * degradation.sample_rate)) for seconds in window_seconds]

    @property
    def network(self) -> NonCausalNetwork:
        return cast(NonCausalNetwork, self.ema_module)

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss over valid samples and its parts ``waveform``, in dB, and ``spectrum``."""
        valid = torch.ones_like(batch.x, dtype=torch.bool) if batch.valid is None else batch.valid
        clean = batch.x * valid
        noisy = self.degradation(clean, valid)
        level = self.level(noisy)
        restored = self.restore(noisy / level) * valid
        target, weight = clean / level, valid.float().mean(1)
        error = (restored - target).square().sum(1) / target.square().sum(1).clamp(min=MIN_LEVEL)
        error_db = 10 * (error + MIN_ERROR_POWER).log10()
        waveform = (error_db * weight).sum() / weight.sum().clamp(min=MIN_LEVEL)
        spectrum = torch.stack([spectral_distance(restored, target, size) for size in self.window_sizes]).mean()
        spectrum = spectrum / weight.mean().clamp(min=MIN_LEVEL)
        return {"loss": waveform + self.spectral * spectrum, "waveform": waveform, "spectrum": spectrum}

    def degrade(self, x: Tensor) -> Tensor:
        noisy: Tensor = self.degradation(x)
        return noisy

    @torch.inference_mode()
    def stream(self, request: Request, options: RegressionOptions) -> Iterator[Chunk]:
        """Restore the sounds ``request.init``, which have the same length, window by window.

        Each window is computed with its whole receptive field, so the result is that of the whole sound at once.
        """
        assert request.init is not None
        init = torch.stack(request.init)
        level, reach = self.level(init).to(self.device), self.network.reach
        window = max(1, WINDOW_SAMPLES // self.network.patch) * self.network.patch
        for start in range(0, init.shape[1], window):
            context_start = max(0, start - reach)
            noisy = init[:, context_start : start + window + reach].to(self.device)
            output = torch.lerp(noisy, self.restore(noisy / level) * level, options.strength)
            yield Chunk(start, check_output(output)[:, start - context_start :][:, :window].cpu())

    def sample(self, request: Request, options: RegressionOptions) -> list[Tensor]:
        return list(torch.cat([chunk.x for chunk in self.stream(request, options)], 1))

    def restore(self, x: Tensor) -> Tensor:
        """Remove the degradation of (batch, time) with a loudness of 1."""
        return self.network(x).float()

    def level(self, x: Tensor) -> Tensor:
        """Return the loudness (batch, 1) of (batch, time)."""
        return loudness(x, self.degradation.sample_rate // 50).clamp(min=MIN_LEVEL)


def spectral_distance(x: Tensor, target: Tensor, window_size: int) -> Tensor:
    """Return the mean absolute difference of the square roots of STFT magnitudes of (batch, time).

    The roots give quiet frequencies more weight (as in Ephrat et al. 2018, arXiv:1804.03619, section 4.2).
    """
    spectra = torch.stft(
        torch.cat([x, target]),
        window_size,
        window_size // 4,
        window=torch.hann_window(window_size, device=x.device),
        normalized=True,
        pad_mode="constant",
        return_complex=True,
    )
    roots = (spectra.real.square() + spectra.imag.square() + 1e-5) ** 0.25  # abs() has no gradient at 0
    output_roots, target_roots = roots.chunk(2)
    return (output_roots - target_roots).abs().mean()
