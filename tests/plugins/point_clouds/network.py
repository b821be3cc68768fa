"""A network of points that see each other through their mean."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn


class PointNetwork(nn.Module):
    """An MLP for each point, with the mean of all points' features, the time and the prompt as a condition.

    Args:
        context: width of the pooled prompt.
        width: of the hidden layers.
    """

    def __init__(self, context: Annotated[int, Ge(1)], width: Annotated[int, Ge(1)] = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(2, width), nn.SiLU(), nn.Linear(width, width))
        self.condition = nn.Linear(width + 1 + context, width)
        self.last = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor) -> Tensor:
        """Map (batch, points, 2), times (batch,) and prompts (batch, context) to (batch, points, 2)."""
        h = self.first(x)
        condition = self.condition(torch.cat([h.mean(1), time[:, None], pooled], 1))
        return self.last(h + condition[:, None])
