"""Watermark of pictures: random signs in blocks of 4 x 4 pixels are added to the brightness, and correlated with it.

The signs are a tile of 128 x 128 pixels that is repeated, so the watermark is in every part of a picture (spread
spectrum, Cox et al. 1997, with the tiles of Kutter 1998). It is stronger where a picture has texture, which hides it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from genai.media.picture import Picture
from genai.trust.watermarks.detection import MAX_P, Detection, sign_sum_p
from genai.trust.watermarks.key import WatermarkKey

MIN_SIDE = 256
"""Shortest side, in pixels, of a picture that holds a watermark."""
TILE, BLOCK = 128, 4
"""Sides, in pixels, of the pattern and of what has one sign."""
NUM_BLOCKS = TILE // BLOCK
STRENGTH, MAX_STRENGTH = 1.5, 3.75
"""What is added where a picture is flat, and where it has most texture, of 255 levels."""
TEXTURE = 12.0
"""Standard deviation, in levels, at which ``STRENGTH`` is added once more."""
SCALES = np.exp(np.arange(-58, 59) * np.log(1.012))
"""Factors by which a picture may have been resized; the central ``MIN_SIDE`` pixels are tried at each."""
GRAYSCALE = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
TEXTURE_RADIUS, RESIDUAL_RADIUS = 4, 6
"""Half the sides, in pixels, of the neighborhoods that texture, and the residual, are taken from."""
NOISE_FLOOR, MAX_RESIDUAL = 2.0, 2.0

Shift = tuple[int, int]


def add_to_picture(picture: Picture, key: WatermarkKey) -> Picture:
    """Return a picture with the watermark."""
    return Picture(add_to_pixels(picture.pixels, key, (0, 0)))


def add_to_pixels(pixels: NDArray[np.uint8], key: WatermarkKey, shift: Shift) -> NDArray[np.uint8]:
    """Return pixels (height, width, channels) with the pattern, moved by ``shift`` (rows, columns) in its tile."""
    height, width = pixels.shape[:2]
    tile = np.roll(np.kron(_signs(key), np.ones((BLOCK, BLOCK))), shift, (0, 1))
    pattern = np.tile(tile, (-(-height // TILE), -(-width // TILE)))[:height, :width]
    values = brightness(pixels)
    variance = _local_mean(values * values, TEXTURE_RADIUS) - _local_mean(values, TEXTURE_RADIUS) ** 2
    strength = STRENGTH * (1 + np.sqrt(variance.clip(min=0)) / TEXTURE)
    change = strength.clip(max=MAX_STRENGTH) * pattern
    result: NDArray[np.uint8] = np.rint(pixels + change[..., None]).clip(0, 255).astype(np.uint8)
    return result


def detect_in_picture(pixels: NDArray[np.uint8], key: WatermarkKey) -> Detection:
    """Search pixels (height, width, channels): as they are, then resized, at every shift."""
    values, num_tests = brightness(pixels), TILE * TILE * (1 + len(SCALES))
    folded = fold(residual(values))
    z = [float(correlations(folded, key).max())]
    if sign_sum_p(z[0], num_tests) > MAX_P:
        image = Pillow.fromarray(values.round().astype(np.uint8))
        z += [float(correlations(fold(residual(each)), key).max()) for each in _resized(image)]
    return Detection("picture", sign_sum_p(max(z), num_tests), key.name)


def brightness(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the brightness (height, width) of pixels (height, width, channels), from 0 to 255."""
    values = pixels.astype(np.float32)
    return values[..., 0] if values.shape[2] == 1 else values @ GRAYSCALE


def residual(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return brightness (height, width) without its slow changes, divided by their local size."""
    rest = values - _local_mean(values, RESIDUAL_RADIUS)
    scale = np.sqrt(_local_mean(rest * rest, RESIDUAL_RADIUS).clip(min=0)) + NOISE_FLOOR
    return (rest / scale).clip(-MAX_RESIDUAL, MAX_RESIDUAL)


def fold(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum of all tiles of (height, width), (TILE, TILE)."""
    height, width = values.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.zeros((rows * TILE, columns * TILE))
    padded[:height, :width] = values
    result: NDArray[np.float64] = padded.reshape(rows, TILE, columns, TILE).sum((0, 2))
    return result


def correlations(folded: NDArray[np.float64], key: WatermarkKey) -> NDArray[np.float64]:
    """Return the correlation of a folded picture with the signs at each shift, in its standard deviations.

    With b the sum over a block, s the signs and d a shift: ``sum_k s[k] b[k + d] / sqrt(sum_k b[k + d]**2)``.
    """
    block, signs, places = (np.zeros((TILE, TILE)) for _ in range(3))
    block[:BLOCK, :BLOCK] = 1
    signs[::BLOCK, ::BLOCK], places[::BLOCK, ::BLOCK] = _signs(key), 1
    sums = _correlation(folded, block)
    squares = _correlation(sums * sums, places).clip(min=1e-9)
    z: NDArray[np.float64] = _correlation(sums, signs) / np.sqrt(squares)
    return z


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the circular correlation ``sum_k a[k + d] b[k]`` for each shift d."""
    result: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(a) * np.fft.rfft2(b).conj(), s=a.shape)
    return result


def _resized(image: Pillow.Image) -> Iterable[NDArray[np.float32]]:
    """Yield the middle of a picture with the size that it had if it was resized by each of ``SCALES``."""
    for scale in SCALES:
        width, height = (min(side, MIN_SIDE * scale) for side in image.size)
        left, top = (image.width - width) / 2, (image.height - height) / 2
        size = max(1, round(width / scale)), max(1, round(height / scale))
        box = (left, top, left + width, top + height)
        yield np.asarray(image.resize(size, Pillow.Resampling.BICUBIC, box)).astype(np.float32)


def _local_mean(values: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the mean of the square around each value of (height, width), whose edges are repeated."""
    size = 2 * radius + 1
    padded = np.pad(values.astype(np.float64), radius, mode="edge")
    sums = np.pad(padded, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    means = (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2
    result: NDArray[np.float32] = means.astype(np.float32)
    return result


def _signs(key: WatermarkKey) -> NDArray[np.float64]:
    """Return the signs of the tile, (NUM_BLOCKS, NUM_BLOCKS)."""
    return key.random_signs("pictures", (NUM_BLOCKS, NUM_BLOCKS))
