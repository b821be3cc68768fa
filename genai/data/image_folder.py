"""Pictures from a folder, with captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Len, Lt
from PIL import Image as Pillow

from genai.core.cache import cache_dir, cache_key, cached_json
from genai.data.dedup import group_similar
from genai.data.exclude import ExcludedValues
from genai.data.file_table import FileInfo
from genai.data.folder import CaptionColumns, CaptionKind, Folder
from genai.data.parts import MIN_CROP_SIDE, MIN_CROPS_PER_SIDE, Part, split_area
from genai.data.personal_filter import PersonalMode
from genai.media.picture import Picture

SUFFIXES = frozenset(
    ".png .jpg .jpeg .jfif .webp .gif .bmp .tif .tiff .avif .heic .heif .jp2 .ppm .pgm .pbm .pnm .tga .ico".split()
)
SideLength = Annotated[int, Ge(1)]
THUMBNAIL_SIZE = 8
"""Side of the thumbnails that are compared, in pixels."""


class ImageFolder(Folder):
    """Pictures of any size and type from a folder and its sub-folders; prompts and splits as in ``Folder``.

    Args:
        path: a folder (searched for ``SUFFIXES``, without hidden files) or a glob such as ``cats/**/*.png``.
        val_fraction: fraction for validation; near-duplicates go to the same split.
        size: the size that the model needs, one number or height and width; a large JPEG is decoded faster, at about
            twice the longer side.
        caption: ``auto`` as in ``Folder``, or ``name``: the names of the files are their prompts.
        personal: what to do about personal data in captions, see ``PersonalFilter``.
        license: of the files, for records and cards.
        captions: columns of the table of captions, of which one is drawn in each epoch, see ``Folder``.
        exclude: values of columns whose files are left out of both splits, such as ``{"style": "openmoji"}``.
        default_caption: prompt of pictures without a caption.

    Raises:
        UserError: there are no pictures, or too few that can be used.
    """

    media = Picture
    metrics = ("val_loss", "nearest")
    suffixes = SUFFIXES
    item_name = "pictures"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        size: SideLength | Annotated[list[SideLength], Len(2, 2)] | None = None,
        caption: CaptionKind = "auto",
        personal: PersonalMode | None = None,
        license: str = "",
        captions: CaptionColumns | None = None,
        exclude: ExcludedValues | None = None,
        default_caption: str = "",
    ) -> None:
        super().__init__(path, val_fraction, caption, personal, license, captions, exclude, default_caption)
        self.size = 0 if size is None else size if isinstance(size, int) else max(size)
        self.load_options = 2 * self.size or None
        self.min_crop_side = max(self.size, MIN_CROP_SIDE)
        self.enough = f"{MIN_CROPS_PER_SIDE * self.min_crop_side} x {self.min_crop_side} pixels"

    def load(self, file: Path) -> Picture:
        return Picture.read(file, self.load_options)

    def load_whole(self, file: Path) -> Picture:
        return Picture.read(file)

    def take_part(self, media: Picture, part: Part) -> Picture:
        left, top, right, bottom = map(int, part)
        return Picture(media.pixels[top:bottom, left:right])

    def cut(self, file: Path, info: FileInfo) -> tuple[list[Part], list[Part], str] | None:
        """Cut a single picture into squares: those at its right or lower end are held out."""
        height, width, _ = self.last_whole.get(file, info.content_hash).pixels.shape
        parts = split_area(width, height, self.val_fraction, self.min_crop_side)
        if parts is None:
            return None
        train, val = parts
        end = "right" if width >= height else "lower"
        note = (
            f"cut into squares of {val[0][2] - val[0][0]:.0f} pixels: {len(train):,} that overlap to train on, "
            f"{len(val):,} at the {end} end held out"
        )
        return train, val, note

    def inspect(self, file: Path) -> dict[str, Any]:
        image = Picture.read(file, short_side=64).image.convert("RGB")
        thumbnail = image.resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Pillow.Resampling.BILINEAR, reducing_gap=3.0)
        return {"thumbnail": np.asarray(thumbnail).tobytes()}

    def group_ids(self, infos: Sequence[FileInfo]) -> tuple[list[int], str]:
        """Group near-duplicates."""

        def compute() -> dict[str, list[int]]:
            pixels = np.frombuffer(b"".join(info.thumbnail for info in infos), np.uint8)
            return {"numbers": group_similar(pixels.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3))}

        key = cache_key("alike", 1, [info.thumbnail.hex() for info in infos])
        group_ids: list[int] = cached_json(cache_dir() / f"{key}.json", compute)["numbers"]
        self.num_similar = len(group_ids) - len(set(group_ids))
        if self.num_similar:
            self.layout_note += f"; {self.num_similar:,} look like another one, copies included: both are on one side"
        return group_ids, "" if len(set(group_ids)) > 1 else "; all look alike, in both splits"
