"""Search of a file of any type for the watermark of a key."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageSequence

from genai.core.errors import UserError
from genai.core.files import read_text
from genai.media.picture import Picture, open_picture
from genai.media.resample_frames import check_frame_size
from genai.media.sound import Sound
from genai.media.video_reader import read_first_frames
from genai.trust.watermarks.clips import MAX_FRAMES, detect_in_clip
from genai.trust.watermarks.detection import Detection
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import MIN_SIDE, detect_in_picture
from genai.trust.watermarks.sounds import detect_in_sound
from genai.trust.watermarks.texts import detect_in_tokens

Tokenizer = Callable[[str], Sequence[int]]
MAX_CHARACTERS = 1_000_000
"""Characters of a text that are searched."""
MAX_SIDE = 2048
"""Side, in pixels, of the part of a larger picture that is searched."""
VIDEOS, SOUNDS, PICTURES = (".mp4", ".webm"), (".wav", ".flac", ".ogg", ".mp3"), (".png", ".jpg", ".gif", ".webp")


def detect_in_file(
    path: Path, suffix: str, key: WatermarkKey, tokenizers: Iterable[Tokenizer] = ()
) -> Detection | None:
    """Search a file; ``None`` if it cannot hold a watermark, or cannot be read.

    Args:
        path: the file.
        suffix: of its type.
        key: of the watermark.
        tokenizers: of the models that may have written a text.
    """
    try:
        if suffix in PICTURES:
            return detect_in_clip(_read_animation(path), key) if _is_animated(path) else _search_picture(path, key)
        if suffix in VIDEOS:
            return detect_in_clip(read_first_frames(path, MAX_FRAMES), key)
        if suffix in SOUNDS:
            return detect_in_sound(Sound.read(path), key)
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
        return getattr(image, "n_frames", 1) > 1


def _read_animation(path: Path) -> NDArray[np.uint8]:
    """Return the first frames of an animated picture as they are stored, (time, height, width, 3)."""
    with open_picture(path) as image:
        check_frame_size(path, MAX_FRAMES, *image.size)
        frames = islice(ImageSequence.Iterator(image), MAX_FRAMES)
        return np.stack([np.asarray(frame.convert("RGB")) for frame in frames])


def _search_picture(path: Path, key: WatermarkKey) -> Detection | None:
    """Search a picture, or the upper left part of a large one; ``None`` if it is too small."""
    pixels = Picture.read(path).pixels[:MAX_SIDE, :MAX_SIDE]
    return detect_in_picture(pixels, key) if min(pixels.shape[:2]) >= MIN_SIDE / 2 else None
