"""Diversity of samples: how much those of one prompt differ, beside real data."""

from torch import Tensor


def rms_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the root mean square differences (batch,) of items."""
    return (x - y).square().flatten(1).mean(1).clamp(min=1e-12).sqrt()  # sqrt has an infinite gradient at 0


def group_diversity(groups: Tensor, real: Tensor) -> Tensor:
    """Return the distance between samples of a prompt, divided by their distance to real data, as means.

    It is 1 if samples of one prompt differ as much as real data do, 0 if they are all the same.

    Args:
        groups: (prompts, group, ...), samples.
        real: (prompts, ...), data of the same prompts.
    """
    repeated = real.unsqueeze(1).expand_as(groups)
    distance = rms_distance(groups.flatten(0, 1), groups.roll(1, 1).flatten(0, 1)).mean()
    return distance / rms_distance(groups.flatten(0, 1), repeated.flatten(0, 1)).mean().clamp(min=1e-6)
