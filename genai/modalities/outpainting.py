"""Outpainting: place a picture on a canvas whose remaining part is generated."""

from typing import Literal

from PIL import Image as Pillow

OutpaintSide = Literal["left", "right", "top", "bottom", "around"]
"""The part of the canvas that is generated."""


def init_box(picture: tuple[int, int], canvas: tuple[int, int], outpaint: OutpaintSide) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) in pixels of a picture on a canvas; sizes are (width, height).

    The picture keeps its proportions and is as large as fits into the half of the canvas opposite of ``outpaint``, or
    with ``around`` into half its width and height. It touches the edge opposite of ``outpaint``, and is centered
    otherwise.
    """
    half_width, half_height = outpaint in ("left", "right", "around"), outpaint in ("top", "bottom", "around")
    available = [
        max(1, side // 2) if half else side for side, half in zip(canvas, (half_width, half_height), strict=True)
    ]
    scale = min(space / side for space, side in zip(available, picture, strict=True))
    width, height = (min(space, max(1, round(scale * side))) for space, side in zip(available, picture, strict=True))
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    if outpaint in ("left", "right"):
        left = 0 if outpaint == "right" else canvas[0] - width
    if outpaint in ("top", "bottom"):
        top = 0 if outpaint == "bottom" else canvas[1] - height
    return left, top, left + width, top + height


def place_on_canvas(
    image: Pillow.Image, canvas: tuple[int, int], outpaint: OutpaintSide
) -> tuple[Pillow.Image, Pillow.Image]:
    """Paste ``image`` on a gray canvas of (width, height).

    Returns:
        The canvas, and a mask of it: black at the picture, white elsewhere.
    """
    box = init_box(image.size, canvas, outpaint)
    resized = image.resize((box[2] - box[0], box[3] - box[1]), Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    result, mask = Pillow.new(image.mode, canvas, "gray"), Pillow.new("L", canvas, "white")
    result.paste(resized, box)
    mask.paste("black", box)
    return result, mask
