"""What is known of picture files: each is looked at once, and again only when it has changed."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from genai.checkpoints import write_atomically
from genai.data.ahead import ahead
from genai.errors import Mistake
from genai.modalities import cache
from genai.modalities.picture import Picture

THUMBNAIL = 8
THREADS = min(4, os.cpu_count() or 1)
"""Each holds one decoded picture at least, which can be large."""


@dataclass(frozen=True)
class Looked:
    """What looking at a file has told.

    Attributes:
        stamp: size and times (in ns) of the file then; with another stamp it is another file.
        wrong: why it cannot be used; empty where it can.
        content: a hash of its bytes.
        thumbnail: the bytes of ``THUMBNAIL`` x ``THUMBNAIL`` RGB pixels, in hexadecimal.
    """

    stamp: list[int]
    wrong: str = ""
    content: str = ""
    thumbnail: str = ""


def survey(root: Path, files: Sequence[Path]) -> list[Looked]:
    """What is known of ``files`` below ``root``; only what is new among them is read."""
    index = cache.folder() / f"{cache.key('pictures', 1, str(root.absolute()))}.json"
    known = _read(index)
    stamps = {str(file.relative_to(root)): _stamp(file) for file in files}
    new = [name for name, stamp in stamps.items() if name not in known or known[name].stamp != stamp]
    looks = ahead(lambda name: _look(root / name, stamps[name]), new, THREADS)
    try:
        for name, looked in zip(new, cache.progress(looks, "looking at pictures", len(new)), strict=True):
            known[name] = looked
    finally:  # what has been seen when somebody presses Ctrl-C need not be seen again
        if new:
            index.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(index, json.dumps({name: asdict(looked) for name, looked in known.items()}))
    return [known[name] for name in stamps]


def _read(index: Path) -> dict[str, Looked]:
    try:
        rows: dict[str, dict[str, Any]] = json.loads(index.read_text(encoding="utf-8"))
        return {name: Looked(**row) for name, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # none yet, or a damaged one: it is made anew
        return {}


def _stamp(file: Path) -> list[int]:
    """The time of change tells of new permissions, and of new content under an old time of modification."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _look(file: Path, stamp: list[int]) -> Looked:
    try:
        picture = Picture.read(file, about=64)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except Mistake as error:
        return Looked(stamp, wrong=str(error))
    except OSError as error:
        return Looked(stamp, wrong=f"cannot read {file}: {error.strerror}.")
    small = picture.image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Pillow.Resampling.BILINEAR, reducing_gap=3.0)
    return Looked(stamp, content=digest, thumbnail=np.asarray(small).tobytes().hex())
