"""What is added to logits before a class is sampled: fixed numbers, numbers that depend on the classes before, and a
bound on what a constraint forbids."""

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


class ClassBias(Protocol):
    """A bias of the classes of one item that depends on the classes before, such as a watermark's."""

    def bias(self) -> Tensor:
        """Return what is added to the next logits, (classes,) float32."""
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
        self.constraints, self.class_biases = request.constraints or [], request.class_biases or []
        self.device, self.is_constant = device, not self.constraints and not self.class_biases
        user_bias = (
            torch.zeros(num_classes) if request.bias is None else request.bias[:num_classes].clamp(min=FORBIDDEN)
        )
        self.user_bias = user_bias.expand(len(request.prompts), -1)

    @classmethod
    def of(cls, request: Request, num_classes: int, device: torch.device) -> "LogitBias | None":
        """Return the bias; ``None`` if the request has none."""
        has_bias = request.bias is not None or request.constraints or request.class_biases
        return cls(request, num_classes, device) if has_bias else None

    def rows(self) -> Tensor:
        """Return what is added to the next logits, (batch, classes)."""
        bias = self.user_bias
        if self.class_biases:
            bias = bias + torch.stack([each.bias()[: bias.shape[1]] for each in self.class_biases])
        if not self.constraints:
            return bias.to(self.device)
        forbidden = torch.stack([~each.allowed()[: bias.shape[1]] for each in self.constraints])
        bias = bias.masked_fill(forbidden, FORBIDDEN)
        has_none = bias.amax(1, keepdim=True) <= FORBIDDEN  # the two contradict each other: the constraint holds
        return torch.where(has_none, torch.zeros_like(bias).masked_fill(forbidden, FORBIDDEN), bias).to(self.device)

    def advance(self, classes: Tensor) -> None:
        """Append the next classes (batch, n) to what constraints and biases know."""
        for rules in (self.constraints, self.class_biases):
            for rule, row in zip(rules, classes.tolist(), strict=False):
                for index in row:
                    rule.advance(index)
