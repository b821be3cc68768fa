"""The video modality: clips as uint8 tensors of one size and frame rate."""

import io
from collections.abc import Mapping
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
from genai.core.instantiate import validate_value
from genai.media.base import FileName
from genai.media.clip import SUFFIXES_WITH_SOUND, Clip, best_suffix
from genai.media.filmstrip import animated_contact_sheet, filmstrip
from genai.media.picture import Picture
from genai.modalities.base import Decoder, Modality
from genai.modalities.image import Image
from genai.modalities.packed_captions import pack_prompt
from genai.modalities.preview import Preview, PromptSamples
from genai.modalities.video_dataset import ClipLayout, PackedVideo
from genai.trust.watermarks.clips import add_to_clip
from genai.trust.watermarks.key import read_key

FrameRate = Annotated[float, Ge(0.01), Le(240)]
Probability = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Ge(0), Le(1e7)]


@dataclass(frozen=True)
class VideoOptions:
    """Options of a request for clips.

    Attributes:
        frames: number of frames of a sample, including those of ``init``. Default: one window, or more if needed to add
            half a window to ``init``.
        fps: frames per second. Default: those of the model.
        last: an image file, the last frame of the sample.
        format: of the files; apng and webp are lossless.
        watermark: change pixels, also those of ``init``, so that ``genai verify`` finds a watermark.
    """

    frames: Annotated[int, Ge(1), Le(100_000)] | None = None
    fps: FrameRate | None = None
    last: FileName | None = None
    format: Literal["mp4", "webm", "apng", "webp"] | None = None
    watermark: bool = False


