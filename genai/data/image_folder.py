"""Pictures from a folder, with captions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Le, Len, Lt
from PIL import Image as Pillow

from genai.core.cache import cache_dir, cache_key, cached_json
from genai.core.caption_choice import TagDropout
from genai.core.data import Example, Split
from genai.core.errors import UserError
from genai.data.dedup import group_similar
from genai.data.exclude import ExcludedValues
from genai.data.file_index import index_files
from genai.data.file_table import FileInfo
from genai.data.folder import CaptionColumns, CaptionKind, Entry, Folder
from genai.data.item_weights import ItemWeights
from genai.data.last_loaded import LastLoaded
from genai.data.masks import check_mask_sizes, inspect_mask, pair_masks, read_mask
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
        weights: by columns and values, how many times as often training draws them: ``{"folder": {"dogs": 3}}``.
        unmasked_weight: weight of the loss where the mask of a picture, ``NAME-masklabel.png``, is black; 1: masks are
            not used.
        tag_dropout: probability that a tag, of captions with commas, is dropped each time that it is drawn.
        keep_tokens: number of tags, not tokens, at the beginning of a caption that are never dropped; kohya's name.

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
        weights: ItemWeights | None = None,
        default_caption: str = "",
        unmasked_weight: Annotated[float, Ge(0), Le(1)] = 0.1,
        tag_dropout: Annotated[float, Ge(0), Le(1)] = 0.0,
        keep_tokens: Annotated[int, Ge(0)] = 1,
    ) -> None:
        super().__init__(path, val_fraction, caption, personal, license, captions, exclude, weights, default_caption)
        self.unmasked_weight, self.masks = unmasked_weight, dict[Path, Path]()
        self.tag_dropout = TagDropout(tag_dropout, keep_tokens) if tag_dropout else None
        self.size = 0 if size is None else size if isinstance(size, int) else max(size)
        self.load_options = 2 * self.size or None
        self.min_crop_side = max(self.size, MIN_CROP_SIDE)
        self.enough = f"{MIN_CROPS_PER_SIDE * self.min_crop_side} x {self.min_crop_side} pixels"

    def files(self) -> tuple[list[Path], list[Path], list[str]]:
        """Find the pictures, and the masks beside them, which are no pictures of their own."""
        media, files, errors = super().files()
        media, masks, notes = pair_masks(media, files, self.suffixes)
        self.masks = masks if self.unmasked_weight < 1 else {}
        return media, files, [*errors, *notes]

    @property
    def note(self) -> str:
        count = sum(item.file in self.masks for entries in self._partition[:2] for item, _ in entries)
        masks = f"; {count:,} with masks, whose black parts have the weight {self.unmasked_weight:g}" if count else ""
        dropout = self.tag_dropout
        first = f"but the first {dropout.keep_tokens} " if dropout and dropout.keep_tokens else ""
        tags = f"; tags {first}are dropped with the probability {dropout.rate:g}" if dropout else ""
        return f"{super().note}{masks}{tags}"

    def _make_split(self, name: str, entries: Sequence[Entry]) -> Split:
        split = replace(super()._make_split(name, entries), tag_dropout=self.tag_dropout)
        masks = {item.file: self.masks[item.file] for item, _ in entries if item.file in self.masks}
        if not masks:
            return split
        check_mask_sizes(masks)
        infos = dict(zip(masks, index_files(self.root, [*masks.values()], "masks", inspect_mask), strict=True))
        if errors := [info.error for info in infos.values() if info.error]:
            raise UserError(errors[0])
        hashes = [infos[item.file].content_hash if item.file in masks else "" for item, _ in entries]
        key = cache_key(split.content_hash, "masks", self.unmasked_weight, hashes)
        last_mask = LastLoaded(read_mask)

        def load(index: int) -> Example:
            item, example = entries[index][0], split.load(index)
            if item.file not in masks:
                return example
            if item.part is None:
                return replace(example, mask=read_mask(masks[item.file]))
            is_last = hashes[index + 1 : index + 2] != [hashes[index]]
            mask = last_mask.get(masks[item.file], hashes[index], is_last)
            return replace(example, mask=self.take_part(mask, item.part))

        return replace(split, load=load, content_hash=key, unmasked_weight=self.unmasked_weight)

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
