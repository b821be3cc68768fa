"""Regression: a network learns to undo a damage. What is spoilt is its input, what is not is its target.

Of sound it is speech enhancement with a WaveNet that is not causal (Rethage et al. 2018, arXiv:1706.07162). Each input
is brought to one loudness before the network and back behind it, so how loud a recording is makes no difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, Request
from genai.methods.base import Method
from genai.methods.degradation import FAINT, Damage, loudness

WINDOW = 2**14
"""Samples that are made at once, about: a long recording passes by in bounded memory."""

LEAST = 0.01
"""Share of the power, -20 dB, below which an error is not worth learning from."""


@dataclass(frozen=True)
class RegressionOptions:
    """How a sound is restored.

    Attributes:
        strength: how much of what was found to be damage is taken away: 0 nothing, 1 all of it.
    """

    strength: Annotated[float, Ge(0), Le(1)] = 1.0


class Centred(Protocol):
    """A waveform from a waveform (batch, time).

    Attributes:
        patch: samples that belong together: the same patches give the same wherever they stand.
        reach: samples on either side of a patch that its output depends on, in whole patches.
    """

    patch: int
    reach: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Regression(Method):
    """Learns from clean waveforms, which it spoils itself.

    The loss is the power of the error in dB of the clean one, so that faint damage counts as much as heavy damage; and,
    beside it, a distance of spectra, which hears what the first one misses: quiet high frequencies. The
    energy-conserving loss of Rethage et al. (equation 6), an absolute error with that of the background ``noisy -
    restored``, is twice the absolute error, no more.

    Args:
        network: a ``Centred``.
        damage: what spoils.
        spectral: weight of the distance of spectra, in dB.
        windows: seconds of their windows.
        sampling: this model's own defaults among ``RegressionOptions``.
    """

    Options = RegressionOptions
    metrics = ("val_loss", "enhancement")

    def __init__(
        self,
        network: nn.Module,
        damage: Damage,
        spectral: Annotated[float, Ge(0), Le(1000)] = 20.0,
        windows: Sequence[Annotated[float, Gt(0), Le(1)]] = (0.016, 0.064),
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not windows:
            raise ValueError("windows=[]: one is needed at least")
        self.sampled, self.damage = network, damage
        self.spectral, self.sampling = spectral, sampling or {}
        self.windows = [max(4, round(seconds * damage.rate)) for seconds in windows]

    @property
    def network(self) -> Centred:
        return cast(Centred, self.sampled)

    def loss(self, batch: Batch, player: str = "model") -> dict[str, Tensor]:
        """``waveform``, in dB, and ``spectrum`` are its parts, of what is valid."""
        valid = torch.ones_like(batch.x, dtype=torch.bool) if batch.valid is None else batch.valid
        clean = batch.x * valid
        noisy = self.damage(clean, valid)
        level = self.level(noisy)
        restored = self.restored(noisy / level) * valid
        target, share = clean / level, valid.float().mean(1)
        error = (restored - target).square().sum(1) / target.square().sum(1).clamp(min=FAINT)
        decibels = 10 * (error + LEAST).log10()
        waveform = (decibels * share).sum() / share.sum().clamp(min=FAINT)
        spectrum = torch.stack([distance(restored, target, window) for window in self.windows]).mean()
        spectrum = spectrum / share.mean().clamp(min=FAINT)
        return {"loss": waveform + self.spectral * spectrum, "waveform": waveform, "spectrum": spectrum}

    def spoilt(self, x: Tensor) -> Tensor:
        noisy: Tensor = self.damage(x)
        return noisy

    @torch.inference_mode()
    def stream(self, request: Request, options: RegressionOptions) -> Iterator[Chunk]:
        """``request.init``, sounds of one length, restored window by window; where windows meet cannot be told.

        Each sees as much around it as the network does, so the result is that of the whole at once.
        """
        assert request.init is not None
        given = torch.stack(request.init)
        level, reach = self.level(given).to(self.device), self.network.reach
        window = max(1, WINDOW // self.network.patch) * self.network.patch
        for start in range(0, given.shape[1], window):
            first = max(0, start - reach)
            noisy = given[:, first : start + window + reach].to(self.device)
            made = torch.lerp(noisy, self.restored(noisy / level) * level, options.strength)
            yield Chunk(start, made[:, start - first :][:, :window].cpu())

    def sample(self, request: Request, options: RegressionOptions) -> list[Tensor]:
        return list(torch.cat([piece.x for piece in self.stream(request, options)], 1))

    def restored(self, x: Tensor) -> Tensor:
        """(batch, time) of a loudness of 1 -> the same without its damage."""
        return self.network(x).float()

    def level(self, x: Tensor) -> Tensor:
        """(batch, 1), the loudness of (batch, time)."""
        return loudness(x, self.damage.rate // 50).clamp(min=FAINT)


def distance(x: Tensor, target: Tensor, window: int) -> Tensor:
    """Mean absolute difference of the square roots of magnitudes, which weigh quiet frequencies more (in the manner of
    Ephrat et al. 2018, arXiv:1804.03619, section 4.2), of (batch, time) in windows of so many samples."""
    shape = torch.hann_window(window, device=x.device)
    both = torch.stft(
        torch.cat([x, target]),
        window,
        window // 4,
        window=shape,
        normalized=True,
        pad_mode="constant",
        return_complex=True,
    )
    roots = (both.real.square() + both.imag.square() + 1e-5) ** 0.25  # not abs(), whose gradient at 0 is none
    restored, real = roots.chunk(2)
    return (restored - real).abs().mean()
