"""Spectral masking: a network predicts a gain for each time and frequency of a spectrogram.

A Wiener filter has such gains, too. So the network starts from a good model of noise removal, and trains many times
faster than on raw samples.
"""

from typing import Annotated, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout


class PatchNetwork(Protocol):
    """A network from waveform to waveform that works on patches of samples, such as ``WaveNet``.

    Attributes:
        patch: samples per patch.
        reach: samples on either side of a patch that its output depends on.
    """

    patch: int
    reach: int

    def __call__(self, x: Tensor) -> Tensor: ...


class SpectralGain(nn.Module):
    """Multiply the spectrogram of a waveform by predicted gains between 0 and 2, which are near 1 at initialization.

    Args:
        network: a ``PatchNetwork``. One of its patches holds the input, and the output, of one spectrogram frame.
        sample_rate: samples per second.
        window: length of an STFT window in seconds; the hop length is a quarter of it.
    """

    def __init__(
        self,
        network: nn.Module,
        sample_rate: Annotated[int, Ge(1000), Le(192_000)],
        window: Annotated[float, Gt(0), Le(1)] = 0.048,
    ) -> None:
        super().__init__()
        self.stack, self.patch = network, max(1, round(window * sample_rate / 4))
        width, bins = cast(PatchNetwork, network).patch, 2 * self.patch + 1
        self.enter, self.leave = nn.Linear(bins, width), Readout(width, bins)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(4 * self.patch), persistent=False)

    @property
    def reach(self) -> int:
        """Samples on either side of a patch (a quarter of a window) that its output depends on."""
        stack = cast(PatchNetwork, self.stack)
        return self.patch * (stack.reach // stack.patch + 4)

    def forward(self, x: Tensor) -> Tensor:
        """Map a waveform (batch, time) to a waveform (batch, time)."""
        time, window = x.shape[1], cast(Tensor, self.window)
        x, size = F.pad(x.float(), (0, -time % self.patch)), len(window)
        spectrum = torch.stft(
            x, size, self.patch, window=window, normalized=True, pad_mode="constant", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        log_power = (power.mT + 1e-6).log() / 4 + 0.5  # (batch, frames, bins), from -3 for silence to about 1.5
        gains = 2 * self._gain_logits(log_power).float().sigmoid().mT
        return torch.istft(spectrum * gains, size, self.patch, window=window, normalized=True, length=x.shape[1])[
            :, :time
        ]

    def _gain_logits(self, log_power: Tensor) -> Tensor:
        """Map log power (batch, frames, bins) to gain logits of the same shape."""
        patches = self.enter(log_power)
        return self.leave(self.stack(patches.flatten(1)).view_as(patches))
