"""Copies and near-duplicate pictures, and a validation split that keeps them together."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genai.core.cache import track_progress
from genai.core.terminal import one_line

MAX_MEAN_DIFFERENCE, MAX_DIFFERENCE = 3, 16
"""Largest differences (of 255) between thumbnails of one picture that was compressed or resized in different ways."""
MAX_EXACT = 20_000
"""Number of different thumbnails up to which no near-duplicate is missed; beyond it that takes minutes or hours."""
NUM_TABLES, BUCKET_SIZE = 24, 24
"""Hash tables, each with other hash functions, and thumbnails in a bucket. All pairs of a bucket are compared."""
HASH_BITS, MAX_ROUNDS = 48, 8
"""Bits of a key, which float64 holds exactly, and keys after which a bucket that is still too large stays so."""
_CHUNK = 50_000
"""Pairs whose pixels are compared at once: 20 MB for each of a few arrays."""


def group_similar(thumbnails: NDArray[np.uint8]) -> list[int]:
    """Group near-duplicates by single linkage.

    Up to ``MAX_EXACT`` different thumbnails, all near-duplicates are found, beyond it those that share a bucket of
    locality-sensitive hashing. Both compare them by the same criterion, so nothing else is linked, and both give the
    same groups every time. Memory: 700 bytes for each picture of 8 x 8, beside ``thumbnails``.

    Args:
        thumbnails: (pictures, side, side, 3), with a side that is a multiple of 4, up to 20.

    Returns:
        A group number for each picture.
    """
    rows = np.ascontiguousarray(thumbnails).reshape(len(thumbnails), -1)
    as_bytes = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]  # sorted much faster than as rows of numbers
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    unique = thumbnails[first]
    group_ids = group_exact(unique) if len(unique) <= MAX_EXACT else group_lsh(unique)
    numbers: list[int] = group_ids[inverse.reshape(-1)].tolist()
    return numbers


def group_exact(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Group different thumbnails, comparing all pairs that can be near-duplicates.

    The means of two areas never differ by more than their mean difference. So after sorting by brightness only
    neighbors can be near-duplicates, and among them only those with similar quadrants. If all have the same brightness,
    every pair is compared.

    Args:
        thumbnails: (pictures, side, side, 3), with an even side.

    Returns:
        (pictures,), a group number for each.
    """
    order = np.argsort(thumbnails.mean((1, 2, 3)), kind="stable")
    ordered = thumbnails[order]
    brightness = ordered.mean((1, 2, 3))
    ends = np.searchsorted(brightness, brightness + MAX_MEAN_DIFFERENCE, side="right")
    count, side = ordered.shape[:2]
    pixels = ordered.reshape(count, -1).astype(np.int16)
    quadrants = ordered.reshape(count, 2, side // 2, 2, side // 2, 3).mean((2, 4), dtype=np.float32).reshape(count, -1)
    group_ids = np.arange(count)
    for index, end in enumerate(track_progress(ends, "comparing pictures", count)):
        near = np.flatnonzero(np.abs(quadrants[index:end] - quadrants[index]).mean(1) <= MAX_MEAN_DIFFERENCE) + index
        difference = np.abs(pixels[near] - pixels[index])
        matches = near[(difference.mean(1) <= MAX_MEAN_DIFFERENCE) & (difference.max(1) <= MAX_DIFFERENCE)]
        linked = np.unique(group_ids[matches])
        if len(linked) > 1:
            group_ids[np.isin(group_ids, linked)] = linked[0]
    return group_ids[np.argsort(order)]


def group_lsh(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Group different thumbnails, comparing those that share a bucket in one of ``NUM_TABLES`` hash tables.

    A bit of a key says whether the brightness of one of 4 x 4 areas in one color reaches a threshold, both random, as
    in Gionis, Indyk and Motwani (1999), "Similarity search in high dimensions via hashing". It separates two pictures
    with a probability in proportion to their difference there, which is small for near-duplicates. A bucket has the
    first bits of the key in common, just as many as make it small, as in the LSH forest of Bawa, Condie and Ganesan
    (2005). Near-duplicates are missed if every table separates them.

    The time is in proportion to the pictures, whatever they look like. Where unrelated pictures hardly differ, as in
    very low contrast, pairs whose difference is at the limit are missed: 4 of 10 in one measurement.

    Args:
        thumbnails: (pictures, side, side, 3), with a side that is a multiple of 4, up to 20.

    Returns:
        (pictures,), a group number for each.
    """
    count = len(thumbnails)
    areas = np.ascontiguousarray(_sum_areas(thumbnails, 4).T)  # (48, pictures)
    quadrants, pixels = _sum_areas(thumbnails, 2), thumbnails.reshape(count, -1)
    max_total = MAX_MEAN_DIFFERENCE * pixels.shape[1]
    random, group_ids = np.random.default_rng(0), np.arange(count)
    for _ in track_progress(range(NUM_TABLES), "comparing pictures", NUM_TABLES):
        order, buckets = _fill_buckets(areas, random)
        ordered = quadrants[order]
        for left, right in _list_pairs(buckets):
            separate = group_ids[order[left]] != group_ids[order[right]]
            left, right = left[separate], right[separate]
            near = np.abs(ordered[left] - ordered[right]).sum(1) <= max_total  # at most the sum over all pixels
            pairs = np.stack([order[left[near]], order[right[near]]])
            _link(group_ids, pairs[:, _match(pixels, pairs)])
    return group_ids


def _sum_areas(thumbnails: NDArray[np.uint8], parts: int) -> NDArray[np.int16]:
    """Return the sums over ``parts`` x ``parts`` areas of each color, (pictures, areas)."""
    count, side = thumbnails.shape[:2]
    areas = thumbnails.reshape(count, parts, side // parts, parts, side // parts, 3)
    sums: NDArray[np.int16] = areas.sum((2, 4), dtype=np.int16).reshape(count, -1)
    return sums


def _fill_buckets(areas: NDArray[np.int16], random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort pictures into the buckets of a new hash table.

    A bucket that one key does not make small gets another key, with thresholds for the pictures that are left. One that
    stays large, because its pictures hardly differ, keeps a random order.

    Args:
        areas: (areas, pictures), what is hashed.
        random: source of the hash functions.

    Returns:
        (pictures,) their indices, those of one bucket side by side; (pictures,) the numbers of the buckets.
    """
    order: NDArray[np.int64] = random.permutation(areas.shape[1])
    begins = np.zeros(len(order), bool)  # where buckets begin in this order
    begins[0] = True
    for _ in range(MAX_ROUNDS):
        buckets = np.cumsum(begins) - 1
        large = np.flatnonzero(np.bincount(buckets)[buckets] > BUCKET_SIZE)
        if not len(large):
            break
        pictures = order[large]
        keys = _hash(areas, pictures, random)
        permutation = np.lexsort((keys, buckets[large]))
        order[large], keys = pictures[permutation], keys[permutation]
        begins[large] = _split_buckets(begins[large], keys)
    return order, np.cumsum(begins)


def _hash(areas: NDArray[np.int16], pictures: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Return a key of ``HASH_BITS`` bits for each of some pictures."""
    keys = np.zeros(len(pictures), np.int64)
    for area in random.integers(0, len(areas), HASH_BITS):
        sums = areas[area, pictures]
        low, high = int(sums.min()), int(sums.max())
        threshold = low + 1 + int(random.random() * (high - low))
        keys = (keys << 1) | (sums >= threshold)
    return keys


def _split_buckets(begins: NDArray[np.bool_], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Split buckets by more and more bits of their sorted keys, until they are small or no bits are left.

    Args:
        begins: (pictures,), where buckets begin.
        keys: (pictures,), sorted within each bucket.

    Returns:
        (pictures,), where the new buckets begin.
    """
    begins = begins.copy()
    lengths = np.frexp(np.concatenate([[0], keys[1:] ^ keys[:-1]]).astype(np.float64))[1]
    first_bits = HASH_BITS - lengths  # the first bit in which a key differs from the one before it
    places = np.arange(len(keys))  # of the pictures in buckets that are too large
    for bit in range(HASH_BITS):
        begins[places[first_bits[places] == bit]] = True
        sizes = np.diff(np.flatnonzero(begins[places]), append=len(places))
        places = places[np.repeat(sizes > BUCKET_SIZE, sizes)]
        if not len(places):
            break
    return begins


def _list_pairs(buckets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield all pairs of places in the same bucket, in large buckets those fewer than ``BUCKET_SIZE`` places apart.

    Args:
        buckets: (pictures,), the sorted numbers of their buckets.
    """
    for shift in range(1, BUCKET_SIZE):
        left = np.flatnonzero(buckets[shift:] == buckets[:-shift])
        yield left, left + shift


def _match(pixels: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of ``pairs``, (2, pairs), are near-duplicates."""
    similar = np.zeros(pairs.shape[1], bool)
    for start in range(0, len(similar), _CHUNK):
        left, right = pixels[pairs[:, start : start + _CHUNK]]
        differences = np.maximum(left, right) - np.minimum(left, right)
        near = differences.mean(1) <= MAX_MEAN_DIFFERENCE
        similar[start : start + _CHUNK] = near & (differences.max(1) <= MAX_DIFFERENCE)
    return similar


def _link(group_ids: NDArray[np.int64], pairs: NDArray[np.int64]) -> None:
    """Merge the groups of ``pairs``, (2, pairs), in place. A group's number is the index of one of its pictures."""
    while True:
        groups = np.sort(group_ids[pairs], axis=0)
        low, high = groups[:, groups[0] != groups[1]]
        if not len(low):
            return
        np.minimum.at(group_ids, high, low)
        while not np.array_equal(further := group_ids[group_ids], group_ids):
            group_ids[:] = further


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


def describe_copies(hashes: Mapping[Path, str]) -> str:
    """Return the number of files whose content is that of another, and the first three by name."""
    first: dict[str, Path] = {}
    files = sorted(hashes, key=lambda file: (len(file.name), file.as_posix()))  # the copy has the longer name
    pairs = [(file, first.setdefault(hashes[file], file)) for file in files]
    copies = [f"{copy.name} of {file.name}" for copy, file in pairs if copy != file]
    if not copies:
        return ""
    examples = ", ".join(copies[:3]) + ", ..." * (len(copies) > 3)
    return one_line(f"; {len(copies):,} {'is a copy' if len(copies) == 1 else 'are copies'}: {examples}")
