"""Look-alikes among many pictures: ``python benchmarks/look_alikes.py [--json FILE] [--counts 10000 100000]``.

Near-duplicates are planted in thumbnails of four kinds: pictures that were saved as JPEG or resized, as those of real
folders are. The table has the CPU time of ``group_similar``, the fraction of the planted pairs in one group, the groups
that the exact comparison of their members does not confirm, and the peak memory above that of the thumbnails.
"""

import argparse
import io
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from numpy.typing import NDArray
from PIL import Image as Pillow

from genai.data.dedup import MAX_DIFFERENCE, MAX_MEAN_DIFFERENCE, group_exact, group_similar

KINDS = ("natural", "low contrast", "drawings", "noise")
SIDE, PICTURE_SIDE = 8, 64
MAX_CHECKED = 2000
"""Members of a group that are compared with each other to confirm it."""


def make_pictures(kind: str, count: int, random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Return pictures of a kind: (count, side, side, 3)."""
    if kind == "noise":
        return random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    if kind == "drawings":
        return _make_drawings(count, random, side)
    contrast = 1.0 if kind == "natural" else 0.15
    return _make_natural(count, random, side, contrast)


def _make_natural(count: int, random: np.random.Generator, side: int, contrast: float) -> NDArray[np.uint8]:
    """Fields with the 1/f spectrum of photos, in brightness more than in color."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side, 1 / side), np.fft.fftfreq(side, 1 / side)))
    amplitude = (frequency > 0) / np.maximum(frequency, 1)
    spectrum = np.fft.fft2(random.standard_normal((count, 3, side, side))) * amplitude
    fields = np.fft.ifft2(spectrum).real * side / np.sqrt((amplitude**2).sum())
    luma = fields[:, :1] * random.lognormal(3.6, 0.4, (count, 1, 1, 1)) + random.normal(118, 45, (count, 1, 1, 1))
    chroma = fields[:, 1:] * random.lognormal(2.3, 0.6, (count, 1, 1, 1)) + random.normal(0, 12, (count, 2, 1, 1))
    red, blue = chroma[:, :1], chroma[:, 1:]
    colors = np.concatenate([luma + red, luma - (red + blue) / 2, luma + blue], 1)
    return (128 + contrast * (colors - 128)).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def _make_drawings(count: int, random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Up to three ellipses and rectangles of one color each on white."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    pixels = np.full((count, side, side, 3), 255, np.uint8)
    for probability in (1, 0.6, 0.4):
        center = random.uniform(0.15, 0.85, (2, count, 1, 1)).astype(np.float32)
        radius = random.uniform(0.03, 0.3, (2, count, 1, 1)).astype(np.float32)
        right, down = (x - center[0]) / radius[0], (y - center[1]) / radius[1]
        is_round = random.random((count, 1, 1)) < 0.5
        inside = np.where(is_round, right**2 + down**2, np.maximum(abs(right), abs(down))) < 1
        inside &= random.random((count, 1, 1)) < probability
        pixels = np.where(inside[..., None], random.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8), pixels)
    return pixels


def make_thumbnail(picture: Pillow.Image) -> NDArray[np.uint8]:
    """Scale a picture as ``ImageFolder`` does."""
    return np.asarray(picture.resize((SIDE, SIDE), Pillow.Resampling.BILINEAR, reducing_gap=3.0))


def make_duplicate(picture: Pillow.Image, random: np.random.Generator) -> Pillow.Image:
    """Save a picture as JPEG, or resize it, or both."""
    kind = random.integers(3)
    if kind > 0:
        side = int(random.integers(40, 64))
        picture = picture.resize((side, side), Pillow.Resampling.LANCZOS)
    if kind < 2:
        file = io.BytesIO()
        picture.save(file, "jpeg", quality=int(random.integers(50, 96)))
        picture = Pillow.open(file).convert("RGB")
    return picture


def make_thumbnails(kind: str, count: int, planted: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return thumbnails, (count, 8, 8, 3), and the indices of the planted pairs, (2, pairs).

    Pairs that differ by more than the criterion of ``group_similar`` are not planted.
    """
    random = np.random.default_rng(0)
    side = 32 if kind == "drawings" else SIDE
    thumbnails = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for start in range(0, count, 10_000):
        part = make_pictures(kind, min(10_000, count - start), random, side)
        thumbnails[start : start + len(part)] = part.reshape(-1, SIDE, side // SIDE, SIDE, side // SIDE, 3).mean((2, 4))
    places = random.choice(count, (2, planted), replace=False)
    is_near = np.zeros(planted, bool)
    for index, (left, right) in enumerate(places.T):
        picture = Pillow.fromarray(make_pictures(kind, 1, random, PICTURE_SIDE)[0])
        pair = np.stack([make_thumbnail(picture), make_thumbnail(make_duplicate(picture, random))])
        difference = np.abs(np.diff(pair.astype(np.int16), axis=0))
        is_near[index] = difference.mean() <= MAX_MEAN_DIFFERENCE and difference.max() <= MAX_DIFFERENCE
        if is_near[index]:
            thumbnails[left], thumbnails[right] = pair
    return thumbnails, places[:, is_near]


def count_false_groups(thumbnails: NDArray[np.uint8], group_ids: NDArray[np.int64]) -> int:
    """Return the number of groups of up to ``MAX_CHECKED`` members that the exact comparison does not confirm."""
    order = np.argsort(group_ids, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group_ids[order])) + 1)
    groups = [group for group in groups if 1 < len(group) <= MAX_CHECKED]
    return sum(len(set(group_exact(thumbnails[group]).tolist())) > 1 for group in groups)


def write_thumbnails(kind: str, count: int, file: Path) -> None:
    """Write the thumbnails of a kind, a hundredth of them pairs that are planted."""
    thumbnails, places = make_thumbnails(kind, count, count // 100)
    np.savez(file, thumbnails=thumbnails, places=places)


def measure(file: Path) -> dict[str, float]:
    """Group thumbnails and compare the groups with what was planted."""
    with np.load(file) as arrays:
        thumbnails, places = arrays["thumbnails"], arrays["places"]
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    group_ids = np.array(group_similar(thumbnails))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    return {
        "seconds": round(seconds, 1),
        "recall": float((group_ids[places[0]] == group_ids[places[1]]).mean()),
        "planted": places.shape[1],
        "groups": len(set(group_ids.tolist())),
        "false_groups": count_false_groups(thumbnails, group_ids),
        "megabytes": round(peak / 1024),
    }


def run_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, whose peak memory is that of the function."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Print a table and, with ``--json FILE``, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="thumbnails")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    print(f"{'kind':14}{'pictures':>10}{'CPU s':>8}{'recall':>9}{'of pairs':>10}{'groups':>9}{'false':>7}{'MB':>6}")
    for kind in KINDS:
        for count in arguments.counts:
            with tempfile.TemporaryDirectory() as folder:
                run_alone(write_thumbnails, kind, count, Path(folder) / "thumbnails.npz")
                row = run_alone(measure, Path(folder) / "thumbnails.npz")
            results[f"{kind}, {count}"] = row
            print(
                f"{kind:14}{count:10,}{row['seconds']:8.1f}{row['recall']:9.4f}{row['planted']:10,}{row['groups']:9,}"
                f"{row['false_groups']:7,}{row['megabytes']:6,}",
                flush=True,
            )
    save(arguments.json, results)


if __name__ == "__main__":
    main()
