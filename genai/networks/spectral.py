"""A network that looks at spectra: it says of each time and frequency how much of it stays.

Such gains are what a Wiener filter has, too, so learning starts from what is known of noise, and is many times shorter
than from samples.
"""

from typing import Annotated, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout


class Stack(Protocol):
    """A waveform from a waveform, in patches: see ``WaveNet``."""

    patch: int
    reach: int

    def __call__(self, x: Tensor) -> Tensor: ...


class SpectralGain(nn.Module):
    """A waveform from a waveform: its spectrum times gains between 0 and 2, all 1 at the beginning or near it.

    Args:
        network: a ``Stack``; a patch of it is what it sees, and says, of one frame of the spectrum.
        rate: samples a second.
        window: seconds of a frame; one begins every quarter of it.
    """

    def __init__(
        self,
        network: nn.Module,
        rate: Annotated[int, Ge(1000), Le(192_000)],
        window: Annotated[float, Gt(0), Le(1)] = 0.048,
    ) -> None:
        super().__init__()
        self.stack, self.patch = network, max(1, round(window * rate / 4))
        width, bins = cast(Stack, network).patch, 2 * self.patch + 1
        self.enter, self.leave = nn.Linear(bins, width), Readout(width, bins)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("window", torch.hann_window(4 * self.patch), persistent=False)

    @property
    def reach(self) -> int:
        """Samples on either side of a patch, a quarter of a window, that its output depends on."""
        stack = cast(Stack, self.stack)
        return self.patch * (stack.reach // stack.patch + 4)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time) -> (batch, time)"""
        time, window = x.shape[1], cast(Tensor, self.window)
        x, size = F.pad(x.float(), (0, -time % self.patch)), len(window)
        spectrum = torch.stft(
            x, size, self.patch, window=window, normalized=True, pad_mode="constant", return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        heard = (power.mT + 1e-6).log() / 4 + 0.5  # from -3 for nothing to 1.5 or so
        gains = 2 * self._answer(heard).float().sigmoid().mT
        return torch.istft(spectrum * gains, size, self.patch, window=window, normalized=True, length=x.shape[1])[
            :, :time
        ]

    def _answer(self, heard: Tensor) -> Tensor:
        """(batch, frames, bins) -> the same"""
        patches = self.enter(heard)
        return self.leave(self.stack(patches.flatten(1)).view_as(patches))
