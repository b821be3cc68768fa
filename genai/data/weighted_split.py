"""Selecting held-out items of very different size: characters of documents, seconds of recordings."""

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

MIN_IMPROVEMENT = 0.1
"""Fraction by which another selection must be nearer, or items that are about equally large would be weighed."""


def select_by_weight(weights: Mapping[Key, float], fraction: float, by_count: set[Key]) -> set[Key]:
    """Select items with about ``fraction`` of the total weight.

    Args:
        weights: of all items, in an order that depends only on their content.
        fraction: of the total weight.
        by_count: the selection of a fraction of the number of items, returned if it is near, or no other is nearer.

    Returns:
        At least one item, and not all.
    """
    target = fraction * sum(weights.values())
    if is_near(by_count, weights, fraction):
        return by_count
    nearest = min(weights, key=lambda key: abs(weights[key] - target))
    selection = fill(weights, target) or {nearest}
    limit = (1 - MIN_IMPROVEMENT) * _distance(by_count, weights, target)
    return selection if _distance(selection, weights, target) < limit else by_count


def fill(weights: Mapping[Key, float], target: float) -> set[Key]:
    """Select items in order as long as each brings the sum nearer to ``target``; not all."""
    selection, total = set[Key](), 0.0
    for key, weight in weights.items():
        if len(selection) < len(weights) - 1 and abs(total + weight - target) < abs(total - target):
            selection.add(key)
            total += weight
    return selection


def is_near(selection: Collection[Key], weights: Mapping[Key, float], fraction: float) -> bool:
    """Return whether both splits have between half and one and a half of the weight that they should have."""
    total = sum(weights.values())
    target = fraction * total
    return _distance(selection, weights, target) <= 0.5 * min(target, total - target)


def _distance(selection: Collection[Key], weights: Mapping[Key, float], target: float) -> float:
    return abs(sum(weights[key] for key in selection) - target)
