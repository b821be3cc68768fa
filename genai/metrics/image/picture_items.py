"""Pictures of a split with what the data say of them, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from genai.core.cache import cache_dir, cache_key, cached_file
from genai.core.data import PackedDataset, Source, Split, packed_prompts
from genai.data.caption_table import KEYWORD_COLUMNS
from genai.metrics.image.picture_features import picture_features
from genai.modalities.base import Modality

MAX_PICTURES = 20_000
"""Maximum number of pictures of a split that are used, evenly spaced."""
MAX_STYLES = 50
"""A column ``style`` with more values is ignored: each would have too few pictures."""
CACHE_VERSION = 1


@dataclass(frozen=True)
class PictureItem:
    """What the data say of a picture; "" where they say nothing.

    Attributes:
        row: its index in the split.
        prompt: its caption.
        label: what it shows: the column ``label``, else the caption.
        keywords: further words for it: the column ``keywords`` or ``tags``.
        style: how it is drawn: the column ``style``.
        family: labels of one family are not told apart: the column ``family``, else the label.
        group: kind of thing: the column ``group``.
        part: kind of held-out item: the column ``split``.
    """

    row: int
    prompt: str
    label: str
    keywords: str
    style: str
    family: str
    group: str
    part: str


@dataclass(frozen=True)
class PictureSplit:
    """A split of a source, or up to ``MAX_PICTURES`` of it.

    Attributes:
        pictures: what is known of each.
        packed: the split as tensors.
        features: (pictures, features) float32.
    """

    pictures: Sequence[PictureItem]
    packed: PackedDataset
    features: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def labels(self) -> list[str]:
        return [picture.label for picture in self.pictures]

    @cached_property
    def styles(self) -> list[str]:
        return [picture.style for picture in self.pictures]

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """Return (indices, channels, height, width) uint8."""
        return self.packed.batch([self.pictures[index].row for index in indices], None).x


def read_items(source: Source, split: Split, modality: Modality) -> PictureSplit:
    """Return the pictures of a split that have a label or a caption; their features are cached."""
    packed = modality.pack_split(split, cache_dir())
    prompts = packed_prompts(packed) if split.prompts is None else split.prompts

    def column(*names: str) -> Sequence[str]:
        name = next((name for name in names if name in source.column_names), None)
        return [""] * len(prompts) if name is None else source.column_values(split, name)

    labels = [(label or prompt).casefold().strip() for label, prompt in zip(column("label"), prompts, strict=True)]
    families, keywords = column("family"), column(*KEYWORD_COLUMNS)
    styles = column("style") if _num_styles(source) <= MAX_STYLES else [""] * len(prompts)
    groups, parts = column("group"), column("split")
    used = [row for row, label in enumerate(labels) if label]
    count = min(len(used), MAX_PICTURES)
    pictures = [
        PictureItem(
            row,
            prompts[row],
            labels[row],
            keywords[row],
            styles[row],
            families[row] or labels[row],
            groups[row],
            parts[row],
        )
        for row in (used[number * len(used) // count] for number in range(count))
    ]
    return PictureSplit(pictures, packed, _cached_features(split, packed, pictures, modality))


def _num_styles(source: Source) -> int:
    """Return the number of styles in both splits."""
    if "style" not in source.column_names:
        return 0
    return len({style for split in (source.train, source.val) for style in source.column_values(split, "style")})


def _cached_features(
    split: Split, packed: PackedDataset, pictures: Sequence[PictureItem], modality: Modality
) -> Tensor:
    key = cache_key(
        "picture features", CACHE_VERSION, split.content_hash, len(pictures), modality.description, modality.fitting
    )

    def load(numbers: range) -> Tensor:
        return packed.batch([pictures[number].row for number in numbers], None).x

    def write(path: Path) -> None:
        save_file({"features": picture_features(load, len(pictures), f"features ({split.name})")}, path)

    return load_file(cached_file(cache_dir() / f"{key}.safetensors", write))["features"]
