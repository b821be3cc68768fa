"""Near-duplicate pictures, and a validation split that keeps them together."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.core.cache import track_progress

MAX_MEAN_DIFFERENCE, MAX_DIFFERENCE = 3, 16
"""Largest differences (of 255) between thumbnails of one picture that was compressed or resized in different ways."""


def group_similar(thumbnails: NDArray[np.uint8]) -> list[int]:
    """Group near-duplicates by single linkage.

    The means of two areas never differ by more than their mean difference. So after sorting by brightness only
    neighbors can be near-duplicates, and among them only those with similar quadrants. If all have the same brightness,
    every pair is compared.

    Args:
        thumbnails: (pictures, side, side, 3).

    Returns:
        A group number for each picture.
    """
    unique, inverse = np.unique(thumbnails, axis=0, return_inverse=True)
    order = np.argsort(unique.mean((1, 2, 3)), kind="stable")
    unique, rank = unique[order], np.argsort(order)
    brightness = unique.mean((1, 2, 3))
    ends = np.searchsorted(brightness, brightness + MAX_MEAN_DIFFERENCE, side="right")
    count, side = unique.shape[:2]
    pixels = unique.reshape(count, -1).astype(np.int16)
    quadrants = unique.reshape(count, 2, side // 2, 2, side // 2, 3).mean((2, 4), dtype=np.float32).reshape(count, -1)
    group_ids = np.arange(count)
    for index, end in enumerate(track_progress(ends, "comparing pictures", count)):
        near = np.flatnonzero(np.abs(quadrants[index:end] - quadrants[index]).mean(1) <= MAX_MEAN_DIFFERENCE) + index
        difference = np.abs(pixels[near] - pixels[index])
        matches = near[(difference.mean(1) <= MAX_MEAN_DIFFERENCE) & (difference.max(1) <= MAX_DIFFERENCE)]
        linked = np.unique(group_ids[matches])
        if len(linked) > 1:
            group_ids[np.isin(group_ids, linked)] = linked[0]
    return [int(group_id) for group_id in group_ids[rank[inverse.reshape(-1)]]]


def select_val_indices(content_hashes: Sequence[str], group_ids: Sequence[int], fraction: float) -> set[int]:
    """Select the indices of about ``fraction`` of the items for validation.

    Groups stay whole: at least one is selected, and at least one is left. The selection depends on the content hashes,
    not on names or order. Groups that would exceed the fraction are skipped. There must be two groups or more.
    """
    groups: dict[int, list[int]] = {}
    for index, group_id in enumerate(group_ids):
        groups.setdefault(group_id, []).append(index)
    order = order_groups(content_hashes, group_ids)
    max_count = max(1, round(len(content_hashes) * fraction))
    indices: set[int] = set()
    remaining = len(order)
    for group in (groups[group_id] for group_id in order):
        if remaining > 1 and len(indices) + len(group) <= max_count:
            indices.update(group)
            remaining -= 1
    smallest = min(groups.values(), key=len)
    return indices or set(smallest)


def order_groups(content_hashes: Sequence[str], group_ids: Sequence[int]) -> list[int]:
    """Return the different group numbers in an order that depends only on the content of the groups."""
    keys: dict[int, str] = {}
    for content_hash, group_id in zip(content_hashes, group_ids, strict=True):
        keys[group_id] = min(content_hash, keys.get(group_id, content_hash))
    return sorted(keys, key=lambda group_id: hashlib.sha256(keys[group_id].encode()).digest())
