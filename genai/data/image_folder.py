"""Pictures of one's own, with the captions that lie beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Len, Lt
from PIL import Image as Pillow

from genai.core.cache import cache_dir, cache_key, cached_json
from genai.data import dedup as alike
from genai.data.file_index import Looked
from genai.data.folder import Folder
from genai.media.picture import Picture

SUFFIXES = frozenset(
    ".png .jpg .jpeg .jfif .webp .gif .bmp .tif .tiff .avif .heic .heif .jp2 .ppm .pgm .pbm .pnm .tga .ico".split()
)
Side = Annotated[int, Ge(1)]
THUMBNAIL = 8


class ImageFolder(Folder):
    """Pictures of any size and kind, from a folder with its sub-folders; prompts and division as in ``Folder``.

    Args:
        path: a folder (searched through by ``SUFFIXES``, hidden files left out) or a glob such as ``cats/**/*.png``.
        val_fraction: what is held out; pictures that look the same are on the same side.
        size: that they are needed in, of a square or height and width; a large JPEG is decoded in no more than twice
            the longer side.

    Raises:
        UserError: nothing is there, or too little of it can be used.
    """

    media = Picture
    metrics = ("val_loss", "nearest")
    suffixes = SUFFIXES
    things = "pictures"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        size: Side | Annotated[list[Side], Len(2, 2)] | None = None,
    ) -> None:
        super().__init__(path, val_fraction)
        self.loaded_as = None if size is None else 2 * (size if isinstance(size, int) else max(size))

    def load(self, file: Path) -> Picture:
        return Picture.read(file, self.loaded_as)

    def look(self, file: Path) -> dict[str, Any]:
        image = Picture.read(file, about=64).image.convert("RGB")
        small = image.resize((THUMBNAIL, THUMBNAIL), Pillow.Resampling.BILINEAR, reducing_gap=3.0)
        return {"thumbnail": np.asarray(small).tobytes().hex()}

    def groups(self, looks: Sequence[Looked]) -> tuple[list[int], str]:
        """Those that look alike belong together."""

        def numbers() -> dict[str, list[int]]:
            pixels = np.frombuffer(bytes.fromhex("".join(look.thumbnail for look in looks)), np.uint8)
            return {"numbers": alike.groups(pixels.reshape(-1, THUMBNAIL, THUMBNAIL, 3))}

        key = cache_key("alike", 1, [look.thumbnail for look in looks])
        found: list[int] = cached_json(cache_dir() / f"{key}.json", numbers)["numbers"]
        return found, "" if len(set(found)) > 1 else "; all look alike, held out or not"
