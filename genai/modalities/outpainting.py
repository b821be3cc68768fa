"""Outpainting: where a picture stands on the canvas whose rest is to be made."""

from typing import Literal

from PIL import Image as Pillow

Rest = Literal["left", "right", "top", "bottom", "around"]
"""The part of the canvas that is to be made."""


def spot(picture: tuple[int, int], canvas: tuple[int, int], rest: Rest) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom), in pixels, of a picture on a canvas; sizes are (width, height).

    The whole picture stands in the other half, or with ``around`` in the middle of the canvas, at most half as wide and
    high: as large as fits, of its own proportions, in the middle of where it may stand.
    """
    halved = [rest in ("left", "right", "around"), rest in ("top", "bottom", "around")]
    room = [max(1, side // 2) if half else side for side, half in zip(canvas, halved, strict=True)]
    scale = min(space / side for space, side in zip(room, picture, strict=True))
    width, height = (min(space, max(1, round(scale * side))) for space, side in zip(room, picture, strict=True))
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    if rest in ("left", "right"):
        left = 0 if rest == "right" else canvas[0] - width
    if rest in ("top", "bottom"):
        top = 0 if rest == "bottom" else canvas[1] - height
    return left, top, left + width, top + height


def placed(image: Pillow.Image, canvas: tuple[int, int], rest: Rest) -> tuple[Pillow.Image, Pillow.Image]:
    """``image`` on a grey canvas of (width, height), and a mask of it: black where the picture is, white elsewhere."""
    box = spot(image.size, canvas, rest)
    sized = image.resize((box[2] - box[0], box[3] - box[1]), Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    whole, mask = Pillow.new(image.mode, canvas, "grey"), Pillow.new("L", canvas, "white")
    whole.paste(sized, box)
    mask.paste("black", box)
    return whole, mask
