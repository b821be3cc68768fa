"""Packed recordings of speech: frames and phones with durations, in memory-mapped files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.cache import track_progress, write_json
from genai.core.data import ItemRandom
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.packed_captions import PackedCaptions
from genai.speech.batch import FEATURES, PROSODY, SpeechBatch

MAX_SEGMENT_FRAMES, MIN_CUT_FRAMES = 400, 8
"""Longer recordings are cut at pauses, as sentences are; shortest pause that is cut, in frames."""
PHONE_COLUMNS = 5
"""Stored numbers of a phone: its row of ``SpeechBatch.phones``, its duration, whether the duration is learned."""


@dataclass(frozen=True, eq=False)
class SpeechSegment:
    """A recording, or a part of it between pauses.

    Attributes:
        text: what is said in the whole recording.
        frames: (frames, ``FEATURES``), normalized.
        phones: (phones, ``PHONE_COLUMNS``) int64.
        prosody: (phones, ``PROSODY``).
        speaker, language: their numbers.
    """

    text: str
    frames: NDArray[np.float32]
    phones: NDArray[np.int64]
    prosody: NDArray[np.float32]
    speaker: int
    language: int

    def cut(self, is_end: NDArray[np.bool_]) -> "Iterator[SpeechSegment]":
        """Yield parts of at most ``MAX_SEGMENT_FRAMES``, where pauses allow it; each half of a pause goes to one side.

        Args:
            is_end: (phones,), True for pauses between sentences, which are always cut.
        """
        durations = self.phones[:, 3]
        inner = np.arange(len(durations))
        is_pause = (self.phones[:, 0] == 0) & (durations >= MIN_CUT_FRAMES)
        is_pause &= (inner > 0) & (inner < len(inner) - 1)
        ends = is_pause & is_end
        if len(self.frames) > MAX_SEGMENT_FRAMES and not ends.any():
            middle = durations.cumsum() - durations / 2
            distance = np.abs(middle - len(self.frames) / 2)
            ends[np.where(is_pause, distance, np.inf).argmin()] = is_pause.any()
        if not ends.any():
            yield self
            return
        at = int(np.flatnonzero(ends)[0])
        first, second = self.phones[: at + 1].copy(), self.phones[at:].copy()
        first[-1, 3] = durations[at] // 2
        second[0, 3] = durations[at] - durations[at] // 2
        first[-1, 4] = second[0, 4] = 0
        frame = int(first[:, 3].sum())
        for phones, frames, prosody, is_last in (
            (first, self.frames[:frame], self.prosody[: at + 1], is_end[: at + 1]),
            (second, self.frames[frame:], self.prosody[at:], is_end[at:]),
        ):
            yield from SpeechSegment(self.text, frames, phones, prosody, self.speaker, self.language).cut(is_last)


class PackedSpeech(MemmapDataset):
    """Pieces of recordings as memory-mapped arrays of frames, of phones, and of the prosody of words."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        index = self.read_index()
        self.frames = self.memmap(np.float32, (FEATURES,))
        self.phones = self.memmap(np.int32, (PHONE_COLUMNS,), ".i4")
        self.phone_prosody = self.memmap(np.float32, (PROSODY,), ".p4")
        self.frame_ends, self.phone_ends = np.array(index["frame_ends"]), np.array(index["phone_ends"])
        self.speakers, self.languages = index["speakers"], index["languages"]
        self.prompts = PackedCaptions(index["texts"])
        self.dropped: list[str] = index["dropped"]

    def __len__(self) -> int:
        return len(self.speakers)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> SpeechBatch:
        """Return whole segments, padded."""
        frames = [self.frames[_rows(self.frame_ends, index)] for index in indices]
        phones = [self.phones[_rows(self.phone_ends, index)] for index in indices]
        prosody = [self.phone_prosody[_rows(self.phone_ends, index)] for index in indices]
        rows = _pad(phones, -1).long()
        valid = torch.arange(max(map(len, frames)))[None] < torch.tensor([len(each) for each in frames])[:, None]
        return SpeechBatch(
            _pad(frames, 0),
            [self.prompts[index] for index in indices],
            valid=valid,
            phones=rows[..., :3],
            durations=rows[..., 3].clamp(min=0),
            is_timed=rows[..., 4] > 0,
            prosody=_pad(prosody, 0),
            speakers=torch.tensor([self.speakers[index] for index in indices]),
            languages=torch.tensor([self.languages[index] for index in indices]),
        )


def write_packed_speech(
    segments: Iterator[SpeechSegment], dropped: Sequence[str], total: int, label: str, path: Path
) -> None:
    """Write segments to ``path``, and the other files of ``PackedSpeech`` beside it.

    Args:
        segments: of the recordings that are used.
        dropped: texts of those that are not, as they do not fit their text.
        total: number of segments, approximately.
        label: of the progress bar.
        path: of the frames.
    """
    index: dict[str, Any] = {"dropped": list(dropped), "texts": [], "speakers": [], "languages": []}
    frame_ends, phone_ends = [0], [0]
    with (
        path.open("wb") as frames,
        path.with_suffix(".i4").open("wb") as phones,
        path.with_suffix(".p4").open("wb") as prosody,
    ):
        for segment in track_progress(segments, label, total):
            frames.write(np.ascontiguousarray(segment.frames, np.float32).tobytes())
            phones.write(segment.phones.astype(np.int32).tobytes())
            prosody.write(segment.prosody.astype(np.float32).tobytes())
            frame_ends.append(frame_ends[-1] + len(segment.frames))
            phone_ends.append(phone_ends[-1] + len(segment.phones))
            index["texts"].append(segment.text)
            index["speakers"].append(segment.speaker)
            index["languages"].append(segment.language)
    write_json(path.with_suffix(".json"), {**index, "frame_ends": frame_ends[1:], "phone_ends": phone_ends[1:]})


def _rows(ends: NDArray[np.int64], index: int) -> slice:
    return slice(int(ends[index - 1]) if index else 0, int(ends[index]))


def _pad(arrays: Sequence[NDArray[Any]], value: float) -> torch.Tensor:
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
