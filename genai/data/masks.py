"""Masks beside pictures: ``cat-masklabel.png`` says which parts of ``cat.png`` are learned (the rule of OneTrainer)."""

from collections.abc import Collection, Mapping, Sequence
from os import SEEK_CUR
from pathlib import Path
from typing import Any

from PIL import ExifTags

from genai.core.errors import UserError
from genai.core.terminal import one_line
from genai.media.picture import Picture, open_picture

MASK_SUFFIX, MASK_TYPE = "-masklabel", ".png"
"""End of the name of a mask, and its type."""
ROTATION_CHUNKS = frozenset((b"eXIf", b"tEXt", b"zTXt", b"iTXt"))
"""Types of the parts of a PNG in which Pillow looks for EXIF."""


def pair_masks(
    media: Sequence[Path], files: Sequence[Path], suffixes: Collection[str]
) -> tuple[list[Path], dict[Path, Path], list[str]]:
    """Return the pictures that are no masks, the masks of pictures, and a line about each mask without a picture.

    Args:
        media: pictures and masks.
        files: all files of their folders.
        suffixes: of pictures, in lower case.
    """
    masks = {file for file in (*media, *files) if file.suffix.lower() == MASK_TYPE and file.stem.endswith(MASK_SUFFIX)}
    pictures = [file for file in media if file not in masks]
    by_name = {(file.parent, file.stem.removesuffix(MASK_SUFFIX)): file for file in masks}
    pairs = {file: mask for file in pictures if (mask := by_name.get((file.parent, file.stem)))}
    all_pictures = {file for file in files if file.suffix.lower() in suffixes} - masks  # also those not in a glob
    names = {(file.parent, file.stem) for file in all_pictures}
    unused = sorted(file for name, file in by_name.items() if name not in names)
    return pictures, pairs, [f"{file} is a mask without a picture." for file in unused]


def read_mask(file: Path) -> Picture:
    """Read a mask as gray: white is learned. Raises ``UserError`` if it cannot be read."""
    return Picture.from_pil(Picture.read(file).image.convert("L"))


def inspect_mask(file: Path) -> dict[str, Any]:
    """Check that a mask can be read, for ``index_files``. Raises ``UserError``."""
    read_mask(file)
    return {}


def check_mask_sizes(masks: Mapping[Path, Path]) -> None:
    """Raise ``UserError``, naming both files, if a picture and its mask have different sizes."""
    for picture, mask in masks.items():
        sizes = [" x ".join(map(str, _rotated_size(file))) for file in (picture, mask)]
        if sizes[0] != sizes[1]:
            raise UserError(
                one_line(f"{mask} has {sizes[1]} pixels, and {picture} {sizes[0]}: make both the same size.")
            )


def _rotated_size(file: Path) -> tuple[int, int]:
    """Return (width, height) of a picture after it is turned upright. Its pixels are not decoded, if possible."""
    with open_picture(file) as image:
        width, height = image.size
        if image.format == "TIFF" or (image.format == "PNG" and not _can_be_rotated(file)):  # Pillow turns TIFF itself
            return width, height
        is_rotated = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (height, width) if is_rotated else (width, height)


def _can_be_rotated(file: Path) -> bool:
    """Return whether a PNG has ``ROTATION_CHUNKS``. If not, Pillow would decode all to find that out."""
    with file.open("rb") as png:
        png.seek(len(b"\x89PNG\r\n\x1a\n"))
        while len(head := png.read(8)) == 8:  # length of the data, and type; a checksum of 4 bytes follows the data
            if head[4:] in ROTATION_CHUNKS:
                return True
            png.seek(int.from_bytes(head[:4], "big") + 4, SEEK_CUR)
    return False
