"""Readers of media for sources whose files lie in larger ones, or in rows of tables."""

import tempfile
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Len

from genai.core.errors import UserError
from genai.core.files import MAX_BYTES
from genai.data import audio_folder, image_folder, video_folder
from genai.data.image_folder import SideLength
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document


class MediaReader(ABC):
    """Reads media of one kind as a model needs them."""

    media: ClassVar[type[Any]]
    metrics: ClassVar[tuple[str, ...]]
    """Default metrics of ``genai.evaluate``."""
    item_name: ClassVar[str]
    """Plural noun for the media, in messages."""
    suffixes: ClassVar[frozenset[str]]
    """Of files with such media."""
    columns: ClassVar[tuple[str, ...]]
    """Usual names of a column with such media in a table."""
    max_bytes: ClassVar[int] = 2**30
    """Largest file that is read from a larger one."""

    @property
    @abstractmethod
    def options(self) -> Any:
        """What ``read`` depends on besides the file, as plain values."""

    @abstractmethod
    def read(self, file: Path) -> Any:
        """Read the media in a file. Raises ``UserError``."""

    def read_content(self, content: bytes, suffix: str, place: str) -> Any:
        """Return the media in the content of a file, or the ``UserError`` that they cause, which names ``place``.

        Args:
            content: of the file; the readers of files read it from a temporary one.
            suffix: of the file, such as ``.png``.
            place: where the content comes from, for people.
        """
        file = Path(_folder().name, f"media{suffix}")
        file.write_bytes(content)
        try:
            return self.read(file)
        except UserError as error:
            return UserError(str(error).replace(str(file), place))
        finally:
            file.unlink()  # some file systems wait for the disk when content is replaced


class ImageReader(MediaReader):
    """Reads pictures; ``size`` is that of the model, to which a large JPEG is decoded faster."""

    media, metrics, item_name = Picture, image_folder.ImageFolder.metrics, "pictures"
    suffixes, columns = image_folder.SUFFIXES, ("image", "img", "picture", "bytes")

    def __init__(self, size: SideLength | Annotated[list[SideLength], Len(2, 2)] | None = None) -> None:
        self.size = 0 if size is None else size if isinstance(size, int) else max(size)

    @property
    def options(self) -> int | None:
        """Shorter side to which a JPEG is decoded."""
        return 2 * self.size or None

    def read(self, file: Path) -> Picture:
        return Picture.read(file, self.options)


class SoundReader(MediaReader):
    """Reads sounds; ``sample_rate`` is that of the model."""

    media, metrics, item_name = Sound, audio_folder.AudioFolder.metrics, "sounds"
    suffixes, columns = audio_folder.SUFFIXES, ("audio", "sound", "speech", "bytes")

    def __init__(self, sample_rate: Annotated[int, Ge(1)] | None = None) -> None:
        self.sample_rate = sample_rate

    @property
    def options(self) -> int | None:
        """Samples per second."""
        return self.sample_rate

    def read(self, file: Path) -> Sound:
        return Sound.read(file, self.sample_rate)


class ClipReader(MediaReader):
    """Reads clips; ``fps`` and ``size`` are those of the model."""

    media, metrics, item_name = Clip, video_folder.VideoFolder.metrics, "clips"
    suffixes, columns = video_folder.SUFFIXES, ("video", "clip", "bytes")

    def __init__(
        self,
        fps: Annotated[float, Gt(0)] | None = None,
        size: SideLength | Annotated[list[SideLength], Len(2, 2)] | None = None,
    ) -> None:
        self.fps, self.size = fps, 0 if size is None else size if isinstance(size, int) else max(size)

    @property
    def options(self) -> tuple[float | None, int | None]:
        """Frames per second, and shorter side in pixels."""
        return self.fps, 2 * self.size or None

    def read(self, file: Path) -> Clip:
        return Clip.read(file, *self.options)


class DocumentReader(MediaReader):
    """Reads texts."""

    media, metrics, item_name = Document, ("val_loss", "bits_per_byte"), "texts"
    suffixes, columns = frozenset([".txt"]), ("text", "content")
    max_bytes = MAX_BYTES["sample"]

    @property
    def options(self) -> None:
        return None

    def read(self, file: Path) -> Document:
        return Document.read(file)


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="genai-media-")
