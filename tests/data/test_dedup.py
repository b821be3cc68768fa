"""Near-duplicates: the exact way against every pair, hashing against the exact way."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from genai.data import dedup
from genai.data.dedup import MAX_DIFFERENCE, MAX_MEAN_DIFFERENCE, group_exact, group_lsh, group_similar

Thumbnails = NDArray[np.uint8]


def to_pixels(values: NDArray[np.float64]) -> Thumbnails:
    """Rounded, and cut to what a pixel can be."""
    return np.clip(values.round(), 0, 255).astype(np.uint8)


def natural(count: int, random: np.random.Generator, contrast: float = 1.0) -> Thumbnails:
    """Mostly smooth, of one hue, as thumbnails of photos are."""
    scales = [
        random.normal(0, 20, (count, side, side, 1)).repeat(8 // side, 1).repeat(8 // side, 2) for side in (2, 4, 8)
    ]
    color = random.normal(128, 30, (count, 1, 1, 1)) + random.normal(0, 8, (count, 1, 1, 3))
    return to_pixels(128 + contrast * (np.sum(scales, axis=0) + color - 128))


def low_contrast(count: int, random: np.random.Generator) -> Thumbnails:
    """Natural, but pale."""
    return natural(count, random, 0.2)


def one_brightness(count: int, random: np.random.Generator) -> Thumbnails:
    """Natural, all with the same mean."""
    pixels = natural(count, random).astype(np.float64)
    return to_pixels(128 + (pixels - pixels.mean((1, 2, 3), keepdims=True)) / 2)


def drawings(count: int, random: np.random.Generator) -> Thumbnails:
    """White, with a rectangle of one color."""
    pixels = np.full((count, 8, 8, 3), 255, np.uint8)
    for picture in pixels:
        top, left, height, width = random.integers(0, 5, 4)
        picture[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return pixels


def noise(count: int, random: np.random.Generator) -> Thumbnails:
    """Nothing but noise."""
    return random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


KINDS = (natural, low_contrast, one_brightness, drawings, noise)
Kind = Callable[[int, np.random.Generator], Thumbnails]


def with_duplicates(kind: Kind, count: int, planted: int) -> Thumbnails:
    """Different thumbnails of a kind, the last ``planted`` of them near-duplicates of the first."""
    random = np.random.default_rng(0)
    pixels = kind(count, random)
    pixels[count - planted :] = to_pixels(pixels[:planted] + random.normal(0, 1.5, (planted, 8, 8, 3)))
    return np.unique(pixels, axis=0)[random.permutation(len(np.unique(pixels, axis=0)))]


def differ_little(pixels: Thumbnails) -> NDArray[np.bool_]:
    """The criterion, for every pair: (pictures, pictures)."""
    rows = pixels.reshape(len(pixels), -1).astype(np.int16)
    differences = np.abs(rows[:, None] - rows)
    return (differences.mean(2) <= MAX_MEAN_DIFFERENCE) & (differences.max(2) <= MAX_DIFFERENCE)


def same_group(group_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs are in one group: (pictures, pictures)."""
    return group_ids[:, None] == group_ids


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_chains_of_near_duplicates(kind: Kind) -> None:
    pixels = with_duplicates(kind, 250, 50)
    linked = differ_little(pixels)
    for _ in range(8):  # a chain of 256 links
        linked = linked @ linked
    assert linked.sum() > len(pixels) + 50
    assert np.array_equal(same_group(group_exact(pixels)), linked)
    assert np.array_equal(same_group(np.array(group_similar(pixels))), linked)


@pytest.mark.parametrize("kind", KINDS)
def test_hashing_finds_the_groups_of_the_exact_way(kind: Kind) -> None:
    pixels = with_duplicates(kind, 3000, 500)
    exact, hashed = same_group(group_exact(pixels)), same_group(group_lsh(pixels))
    assert not (hashed & ~exact).any()
    assert (hashed & exact).sum() - len(pixels) >= 0.99 * (exact.sum() - len(pixels)) > 0


def test_pairs_at_the_limit_are_found() -> None:
    random = np.random.default_rng(0)
    pixels = np.minimum(natural(3000, random), 252)
    pixels[1000:2000] = pixels[:1000] + 3  # the mean
    for row, partner in zip(pixels[2000:2500].reshape(500, -1), pixels[2500:].reshape(500, -1), strict=True):
        row[:] = np.minimum(partner, 239)
        partner[:] = row
        row[random.permutation(192)[:36]] += 16  # 36 * 16 = 3 * 192: both limits
    group_ids = group_lsh(pixels)
    assert (group_ids[1000:2000] == group_ids[:1000]).mean() > 0.99
    assert (group_ids[2000:2500] == group_ids[2500:]).mean() > 0.99


@pytest.mark.parametrize(("everywhere", "in_corner"), [(3, 1), (0, 17)])
def test_pairs_beyond_a_limit_are_not_linked(everywhere: int, in_corner: int) -> None:
    pixels = np.full((2, 8, 8, 3), 100, np.uint8)
    pixels[1] += everywhere
    pixels[1, 0, 0, 0] += in_corner
    assert len(set(group_lsh(pixels))) == len(set(group_exact(pixels))) == 2


def test_a_large_bucket_is_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """All look alike: each is compared with a few others, which chains them."""
    compared: list[int] = []
    check = dedup._match

    def count(pixels: Thumbnails, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        compared.append(pairs.shape[1])
        return check(pixels, pairs)

    monkeypatch.setattr(dedup, "_match", count)
    random = np.random.default_rng(0)
    pixels = 128 + random.integers(-1, 2, (5000, 8, 8, 3)).astype(np.uint8)
    assert len(set(group_lsh(pixels))) == 1
    assert sum(compared) < 40 * 5000
    buckets = dedup._fill_buckets(np.zeros((48, 5000), np.int16), random)[1]
    assert set(buckets) == {1}


def test_many_pictures_are_hashed_and_copies_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "MAX_EXACT", 100)
    monkeypatch.setattr(dedup, "group_exact", lambda pixels: np.zeros(len(pixels), np.int64))
    pixels = noise(100, np.random.default_rng(0))
    assert set(group_similar(np.concatenate([pixels, pixels]))) == {0}
    pixels = noise(101, np.random.default_rng(0))
    group_ids = group_similar(np.concatenate([pixels, pixels]))
    assert group_ids[:101] == group_ids[101:] and len(set(group_ids)) == 101


def test_hashing_gives_the_same_groups_every_time() -> None:
    pixels = with_duplicates(low_contrast, 3000, 500)
    assert np.array_equal(group_lsh(pixels), group_lsh(pixels))
