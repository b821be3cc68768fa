"""What is added to logits before a class is sampled: fixed numbers, and a bound on what a constraint forbids."""

from typing import Protocol

import torch
from torch import Tensor

from genai.core.batch import Request

FORBIDDEN = -1e30
"""Is added to the logits of classes that must not be sampled: finite, because compiled loops assume that."""


class Constraint(Protocol):
    """A rule about the classes of one item."""

    def allowed(self) -> Tensor:
        """Return the mask (classes,) of the classes that may come next; at least one."""
        ...

    def advance(self, index: int) -> None:
        """Append a class."""
        ...


class LogitBias:
    """The bias of the items of a request, class by class.

    Attributes:
        is_constant: it is the same for each class that follows.
    """

    def __init__(self, request: Request, num_classes: int, device: torch.device) -> None:
        self.constraints, self.device = request.constraints or [], device
        self.is_constant = not self.constraints
        user_bias = (
            torch.zeros(num_classes) if request.bias is None else request.bias[:num_classes].clamp(min=FORBIDDEN)
        )
        self.user_bias = user_bias.expand(len(request.prompts), -1)

    @classmethod
    def of(cls, request: Request, num_classes: int, device: torch.device) -> "LogitBias | None":
        """Return the bias; ``None`` if the request has none."""
        has_bias = request.bias is not None or request.constraints
        return cls(request, num_classes, device) if has_bias else None

    def rows(self) -> Tensor:
        """Return what is added to the next logits, (batch, classes)."""
        if self.is_constant:
            return self.user_bias.to(self.device)
        forbidden = torch.stack([~each.allowed()[: self.user_bias.shape[1]] for each in self.constraints])
        bias = self.user_bias.masked_fill(forbidden, FORBIDDEN)
        has_none = bias.amax(1, keepdim=True) <= FORBIDDEN  # the two contradict each other: the constraint holds
        return torch.where(has_none, torch.zeros_like(bias).masked_fill(forbidden, FORBIDDEN), bias).to(self.device)

    def advance(self, classes: Tensor) -> None:
        """Append the next classes (batch, n) to what the constraints know."""
        for constraint, row in zip(self.constraints, classes.tolist(), strict=False):
            for index in row:
                constraint.advance(index)
