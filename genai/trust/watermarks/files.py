"""Search of a file of any type for the watermark of a key."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageSequence

from genai.core.errors import UserError
from genai.core.files import read_text
from genai.media.picture import Picture, open_picture
from genai.media.sound import Sound
from genai.media.video_reader import iterate_frames
from genai.trust.watermarks.clips import detect_in_clip
from genai.trust.watermarks.detection import Detection
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import MIN_SIDE, detect_in_picture
from genai.trust.watermarks.sounds import MAX_SECONDS, detect_in_sound
from genai.trust.watermarks.texts import detect_in_tokens

Tokenizer = Callable[[str], Sequence[int]]
MAX_CHARACTERS = 100_000
"""Characters of a text that are searched."""
MAX_SIDE = 2048
"""Side, in pixels, of the part of a larger picture that is searched."""
MAX_SAMPLES = 2**24
"""Samples of all channels of a sound that are searched."""
MAX_DECODED_PIXELS = 2**28
"""Pixels of the frames of an animated picture that are decoded."""
VIDEOS, SOUNDS, PICTURES = (".mp4", ".webm"), (".wav", ".flac", ".ogg", ".mp3"), (".png", ".jpg", ".gif", ".webp")


def detect_in_file(
    path: Path, suffix: str, key: WatermarkKey, tokenizers: Iterable[Tokenizer] = ()
) -> Detection | None:
    """Search the beginning of a file; ``None`` if it cannot hold a watermark, or cannot be read.

    Args:
        path: the file.
        suffix: of its type.
        key: of the watermark.
        tokenizers: of the models that may have written a text.
    """
    try:
        if suffix in PICTURES:
            return detect_in_clip(_animation(path), key) if _is_animated(path) else _search_picture(path, key)
        if suffix in VIDEOS:
            return detect_in_clip(iterate_frames(path), key)
        if suffix in SOUNDS:
            return detect_in_sound(Sound.read_start(path, MAX_SECONDS, MAX_SAMPLES), key)
        return detect_in_text(read_text(path, "sample"), key, tokenizers) if suffix == ".txt" else None
    except UserError:
        return None


def detect_in_text(text: str, key: WatermarkKey, tokenizers: Iterable[Tokenizer]) -> Detection | None:
    """Search a text with each tokenizer; ``None`` without any."""
    found = [detect_in_tokens(key, tokenize(text[:MAX_CHARACTERS])) for tokenize in tokenizers]
    if not found:
        return None
    best = min(found, key=lambda each: each.p)
    return replace(best, p=min(1.0, best.p * len(found)))


def _is_animated(path: Path) -> bool:
    with open_picture(path) as image:
        return bool(getattr(image, "is_animated", False))


def _animation(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of an animated picture as they are stored, (height, width, 3)."""
    with open_picture(path) as image:
        count = MAX_DECODED_PIXELS // (image.width * image.height)
        for _, frame in zip(range(count), ImageSequence.Iterator(image), strict=False):
            yield np.asarray(frame.convert("RGB"))


def _search_picture(path: Path, key: WatermarkKey) -> Detection | None:
    """Search a picture, or the upper left part of a large one; ``None`` if it is too small."""
    pixels = Picture.read(path).pixels[:MAX_SIDE, :MAX_SIDE]
    return detect_in_picture(pixels, key) if min(pixels.shape[:2]) >= MIN_SIDE / 2 else None
