"""Video: clips <-> uint8 tensors of one size and frame rate, in a memory-mapped cache."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from PIL import Image as Pillow
from torch import Tensor

from genai.core.batch import Request
from genai.core.cache import cache_key, cached_file, track_progress, write_json
from genai.core.data import Split
from genai.core.errors import UserError
from genai.media.base import FileName
from genai.media.clip import SOUNDING, Clip, best_suffix
from genai.media.filmstrip import animated, filmstrip
from genai.media.picture import Picture
from genai.modalities.base import Decoder, Modality
from genai.modalities.image import Image, moments
from genai.modalities.video_dataset import ClipLayout, PackedVideo

Rate = Annotated[float, Ge(0.01), Le(240)]
Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True)
class VideoOptions:
    """What a request for clips may say.

    Attributes:
        frames: of a sample, those of ``init`` among them; where it is not said, as many as a training clip has, and at
            least half as many that are new.
        fps: frames a second; the model's own where it is not said.
        last: an image file, the frame that a sample ends with.
        format: of the files; apng and webp keep every pixel.
    """

    frames: Annotated[int, Ge(1), Le(100_000)] | None = None
    fps: Rate | None = None
    last: FileName | None = None
    format: Literal["mp4", "webm", "apng", "webp"] | None = None


class Video(Modality):
    """Clips of one size and frame rate.

    Args:
        size: of a side, in pixels.
        frames: of a window, which the network sees at once.
        fps: frames a second.
        channels: 1 (grey) or 3 (RGB).
        resize: how a frame becomes a square: ``crop`` keeps its middle, ``pad`` adds white, ``stretch`` distorts.
        stills, sparse: shares of the training batches that are of single frames, and of ``keyframes`` from all of a
            window.
        keyframes: so few frames, by which the way of things is learnt, and which are made first.
    """

    media = Clip
    kin = ("genai.modalities.image.Image",)
    Options = VideoOptions

    def __init__(
        self,
        size: Annotated[int, Ge(4), Le(4096)] = 32,
        frames: Annotated[int, Ge(2), Le(1024)] = 16,
        fps: Rate = 8.0,
        channels: Literal[1, 3] = 3,
        resize: Literal["crop", "pad", "stretch"] = "crop",
        stills: Share = 0.4,
        sparse: Share = 0.3,
        keyframes: Annotated[int, Ge(1), Le(1024)] = 4,
    ) -> None:
        self.image = Image(size, channels, resize=resize)
        if stills + sparse > 1:
            raise ValueError(f"stills={stills:g} and sparse={sparse:g} are shares of the same batches: more than all")
        self.frames, self.fps, self.keyframes, self.stills, self.sparse = frames, fps, keyframes, stills, sparse
        self.horizon = (frames - 1) / fps

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a frame."""
        return self.image.shape

    @property
    def layout(self) -> ClipLayout:
        """How its data set stores clips and cuts them into examples."""
        return ClipLayout(self.shape, self.frames, self.fps, self.stills, self.sparse, self.keyframes)

    @property
    def interface(self) -> dict[str, Any]:
        return {
            **self.image.interface,
            "frames": self.frames,
            "keyframes": self.keyframes,
            "horizon": self.horizon,
        }

    def fit(self, split: Split, cache: Path) -> None:
        """Mean and standard deviation as of images; and the latest time that is trained on, in seconds."""
        packed = self.pack(split, cache)
        self.image.mean, self.image.std = moments(packed.pixels)
        longest = int(packed.lengths.max())
        self.horizon = (max(longest, self.frames) - 1) / self.fps

    def state(self) -> dict[str, Any]:
        return {**self.image.state(), "horizon": self.horizon}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.image.restore(state)
        self.horizon = float(state.get("horizon", self.horizon))

    def encode(self, media: Any) -> Tensor:
        """(time, channels, height, width) uint8 of a clip of any size and rate."""
        return self._encode(media, self.fps)

    def _encode(self, media: Any, fps: float) -> Tensor:
        return torch.stack([self.image.encode(Picture(frame)) for frame in media.at(fps).frames])

    def decode(self, x: Tensor) -> Clip:
        return Clip(x.permute(0, 2, 3, 1).contiguous().numpy(), self.fps)

    def decoder(self, given: Tensor | None, options: VideoOptions) -> Decoder:
        return VideoDecoder(self, given, options)

    def check_sound(self, options: VideoOptions) -> None:
        if (suffix := _suffix(options)) not in SOUNDING:
            raise UserError(f"sound=: a {suffix} file has no place for a sound. Take format=mp4 or format=webm.")

    def pack(self, split: Split, cache: Path) -> PackedVideo:
        key = cache_key(split.fingerprint, "video", self.shape, self.image.resize, self.fps)

        def write(path: Path) -> None:
            about: dict[str, list[Any]] = {"lengths": [], "prompts": []}
            with path.open("wb") as file:
                for example in track_progress(split, f"reading clips ({split.name})", len(split)):
                    frames = self.encode(example.media)
                    file.write(frames.numpy().tobytes())
                    about["lengths"].append(len(frames))
                    about["prompts"].append(example.prompt)
            cached_file(cache / f"{key}.json", lambda beside: write_json(beside, about))

        return PackedVideo(cached_file(cache / f"{key}.u1", write), self.layout)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: VideoOptions) -> Request:
        """The frames of ``init`` come first, and stay as they are. Raises ``UserError`` where none would be new."""
        fps = options.fps or self.fps
        given = None if init is None else self._encode(init, fps)
        count = 0 if given is None else len(given)
        frames = options.frames or max(self.frames, count + self.frames // 2)
        held = count + (options.last is not None)
        if held >= frames:
            raise UserError(f"frames={frames} counts the frames of init= and last=, {held}: ask for more.")
        x, known = torch.zeros(frames, *self.shape, dtype=torch.uint8), torch.zeros(frames, 1, 1, 1, dtype=torch.bool)
        if given is not None:
            x[:count], known[:count] = given, True
        if options.last is not None:
            last = Clip.read(Path(options.last).expanduser())
            x[-1], known[-1] = self.image.encode(Picture(last.frames[-1])), True
        seconds = torch.arange(frames)[:, None] / fps
        rows = len(prompts)
        some = bool(known.any())
        return Request(
            prompts,
            seeds,
            (frames, *self.shape),
            init=[x] * rows if some else None,
            known=[known.expand_as(x)] * rows if some else None,
            local=[seconds] * rows,
        )

    def preview_prompts(self, split: Split) -> list[str]:
        """Eight different prompts of held-out clips."""
        return self.image.preview_prompts(split)

    def show(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """All clips side by side as one picture that moves, and a strip of frames of each."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        data = animated(samples)
        width, height = Pillow.open(io.BytesIO(data)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
        writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)
        writer.add_image(f"{tag}-strips", self.sheet(samples).pixels, step, dataformats="HWC")

    def sheet(self, samples: Sequence[tuple[str, Any]]) -> Picture:
        return filmstrip(samples)


class VideoDecoder:
    """Each push is the whole clip as it is so far."""

    done = False

    def __init__(self, video: Video, given: Tensor | None, options: VideoOptions) -> None:
        self.video, self.fps = video, options.fps or video.fps
        self.suffix = _suffix(options)
        self.given = self._clip(torch.zeros(0, *video.shape, dtype=torch.uint8))
        self.newest = self.given if given is None else self._clip(given)

    def push(self, start: int, x: Tensor) -> Clip:
        self.newest = self._clip(x)
        return self.newest

    def result(self) -> Clip:
        return self.newest

    def _clip(self, x: Tensor) -> Clip:
        frames = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
        return Clip(frames, self.fps, suffix=self.suffix)


def _suffix(options: VideoOptions) -> str:
    return {"apng": ".png", None: best_suffix()}.get(options.format, f".{options.format}")