class Video(Modality):
    """Clips of one size and frame rate.

    Args:
        size: side of the square frames in pixels.
        frames: number of frames in a window, which the network processes at once.
        fps: frames per second.
        channels: 1 (gray) or 3 (RGB).
        resize: how frames of other shapes are fitted: ``crop`` keeps the middle, ``pad`` adds white, ``stretch``
            distorts.
        stills: fraction of the training batches that consist of single frames.
        sparse: fraction of the training batches that consist of ``keyframes`` frames from anywhere in a window.
        keyframes: number of frames in a sparse example, which teach motion over a whole window; sampling generates as
            many frames first.
        codec: what the network works on: ``None`` for pixels, ``pca`` for coefficients of the patches of 8 x 8 pixels
            of each frame; ``auto``: pixels.
    """

    media = Clip
    compatible_modalities = ("genai.modalities.image.Image",)
    Options = VideoOptions
    size_options = ("size", "frames")

    def __init__(
        self,
        size: Annotated[int, Ge(4), Le(4096)] = 32,
        frames: Annotated[int, Ge(2), Le(1024)] = 16,
        fps: FrameRate = 8.0,
        channels: Literal[1, 3] = 3,
        resize: Literal["crop", "pad", "stretch"] = "crop",
        stills: Probability = 0.4,
        sparse: Probability = 0.3,
        keyframes: Annotated[int, Ge(1), Le(1024)] = 4,
        codec: Literal["auto", "pca"] | None = None,
    ) -> None:
        self.image = Image(size, channels, resize=resize, codec="pca" if codec == "pca" else None)
        self.codec = self.image.codec
        if stills + sparse > 1:
            raise ValueError(
                f"stills={stills:g} and sparse={sparse:g} are fractions of all batches: more than 1 in sum"
            )
        self.frames, self.fps, self.keyframes, self.stills, self.sparse = frames, fps, keyframes, stills, sparse
        self.horizon = (frames - 1) / fps

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a frame."""
        return self.image.shape

    @property
    def description(self) -> str:
        return f"{self.frames} frames of {self.image.description}, {self.fps:g} a second"

    @property
    def fitting(self) -> str:
        return f"{self.image.fitting}, other frame rates change"

    @property
    def layout(self) -> ClipLayout:
        """How ``PackedVideo`` stores clips and cuts them into examples."""
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
        """Compute what ``Image.fit`` does from all frames, and the latest time of a training frame in seconds."""
        packed = self.pack(split, cache)
        self.image.fit_pixels(packed.pixels)
        max_length = int(packed.lengths.max())
        self.horizon = (max(max_length, self.frames) - 1) / self.fps

    def state(self) -> dict[str, Any]:
        return {**self.image.state(), "horizon": self.horizon}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.image.restore(state)
        self.horizon = validate_value(state.get("horizon", self.horizon), Seconds, "horizon")

    def encode(self, media: Any) -> Tensor:
        """Convert a clip of any size and frame rate to (time, channels, height, width) uint8."""
        return self._encode(media, self.fps)

    def _encode(self, media: Any, fps: float) -> Tensor:
        return torch.stack([self.image.encode(Picture(frame)) for frame in media.resample(fps).frames])

    def decode(self, x: Tensor) -> Clip:
        return Clip(x.permute(0, 2, 3, 1).contiguous().numpy(), self.fps)

    def decoder(self, init: Tensor | None, options: VideoOptions) -> Decoder:
        return VideoDecoder(self, init, options)

    def check_soundtrack(self, options: VideoOptions) -> None:
        if (suffix := _suffix(options)) not in SUFFIXES_WITH_SOUND:
            raise UserError(f"soundtrack=: a {suffix} file cannot hold sound. Use format=mp4 or format=webm.")

    def pack(self, split: Split, cache: Path) -> PackedVideo:
        key = cache_key(split.content_hash, "video", 2, self.shape, self.image.resize, self.fps)

        def write(path: Path) -> None:
            index: dict[str, list[Any]] = {"lengths": [], "prompts": []}
            with path.open("wb") as file:
                for example in track_progress(split, f"reading clips ({split.name})", len(split)):
                    frames = self.encode(example.media)
                    file.write(frames.numpy().tobytes())
                    index["lengths"].append(len(frames))
                    index["prompts"].append(pack_prompt(example))
            write_json(path.with_suffix(".json"), index)

        return PackedVideo(cached_file(cache / f"{key}.u1", write, ".json"), self.layout)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: VideoOptions) -> Request:
        """Build a request that keeps the frames of ``init`` at the beginning unchanged.

        Raises:
            UserError: no frames would be left to generate.
        """
        fps = options.fps or self.fps
        init_frames = None if init is None else self._encode(init, fps)
        count = 0 if init_frames is None else len(init_frames)
        frames = options.frames or max(self.frames, count + self.frames // 2)
        fixed = count + (options.last is not None)
        if fixed >= frames:
            raise UserError(f"frames={frames} includes the {fixed} frames of init= and last=: give a larger number.")
        x, mask = torch.zeros(frames, *self.shape, dtype=torch.uint8), torch.zeros(frames, 1, 1, 1, dtype=torch.bool)
        if init_frames is not None:
            x[:count], mask[:count] = init_frames, True
        if options.last is not None:
            last = Clip.read(Path(options.last).expanduser())
            x[-1], mask[-1] = self.image.encode(Picture(last.frames[-1])), True
        seconds = torch.arange(frames)[:, None] / fps
        rows = len(prompts)
        return Request(
            prompts,
            seeds,
            (frames, *self.shape),
            init=[x] * rows if fixed else None,
            init_mask=[mask.expand_as(x)] * rows if fixed else None,
            local=[seconds] * rows,
        )

    def request_notes(self, init: Any, options: VideoOptions) -> list[str]:
        """Return a note about how the frames of ``init`` are fitted."""
        if init is None:
            return []
        height, width = init.frames.shape[1:3]
        note = self.image.fitting_note((width, height))
        return [note] if note else []

    def preview(self) -> Preview:
        return VideoPreview()


class VideoPreview(Preview):
    """Presents clips: as strips of frames, and in TensorBoard as an animation too."""

    def contact_sheet(self, samples: PromptSamples) -> Picture:
        return filmstrip(samples)

    def log(self, writer: Any, tag: str, samples: PromptSamples, step: int) -> None:
        """Log one animation of all clips side by side, and a strip of frames of each."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        data = animated_contact_sheet(samples)
        width, height = Pillow.open(io.BytesIO(data)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
        writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)
        super().log(writer, f"{tag}-strips", samples, step)


class VideoDecoder:
    """A ``Decoder`` whose ``push`` returns the whole clip so far."""

    done = False

    def __init__(self, video: Video, init: Tensor | None, options: VideoOptions) -> None:
        self.video, self.fps = video, options.fps or video.fps
        self.suffix = _suffix(options)
        self.key = read_key() if options.watermark else None
        self.initial = self._clip(torch.zeros(0, *video.shape, dtype=torch.uint8))
        self.latest = self.initial if init is None else self._clip(init)

    def push(self, start: int, x: Tensor) -> Clip:
        self.latest = self._clip(x)
        return self.latest

    def result(self) -> Clip:
        return add_to_clip(self.latest, self.key) if self.key else self.latest

    def _clip(self, x: Tensor) -> Clip:
        frames = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
        return Clip(frames, self.fps, suffix=self.suffix)


def _suffix(options: VideoOptions) -> str:
    return {"apng": ".png", None: best_suffix()}.get(options.format, f".{options.format}")
