"""The frames of a file or a folder, at equal intervals: by FFmpeg those of films, by Pillow those of pictures."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageSequence, UnidentifiedImageError

from genai.errors import Mistake
from genai.modalities.picture import LARGEST as LARGEST_PICTURE
from genai.modalities.picture import Picture
from genai.modalities.sound import CONTAINERS

Frame = NDArray[np.uint8]
LARGEST = 2 * 2**30
"""Bytes of frames that are read of one file: more would fill the memory of a laptop."""
PICTURES = frozenset(".png .jpg .jpeg .webp .bmp .tif .tiff .ppm .pgm .gif".split())


def read(path: Path, fps: float | None, default: float, about: int | None) -> tuple[Frame, float]:
    """(time, height, width, channels) uint8, and frames a second; ``default`` where the file has no rate.

    Raises ``Mistake`` naming the file: see ``Clip.read``.
    """
    if path.is_dir():
        rate = fps or default
        return _stacked(path, (_sized(picture, about) for picture in _folder(path))), rate
    try:
        with Pillow.open(path) as image:
            if getattr(image, "n_frames", 1) == 1:
                return Picture.read(path, about).pixels[None], fps or default
            return _steady(path, *_animation(path, image, about), fps)
    except UnidentifiedImageError:
        return _film(path, fps, about)
    except Mistake:
        raise
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Mistake(f"cannot read {path}: {reason.rstrip('.')}.") from error


def has_sound(path: Path) -> bool:
    """Whether FFmpeg finds a sound in a file."""
    import av

    try:
        with _opened(path) as container:
            return bool(container.streams.audio)
    except (av.error.FFmpegError, OSError):
        return False


def _folder(path: Path) -> Iterator[Picture]:
    def numbers(file: Path) -> list[tuple[int, str]]:
        return [(int(part or -1), text) for part, text in re.findall(r"(\d+)|(\D+)", file.name)]

    files = [file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")]
    if not files:
        raise Mistake(f"{path} is a folder without pictures.")
    return (Picture.read(file) for file in sorted(files, key=numbers))


def _animation(path: Path, image: Pillow.Image, about: int | None) -> tuple[Iterator[tuple[float, Frame]], float]:
    """(seconds, frame) of a GIF, WebP or PNG that moves; and how long it lasts. Browsers show 0 ms as 100."""
    if image.width * image.height > LARGEST_PICTURE:
        raise Mistake(f"{path} has {image.width} x {image.height} pixels, more than {LARGEST_PICTURE:,}.")
    each = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        each.append((frame.info.get("duration") or 100) / 1000)
    times = np.concatenate([[0.0], np.cumsum(each)])
    frames = (_sized(Picture.of(frame), about) for frame in ImageSequence.Iterator(image))
    return zip(times.tolist(), frames, strict=False), float(times[-1])


def _film(path: Path, fps: float | None, about: int | None) -> tuple[Frame, float]:
    import av

    try:
        if not path.stat().st_size:
            raise Mistake(f"{path} is an empty file.")
        with _opened(path) as container:
            if not container.streams.video:
                raise Mistake(f"{path} has no picture in it.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise Mistake(f"{path} has pictures of an unknown kind.")
            if stream.width * stream.height > LARGEST_PICTURE:
                raise Mistake(f"{path} has {stream.width} x {stream.height} pixels, more than {LARGEST_PICTURE:,}.")
            stream.thread_type = "AUTO"
            declared = float(stream.duration * stream.time_base) if stream.duration else 0.0
            frames, rate, lasts = _decoded(path, container, stream, fps, about)
            if lasts < 0.9 * (declared - 0.5):
                raise Mistake(f"{path} is cut short.")
            return frames, rate
    except av.error.FFmpegError as error:
        raise Mistake(f"{path} is not a clip that can be read, or damaged.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Mistake(f"cannot read {path}: {reason.rstrip('.')}.") from error


def _opened(path: Path) -> Any:
    import av

    # "file:", so that no part of a name is taken for a protocol
    return av.open(f"file:{path}", options={"format_whitelist": CONTAINERS})


def _decoded(
    path: Path, container: Any, stream: Any, fps: float | None, about: int | None
) -> tuple[Frame, float, float]:
    """Frames, their rate, and how many seconds of the film there were."""
    step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    last = 0.0

    def timed() -> Iterator[tuple[float, Frame]]:
        nonlocal last
        first: float | None = None
        for number, frame in enumerate(container.decode(stream)):
            at = number * step if frame.time is None else frame.time
            first = at if first is None else first
            last = max(last, at - first)
            yield at - first, _upright(frame, about)

    frames = timed()
    begin = next(frames, None)
    if begin is None:
        raise Mistake(f"{path} has no frame that can be read.")
    rate = fps or 1 / step
    return _stacked(path, _shown(chain([begin], frames), rate, lambda: last + step)), rate, last + step


def _upright(frame: Any, about: int | None) -> Frame:
    """A frame of a film turned as it is meant to be seen, and made smaller while it is decoded."""
    shorter = min(frame.width, frame.height)
    if about and shorter > about:
        width, height = (max(1, round(side * about / shorter)) for side in (frame.width, frame.height))
        frame_ = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
    else:
        frame_ = frame.reformat(format="rgb24")
    turned: Frame = np.rot90(frame_.to_ndarray(), round(frame.rotation / 90) % 4)
    return np.ascontiguousarray(turned)


def _sized(picture: Picture, about: int | None) -> Frame:
    """A picture as RGB, its shorter side ``about`` pixels if it had more."""
    image = picture.image.convert("RGB")
    if about and min(image.size) > about:
        factor = about / min(image.size)
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Pillow.Resampling.BOX)
    return np.asarray(image)


def _steady(path: Path, timed: Iterator[tuple[float, Frame]], lasts: float, fps: float | None) -> tuple[Frame, float]:
    frames = list(timed)
    rate = fps or len(frames) / lasts
    return _stacked(path, _shown(iter(frames), rate, lambda: lasts)), rate


def _shown(timed: Iterator[tuple[float, Frame]], fps: float, end: Any) -> Iterator[Frame]:
    """Of frames with the seconds from which on they stand there, those at 0, 1 / fps, ...; ``end()`` seconds in all."""
    count = 0
    before: tuple[float, Frame] | None = None
    for at, frame in timed:
        while before is not None and count / fps < at - 1e-6:
            yield before[1]
            count += 1
        before = (at, frame)
    while before is not None and (count == 0 or count / fps < end() - 0.5 / fps):
        yield before[1]
        count += 1


def _stacked(path: Path, frames: Iterable[Frame]) -> Frame:
    """Frames of one size in one array. Raises ``Mistake`` for other sizes, and for too much."""
    kept: list[Frame] = []
    total = 0
    for frame in frames:
        kept.append(frame)
        total += frame.nbytes
        if total > LARGEST:
            raise Mistake(f"{path} has more than {LARGEST // 2**30} GiB of frames: cut it into shorter ones.")
    odd = next((b for a, b in pairwise(kept) if a.shape != b.shape), None)
    if odd is not None:
        raise Mistake(f"{path} has frames of different sizes: {kept[0].shape[1::-1]} and {odd.shape[1::-1]}.")
    return np.stack(kept)
