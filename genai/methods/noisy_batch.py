"""A batch of data with noise, and the error of what is predicted from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genai.methods.interpolation import Prompt
from genai.networks.layers import append_dims


@dataclass(frozen=True)
class NoisyBatch:
    """Noisy data ``(1 - t) data + t noise``, from which a denoiser predicts the data.

    Attributes:
        data: (batch, ...), scaled.
        noise: of the shape of ``data``.
        time: noise levels t, of the leading dimensions of ``data``.
        prompts: one per row.
        conditioning: further inputs of the network, (batch, ...).
        mask: in the shape of ``time``, weight of the loss: 0 for known data.
        loss_mask: weight of each value, which broadcasts to ``data``; ``None``: 1.
        floor: smallest time in the weight 1 / time^2.
    """

    data: Tensor
    noise: Tensor
    time: Tensor
    prompts: Sequence[Prompt]
    conditioning: tuple[Tensor, ...]
    mask: Tensor
    loss_mask: Tensor | None
    floor: float

    @property
    def x(self) -> Tensor:
        """The noisy data."""
        t = append_dims(self.time, self.data.ndim)
        return (1 - t) * self.data + t * self.noise

    def with_start_times(self, start: Tensor) -> "NoisyBatch":
        """Return the same data with other times of the first rows."""
        return replace(self, time=torch.cat([start, self.time[len(start) :]]))

    def errors(self, predicted: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the squared errors of predicted data, in the shape of ``time``, weighted by ``1 / max(t, floor)^2``.

        This is the squared error of the velocity with a bounded weight.

        Args:
            predicted: of the shape of ``data``.
            target: what should be predicted; ``None``: ``data``.
        """
        squares = (predicted - (self.data if target is None else target)).square()
        if self.loss_mask is not None:
            squares = squares * self.loss_mask
        return squares.flatten(self.time.ndim).mean(-1) / self.time.clamp(min=self.floor) ** 2

    def loss(self, predicted: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the mean of ``errors`` where ``mask`` is 1."""
        return (self.errors(predicted, target) * self.mask).sum() / self.mask.sum().clamp(min=1)
