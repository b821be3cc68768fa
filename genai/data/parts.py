"""Parts of a single recording, clip or picture, where there is no other file to hold out."""

from collections.abc import Sequence

Part = tuple[float, ...]
"""Start and end in seconds; or left, top, right and bottom in pixels."""
MAX_CROPS_PER_SIDE, MIN_CROPS_PER_SIDE = 20, 3
"""Limits of the longer side of a picture, in sides of its crops."""
MIN_CROP_SIDE = 16
"""Smallest side of a crop in pixels, for models of smaller pictures."""


def split_time(
    seconds: float, fraction: float, min_seconds: float, cuts: Sequence[float] = ()
) -> tuple[Part, Part] | None:
    """Cut a recording into training and validation part, with ``min_seconds`` between them that are in neither.

    The validation part is the end: ``fraction`` of the time without that gap, at least ``min_seconds``. The training
    part is at least as long as that. If there is a cut near the start of the validation part, it begins there: then no
    scene is in both.

    Args:
        seconds: duration of the recording.
        fraction: for validation.
        min_seconds: shortest part, and the time between the parts.
        cuts: times of scene changes in seconds.

    Returns:
        (start, end) of both in seconds; ``None`` if the recording is too short.
    """
    val_seconds = max(min_seconds, fraction * seconds - min_seconds)
    train_seconds = seconds - min_seconds - val_seconds
    if train_seconds < min_seconds:
        return None
    val_start = seconds - val_seconds
    near = [
        cut
        for cut in cuts
        if abs(cut - val_start) <= val_seconds / 2 and 2 * min_seconds <= cut <= seconds - min_seconds
    ]
    if near:
        val_start = min(near, key=lambda cut: abs(cut - val_start))
        train_seconds = val_start - min_seconds
    return (0.0, train_seconds), (val_start, seconds)


def split_area(width: int, height: int, fraction: float, min_side: int) -> tuple[list[Part], list[Part]] | None:
    """Cut a picture into square crops. Those of its right, or of the lower end if it is upright, are for validation.

    Training crops overlap by half, validation crops do not, and no pixel is in both. The side of a crop is ``fraction``
    of the longer side of the picture, within limits.

    Args:
        width, height: of the picture in pixels.
        fraction: for validation.
        min_side: smallest side of a crop in pixels.

    Returns:
        (left, top, right, bottom) of training and validation crops; ``None`` if the picture is too small.
    """
    long_side, short_side = max(width, height), min(width, height)
    max_side = min(short_side, long_side // MIN_CROPS_PER_SIDE)
    if max_side < min_side:
        return None
    side = min(max_side, max(min_side, round(long_side * max(fraction, 1 / MAX_CROPS_PER_SIDE))))
    columns = min(max(1, round(long_side * fraction) // side), long_side // side - 1)
    val_start = long_side - columns * side
    train = [(x, y) for x in _starts(0, val_start, side, side // 2) for y in _starts(0, short_side, side, side // 2)]
    val = [(x, y) for x in _starts(val_start, long_side, side, side) for y in _starts(0, short_side, side, side)]
    if width < height:
        train, val = ([(y, x) for x, y in corners] for corners in (train, val))
    return _squares(train, side), _squares(val, side)


def _starts(begin: int, end: int, side: int, stride: int) -> range:
    return range(begin, end - side + 1, stride)


def _squares(corners: list[tuple[int, int]], side: int) -> list[Part]:
    return [(x, y, x + side, y + side) for x, y in corners]
