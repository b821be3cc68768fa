"""Recordings of a split as frames of a vocoder: one memory-mapped array, cached, as the analysis takes longest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai.core.cache import cache_key, cached_file, track_progress, write_json
from genai.core.data import Split
from genai.media.sound import Sound
from genai.speech.frame_cache import cached_frames
from genai.speech.loudness import normalize_loudness
from genai.speech.voice_frames import COLUMNS, VERSION, VoiceFrames

MIN_SECONDS = 0.2
"""Shorter recordings say nothing."""


@dataclass(frozen=True)
class Recordings:
    """The recordings of a split.

    Attributes:
        frames: (frames, ``COLUMNS``) of all, one after the other.
        ends: where each ends; one that is too long or too short has no frames.
        texts: what is said.
        speakers, languages: of each; "" where they are unknown.
    """

    frames: NDArray[np.float32]
    ends: Sequence[int]
    texts: Sequence[str]
    speakers: Sequence[str]
    languages: Sequence[str]

    def __len__(self) -> int:
        return len(self.ends)

    def voice(self, index: int) -> VoiceFrames:
        """Return the frames of a recording."""
        return VoiceFrames.from_rows(self.frames[self.ends[index - 1] if index else 0 : self.ends[index]])

    def length(self, index: int) -> int:
        """Return the number of frames of a recording."""
        return self.ends[index] - (self.ends[index - 1] if index else 0)


def read_recordings(split: Split, sample_rate: int, max_seconds: float, cache: Path) -> Recordings:
    """Analyze the recordings of a split, or read them from the cache. Raises ``UserError``."""
    key = cache_key(split.content_hash, "voice", VERSION, 2, sample_rate, max_seconds)

    def write(path: Path) -> None:
        write_recordings(split, sample_rate, max_seconds, cache, path)

    file = cached_file(cache / f"{key}.f4", write, ".json")
    index: dict[str, Any] = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    count = index["ends"][-1] if index["ends"] else 0
    frames = np.memmap(file, np.float32, "r").reshape(-1, COLUMNS) if count else np.zeros((0, COLUMNS), np.float32)
    return Recordings(frames, index["ends"], index["texts"], split.column("speaker"), split.column("language"))


def write_recordings(split: Split, sample_rate: int, max_seconds: float, cache: Path, path: Path) -> None:
    """Write the frames of all recordings to ``path``, and their ends and texts beside it."""
    ends, texts, end = [], [], 0
    with path.open("wb") as file:
        for example in track_progress(split, f"analyzing voices ({split.name})", len(split)):
            texts.append(example.prompt)
            if MIN_SECONDS <= example.media.seconds <= max_seconds:
                samples = example.media.resample(sample_rate).samples
                voice = cached_frames(Sound(normalize_loudness(samples, sample_rate), sample_rate), cache)
                file.write(voice.to_rows().tobytes())
                end += len(voice)
            ends.append(end)
        if not end:
            file.write(b"\0")  # an empty file cannot be mapped
    write_json(path.with_suffix(".json"), {"ends": ends, "texts": texts})
