"""Codec of pictures: the principal components of their patches, in closed form (``codec=pca``).

A network that works on these coefficients sees an eighth of the sides, and nothing has to learn to decode them. Each
component is divided by the square root of its deviation, so strong ones, which are layout and color, stay stronger.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PATCH = 8
NUM_COEFFICIENTS = {1: 16, 3: 32}
"""Components, by the number of channels."""
MAX_PICTURES = 800
"""Training pictures that they are computed from."""
MIN_STD = 1e-3


def default_basis(channels: int) -> dict[str, Any]:
    """Return the state of a codec that was not fitted: cosines, the slowest first."""
    positions = (np.arange(PATCH) + 0.5) / PATCH
    cosines = np.stack([np.cos(np.pi * k * positions) for k in range(PATCH)])
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    waves = np.einsum("ux,vy->uvxy", cosines, cosines).reshape(-1, PATCH, PATCH)
    order = np.argsort(np.add.outer(np.arange(PATCH), np.arange(PATCH)).ravel(), kind="stable")
    filters = np.einsum("nxy,cd->ncdxy", waves[order], np.eye(channels)).reshape(-1, channels, PATCH, PATCH)
    count = NUM_COEFFICIENTS[channels]
    return codec_state(filters[:count], np.zeros(count), np.ones(count))


def fit_patch_basis(pixels: NDArray[np.uint8], mean: float, std: float) -> dict[str, Any]:
    """Return the principal components of patches, with the mean and the divisor of each coefficient.

    With standard deviations d, coefficients are divided by ``sqrt(d * mean(d))``: together they have unit variance.

    Args:
        pixels: (pictures, channels, height, width); at most ``MAX_PICTURES`` of them are used.
        mean, std: of the pixels in [-1, 1].
    """
    count = min(len(pixels), MAX_PICTURES)
    subset = pixels[[index * len(pixels) // count for index in range(count)]]
    channels = subset.shape[1]
    scaled = ((subset.astype(np.float32) / 127.5 - 1) - mean) / std
    blocks = scaled.reshape(count, channels, subset.shape[2] // PATCH, PATCH, -1, PATCH)
    patches = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(-1, channels * PATCH**2).astype(np.float64)
    centered = patches - patches.mean(0)
    variances, vectors = np.linalg.eigh(centered.T @ centered / len(centered))
    order = np.argsort(variances)[::-1][: NUM_COEFFICIENTS[channels]]
    basis = vectors[:, order].T
    basis *= np.sign(np.take_along_axis(basis, np.abs(basis).argmax(1, keepdims=True), 1))  # else it is arbitrary
    stds = np.sqrt(variances[order].clip(min=MIN_STD**2))
    centers = basis @ patches.mean(0)
    return codec_state(basis.reshape(-1, channels, PATCH, PATCH), centers, np.sqrt(stds * stds.mean()))


def codec_state(
    basis: NDArray[np.float64], centers: NDArray[np.float64], scales: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the state as tensors, for a checkpoint."""
    values = {"basis": basis, "centers": centers, "scales": scales}
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()}


def plain_codec(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the state as lists of numbers, for files."""
    return {name: value.tolist() for name, value in state.items()}


def restore_codec(state: Any, channels: int) -> dict[str, Tensor]:
    """Return the state in a file. Raises ``ValueError`` if it does not fit."""
    count = NUM_COEFFICIENTS[channels]
    shapes = {"basis": (count, channels, PATCH, PATCH), "centers": (count,), "scales": (count,)}
    if not isinstance(state, Mapping):
        raise ValueError("it works on pixels, so add codec=null")
    tensors = dict[str, Tensor]()
    for name, shape in shapes.items():
        try:
            tensors[name] = torch.as_tensor(state.get(name), dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            tensors[name] = torch.empty(0)
        if tuple(tensors[name].shape) != shape or not bool(tensors[name].isfinite().all()):
            raise ValueError(f"codec.{name} should be finite numbers of shape {shape}")
    if bool((tensors["scales"] <= 0).any()):
        raise ValueError("codec.scales should be above 0")
    return tensors
