"""Which pictures show the same, and a division that keeps those on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genai.core.cache import track_progress

MEAN, LARGEST = 3, 16
"""Of 255: differences between two thumbnails of one picture that was saved, or made smaller, in another way."""


def groups(thumbnails: NDArray[np.uint8]) -> list[int]:
    """A number for each of the ``(pictures, side, side, 3)``: the same one for those that are alike, also in a chain.

    Means over an area never differ by more than the mean difference in it. So after sorting by brightness only
    neighbours can be alike, and among them only those whose quarters are. Where all have the same brightness, that is
    a comparison of each with each.
    """
    different, back = np.unique(thumbnails, axis=0, return_inverse=True)
    order = np.argsort(different.mean((1, 2, 3)), kind="stable")
    different, place = different[order], np.argsort(order)
    brightness = different.mean((1, 2, 3))
    ends = np.searchsorted(brightness, brightness + MEAN, side="right")
    count, side = different.shape[:2]
    pixels = different.reshape(count, -1).astype(np.int16)
    quarters = different.reshape(count, 2, side // 2, 2, side // 2, 3).mean((2, 4), dtype=np.float32).reshape(count, -1)
    numbers = np.arange(count)
    for index, end in enumerate(track_progress(ends, "comparing pictures", count)):
        near = np.flatnonzero(np.abs(quarters[index:end] - quarters[index]).mean(1) <= MEAN) + index
        difference = np.abs(pixels[near] - pixels[index])
        same = near[(difference.mean(1) <= MEAN) & (difference.max(1) <= LARGEST)]
        joined = np.unique(numbers[same])
        if len(joined) > 1:
            numbers[np.isin(numbers, joined)] = joined[0]
    return [int(number) for number in numbers[place[back.reshape(-1)]]]


def held_out(contents: Sequence[str], numbers: Sequence[int], fraction: float) -> set[int]:
    """The indices of about ``fraction`` of the pictures, in whole groups; at least one group, and not all of them.

    ``contents`` are hashes: which group is taken depends on what is in it, not on names or order. Groups that would
    make too many are passed over. There have to be two groups or more.
    """
    members: dict[int, list[int]] = {}
    for index, number in enumerate(numbers):
        members.setdefault(number, []).append(index)
    names = {number: min(contents[index] for index in group) for number, group in members.items()}
    in_turn = sorted(members, key=lambda number: hashlib.sha256(names[number].encode()).digest())
    wanted = max(1, round(len(contents) * fraction))
    held: set[int] = set()
    left = len(in_turn)
    for group in (members[number] for number in in_turn):
        if left > 1 and len(held) + len(group) <= wanted:
            held.update(group)
            left -= 1
    smallest = min(members.values(), key=len)
    return held or set(smallest)
