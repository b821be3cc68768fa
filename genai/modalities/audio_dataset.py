"""Packed data sets of sounds: one memory-mapped array of samples, and batches of random crops."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.cache import track_progress, write_json
from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.core.prompt_features import PromptFeatures
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.packed_captions import PackedCaptions, pack_prompt
from genai.modalities.visual_onsets import VisualOnsets

MAX_ITEM_FRAMES = 400
"""Frames per item; longer sounds are split into several items."""
MAX_FEATURE_BYTES = 2**28
"""Memory for features of prompts, for each packed data set in each process that loads batches."""


@dataclass(frozen=True)
class PackedSound:
    """The position of a sound in the packed data set.

    Attributes:
        start, length: its first sample, and number of samples.
        first_frame: its first frame in the arrays of all frames.
    """

    start: int
    first_frame: int
    length: int


@dataclass(frozen=True)
class SoundLayout:
    """How sounds are stored and cut into training examples.

    Attributes:
        sample_rate, hop_length: samples per second, and per frame.
        levels: (65_536,), the class of every 16-bit sample, from -32_768 up; ``None``: waveforms.
        crop: frames per training example.
        prompt_features: time-aligned features of a prompt.
        clip_features: time-aligned features of a clip.
    """

    sample_rate: int
    hop_length: int
    levels: NDArray[Any] | None
    crop: int
    prompt_features: PromptFeatures | None
    clip_features: VisualOnsets | None

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        """Return the features of a prompt for ``count`` frames: (count, features)."""
        return self.prompt_features.frames(prompt, count) if self.prompt_features else np.zeros((count, 0), np.float32)

    def words(self, prompts: Sequence[str]) -> list[str]:
        """Return the prompts without what their features say."""
        return [self.prompt_features.words(prompt) for prompt in prompts] if self.prompt_features else list(prompts)


class PromptFrames:
    """The features of a prompt, kept for those that were used last."""

    def __init__(self, layout: SoundLayout) -> None:
        self.layout, self.num_bytes = layout, 0
        self.arrays: OrderedDict[tuple[str, int], NDArray[np.float32]] = OrderedDict()

    def __call__(self, prompt: str, count: int) -> NDArray[np.float32]:
        """Return the features of the first ``count`` frames: (count, features)."""
        key = prompt, count
        if key in self.arrays:
            self.arrays.move_to_end(key)
            return self.arrays[key]
        frames = self.arrays[key] = self.layout.frames(prompt, count)
        self.num_bytes += frames.nbytes
        while self.num_bytes > MAX_FEATURE_BYTES and len(self.arrays) > 1:
            self.num_bytes -= self.arrays.popitem(last=False)[1].nbytes
        return frames


class PackedAudio(MemmapDataset):
    """A split as one memory-mapped array of 16-bit samples.

    An item is a sound, or ``MAX_ITEM_FRAMES`` frames of a longer one. For validation it is whole, and padded. In
    training it is a crop of ``SoundLayout.crop`` frames. The start of the crop is drawn as if it could lie before the
    start of the item, and then clipped: otherwise onsets at the start would hardly be learned. Without classes a crop
    starts anywhere and continues into the next sounds, since an enhancer must not rely on where a recording starts and
    ends.
    """

    def __init__(self, path: Path, layout: SoundLayout) -> None:
        super().__init__(path, layout)
        self.layout, self.samples, index = layout, self.memmap(np.int16), self.read_index()
        lengths = np.array(index["lengths"], np.int64)
        frames = -(-lengths // layout.hop_length)
        columns = zip(lengths.cumsum() - lengths, frames.cumsum() - frames, lengths, strict=True)
        self.sounds = [PackedSound(int(start), int(first_frame), int(length)) for start, first_frame, length in columns]
        self.loudness = self.memmap(np.float64, suffix=".f8")  # cumulative, per frame
        item_length = MAX_ITEM_FRAMES * layout.hop_length
        self.items = [(sound, begin) for sound in self.sounds for begin in range(0, sound.length, item_length)]
        self.prompts = PackedCaptions(
            prompt
            for sound, prompt in zip(self.sounds, index["prompts"], strict=True)
            for _ in range(0, sound.length, item_length)
        )
        self.max_length = min(item_length, max(sound.length for sound in self.sounds))
        self._prompt_frames = PromptFrames(layout)
        self.clip_frames: NDArray[Any] = np.zeros((int(frames.sum()), 0), np.float16)  # (frames, features)
        if layout.clip_features:
            self.clip_frames = self.memmap(np.float16, (layout.clip_features.features,), ".f2")

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch.

        Its ``x`` is (batch, time + 1) classes, of which ``x[:, 1:]`` are the targets, or (batch, time) samples;
        ``local`` is (batch, frames, features), ``span`` (batch, 2).
        """
        hop_length, items = self.layout.hop_length, [self.items[index] for index in indices]
        frames = self.layout.crop if random is not None else -(-self.max_length // hop_length)
        lengths = ends = np.array([sound.length for sound, _ in items])
        begins = np.array([begin for _, begin in items])
        if random is not None and self.layout.levels is None:  # continues into the next sounds
            begins = np.floor(random.uniform(purpose="crop")[:, 0] * lengths).astype(int)
            ends = np.array([len(self.samples) - sound.start for sound, _ in items])
        elif random is not None:
            extra_frames = np.array([-(-(sound.length - begin) // hop_length) - frames for sound, begin in items])
            extra_frames = extra_frames.clip(0, MAX_ITEM_FRAMES - frames)
            candidates = 4 if self.layout.clip_features else 2  # a soundtrack is mostly silence
            offsets = (
                np.floor(random.uniform(candidates, "crop") * (extra_frames + frames + 1)[:, None]).astype(int) - frames
            )
            begins += self._loudest_offset(items, offsets.clip(0)) * hop_length
        first = begins // hop_length
        totals = -(-lengths // hop_length)
        times = begins[:, None] + np.arange(-1 if self.layout.levels is not None else 0, frames * hop_length)
        inside = (times >= 0) & (times < ends[:, None])
        valid = inside[:, 1:] if self.layout.levels is not None else inside
        positions = np.array([sound.start for sound, _ in items])[:, None] + times
        samples = np.where(inside, self.samples[np.where(inside, positions, 0)], 0)
        prompts = self.prompts.draw(indices, random)
        local = [
            self._local(sound, prompt, int(begin), int(begin) + frames, int(total))
            for (sound, _), prompt, begin, total in zip(items, prompts, first, totals, strict=True)
        ]
        return Batch(
            torch.from_numpy(self._encode(samples)),
            self.layout.words(prompts),
            valid=None if valid.all() else torch.from_numpy(valid),
            local=torch.from_numpy(np.stack(local)),
            span=torch.from_numpy(np.stack([first, totals], 1)),
        )

    def _local(self, sound: PackedSound, prompt: str, begin: int, end: int, total: int) -> NDArray[np.float32]:
        """Return the features of frames ``begin`` to ``end`` of a sound that has ``total``: (end - begin, features)."""
        offset = sound.first_frame
        clip_frames = self.clip_frames[offset + min(begin, total) : offset + min(end, total)].astype(np.float32)
        padding = end - begin - len(clip_frames)
        prompt_frames = self._prompt_frames(prompt, max(total, end))[begin:end]
        return np.concatenate([prompt_frames, np.pad(clip_frames, ((0, padding), (0, 0)))], 1)

    def _loudest_offset(self, items: Sequence[tuple[PackedSound, int]], offsets: NDArray[Any]) -> NDArray[Any]:
        """Return the one of the ``offsets`` (batch, candidates), in frames, with the loudest crop of each item."""
        hop_length, crop = self.layout.hop_length, self.layout.crop
        starts = np.array([sound.first_frame + begin // hop_length for sound, begin in items])[:, None] + offsets
        loudness = self.loudness[np.minimum(starts + crop, len(self.loudness) - 1)] - self.loudness[starts]
        return np.take_along_axis(offsets, loudness.argmax(1)[:, None], 1)[:, 0]

    def _encode(self, samples: NDArray[Any]) -> NDArray[Any]:
        """Convert 16-bit samples to classes, or to float32 in [-1, 1]."""
        if self.layout.levels is None:
            return samples.astype(np.float32) / np.float32(32_768)
        return self.layout.levels[samples.astype(np.int32) + 32_768]


def frame_loudness(pcm: NDArray[np.int16], hop_length: int) -> NDArray[np.float64]:
    """Root mean square of each frame of 16-bit samples: (frames,)."""
    padded = np.pad(pcm.astype(np.float64), (0, -len(pcm) % hop_length)).reshape(-1, hop_length)
    return np.sqrt(np.square(padded).mean(1))


def write_packed_audio(split: Split, layout: SoundLayout, path: Path) -> None:
    """Write the samples of ``split`` to ``path``, and the other files of ``PackedAudio`` beside it."""
    index: dict[str, list[Any]] = {"lengths": [], "prompts": []}
    loudness = [np.zeros(1)]
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        clip_file = stack.enter_context(path.with_suffix(".f2").open("wb")) if layout.clip_features else None
        for example in track_progress(split, f"reading sounds ({split.name})", len(split)):
            pcm = example.media.resample(layout.sample_rate).pcm
            file.write(pcm.tobytes())
            loudness.append(frame_loudness(pcm, layout.hop_length))
            index["lengths"].append(len(pcm))
            index["prompts"].append(pack_prompt(example))
            if layout.clip_features and clip_file:
                clip_frames = layout.clip_features.frames(_clip(example), len(loudness[-1]))
                clip_file.write(clip_frames.astype(np.float16).tobytes())
    write_json(path.with_suffix(".json"), index)
    np.concatenate(loudness).cumsum().tofile(path.with_suffix(".f8"))


def _clip(example: Example) -> Any:
    """Return the clip that a sound belongs to. Raises ``UserError`` if there is none."""
    if example.conditioning is None:
        raise UserError("modality.clip_features needs sounds that belong to clips; these data have no clips.")
    return example.conditioning
