"""Many sounds as one memory-mapped row of samples, and batches of crops of them."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.cache import cached_file, track_progress, write_json
from genai.core.data import Example, ItemRandom, PromptFeatures, Split
from genai.core.errors import UserError
from genai.modalities.visual_onsets import VisualOnsets

LONGEST = 400
"""Frames of an item: a longer clip is several."""


@dataclass(frozen=True)
class Place:
    """Where a clip lies in the packed samples, and in the frames of all clips; and its prompt."""

    start: int
    frame: int
    length: int
    prompt: str


@dataclass(frozen=True)
class SoundLayout:
    """How sounds are stored and cut into training examples.

    Attributes:
        rate, hop: samples a second, samples a frame.
        levels: (65_536,), the class of every 16-bit sample, -32_768 first; ``None``: the waveform itself.
        crop: frames of a training example.
        score: features of a prompt along time.
        sight: features of a clip along time.
    """

    rate: int
    hop: int
    levels: NDArray[Any] | None
    crop: int
    score: PromptFeatures | None
    sight: VisualOnsets | None

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        """(count, features) of what the prompt says about time."""
        return self.score.frames(prompt, count) if self.score else np.zeros((count, 0), np.float32)


class PackedAudio:
    """A split as one memory-mapped row of 16-bit samples.

    Item ``i`` is a clip, or ``LONGEST`` frames of one. For validation it is whole, and padded; in training a crop of
    ``SoundLayout.crop`` frames of it, which begins as often at the item's beginning as if it could begin before it:
    onsets there would hardly be learnt otherwise. Without classes it begins anywhere, and runs on into the next clips: what
    mends a sound must not rely on where a recording begins and ends.
    """

    def __init__(self, path: Path, layout: SoundLayout) -> None:
        self.path, self.layout = path, layout
        self.samples: NDArray[Any] = np.memmap(path, np.int16, "r")
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        lengths = np.array(about["lengths"], np.int64)
        frames = -(-lengths // layout.hop)
        places = zip(lengths.cumsum() - lengths, frames.cumsum() - frames, lengths, strict=True)
        self.clips = [
            Place(int(start), int(frame), int(length), prompt)
            for (start, frame, length), prompt in zip(places, about["prompts"], strict=True)
        ]
        self.loudness: NDArray[Any] = np.memmap(path.with_suffix(".f8"), np.float64, "r")  # summed up to each frame
        longest = LONGEST * layout.hop
        self.items = [(clip, at) for clip in self.clips for at in range(0, clip.length, longest)]
        self.whole = min(longest, max(clip.length for clip in self.clips))
        self._frames = lru_cache(maxsize=8192)(layout.frames)
        self.seen: NDArray[Any] = np.zeros((int(frames.sum()), 0), np.float16)  # of all clips that are watched
        if layout.sight:
            self.seen = np.memmap(path.with_suffix(".f2"), np.float16, "r").reshape(-1, layout.sight.features)

    def __len__(self) -> int:
        return len(self.items)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "layout": self.layout}  # a worker process maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """``x``: (batch, time + 1) classes, of which ``x[:, 1:]`` are targets; or (batch, time) samples.

        ``local``: (batch, frames, features); ``span``: (batch, 2).
        """
        hop, chosen = self.layout.hop, [self.items[index] for index in indices]
        frames = self.layout.crop if random is not None else -(-self.whole // hop)
        lengths = ends = np.array([clip.length for clip, _ in chosen])
        begins = np.array([at for _, at in chosen])
        if random is not None and self.layout.levels is None:  # on into the next clips
            begins = np.floor(random.uniform(purpose="crop")[:, 0] * lengths).astype(int)
            ends = np.array([len(self.samples) - clip.start for clip, _ in chosen])
        elif random is not None:
            spare = np.array([-(-(clip.length - at) // hop) - frames for clip, at in chosen]).clip(0, LONGEST - frames)
            candidates = 4 if self.layout.sight else 2  # a soundtrack is mostly silence
            drawn = np.floor(random.uniform(candidates, "crop") * (spare + frames + 1)[:, None]).astype(int) - frames
            begins += self._louder(chosen, drawn.clip(0)) * hop
        first = begins // hop
        totals = -(-lengths // hop)
        at = begins[:, None] + np.arange(-1 if self.layout.levels is not None else 0, frames * hop)
        inside = (at >= 0) & (at < ends[:, None])
        valid = inside[:, 1:] if self.layout.levels is not None else inside
        place = np.array([clip.start for clip, _ in chosen])[:, None] + at
        samples = np.where(inside, self.samples[np.where(inside, place, 0)], 0)
        spans = [(clip, int(f), int(total)) for (clip, _), f, total in zip(chosen, first, totals, strict=True)]
        local = [self._local(clip, f, f + frames, total) for clip, f, total in spans]
        return Batch(
            torch.from_numpy(self._values(samples)),
            [clip.prompt for clip, _ in chosen],
            valid=None if valid.all() else torch.from_numpy(valid),
            local=torch.from_numpy(np.stack(local)),
            span=torch.from_numpy(np.stack([first, totals], 1)),
        )

    def _local(self, clip: Place, first: int, end: int, total: int) -> NDArray[np.float32]:
        """(end - first, features) of frames of a clip that has ``total``; nothing is to be seen behind it."""
        seen = self.seen[clip.frame + min(first, total) : clip.frame + min(end, total)].astype(np.float32)
        score = self._frames(clip.prompt, max(total, end))[first:end]
        return np.concatenate([score, np.pad(seen, ((0, end - first - len(seen)), (0, 0)))], 1)

    def _louder(self, chosen: Sequence[tuple[Place, int]], drawn: NDArray[Any]) -> NDArray[Any]:
        """(batch,) of ``drawn`` (batch, candidates), frames after the begin of an item: where more is to be heard."""
        hop, crop = self.layout.hop, self.layout.crop
        starts = np.array([clip.frame + at // hop for clip, at in chosen])[:, None] + drawn
        heard = self.loudness[np.minimum(starts + crop, len(self.loudness) - 1)] - self.loudness[starts]
        return np.take_along_axis(drawn, heard.argmax(1)[:, None], 1)[:, 0]

    def _values(self, samples: NDArray[Any]) -> NDArray[Any]:
        if self.layout.levels is None:
            return samples.astype(np.float32) / np.float32(32_768)
        return self.layout.levels[samples.astype(np.int32) + 32_768]


def loudness_of(pcm: NDArray[np.int16], hop: int) -> NDArray[np.float64]:
    """(frames,): the root mean square of each frame."""
    padded = np.pad(pcm.astype(np.float64), (0, -len(pcm) % hop)).reshape(-1, hop)
    return np.sqrt(np.square(padded).mean(1))


def write(split: Split, layout: SoundLayout, path: Path, temporary: Path) -> None:
    """Put the samples of ``split`` into ``temporary``, and what else ``PackedAudio`` wants beside ``path``."""
    about: dict[str, list[Any]] = {"lengths": [], "prompts": []}
    loudness = [np.zeros(1)]
    seen = temporary.with_suffix(".f2")
    with ExitStack() as opened:
        opened.callback(seen.unlink, missing_ok=True)
        file = opened.enter_context(temporary.open("wb"))
        features = opened.enter_context(seen.open("wb")) if layout.sight else None
        for example in track_progress(split, f"reading sounds ({split.name})", len(split)):
            pcm = example.media.at(layout.rate).pcm
            file.write(pcm.tobytes())
            loudness.append(loudness_of(pcm, layout.hop))
            about["lengths"].append(len(pcm))
            about["prompts"].append(example.prompt)
            if layout.sight and features:
                features.write(layout.sight.frames(_clip(example), len(loudness[-1])).astype(np.float16).tobytes())
        if features:
            features.close()
            seen.replace(path.with_suffix(".f2"))
    cached_file(path.with_suffix(".json"), lambda beside: write_json(beside, about))
    cached_file(path.with_suffix(".f8"), lambda beside: np.concatenate(loudness).cumsum().tofile(beside))


def _clip(example: Example) -> Any:
    """The clip beside a sound. Raises ``UserError`` where there is none."""
    if example.beside is None:
        raise UserError(
            "modality.sight is for sounds that go along with clips; in these data there are none beside them."
        )
    return example.beside
