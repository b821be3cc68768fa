"""Packed recordings with the frames of a vocoder, in memory-mapped files, and crops of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from genai.core.batch import Batch
from genai.core.cache import track_progress, write_json
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.packed_captions import PackedCaptions, pack_prompt
from genai.speech.frame_cache import cached_frames
from genai.speech.loudness import normalize_loudness
from genai.speech.recordings import MIN_SECONDS
from genai.speech.voice_frames import COLUMNS, FRAME_SECONDS

VALIDATION_FRAMES = 400
"""Frames of a held-out recording that are compared, from its begin."""


class PackedVocoderAudio(MemmapDataset):
    """Recordings as 16-bit samples, and their frames. A training example is a crop.

    Args:
        path: of the samples.
        hop_length: samples per frame.
        crop: frames per training example.
    """

    def __init__(self, path: Path, hop_length: int, crop: int) -> None:
        super().__init__(path, hop_length, crop)
        self.hop_length, self.crop, index = hop_length, crop, self.read_index()
        self.samples, self.frames = self.memmap(np.int16), self.memmap(np.float32, (COLUMNS,), ".f4")
        self.lengths = np.array(index["lengths"], np.int64)  # in frames; samples are padded to whole ones
        self.starts = self.lengths.cumsum() - self.lengths
        self.prompts = PackedCaptions(index["prompts"])

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch: ``x`` (batch, time) from -1 to 1, ``local`` (batch, frames, ``COLUMNS``)."""
        lengths, starts = self.lengths[list(indices)], self.starts[list(indices)]
        count = int(min(lengths.max(), VALIDATION_FRAMES)) if random is None else self.crop
        offsets = np.zeros(len(indices), np.int64)
        if random is not None:
            free = (lengths - count).clip(0) + 1
            offsets = (random.uniform(purpose="crop")[:, 0] * free).astype(np.int64)
        places = offsets[:, None] + np.arange(count)  # (B, count)
        inside = places < lengths[:, None]
        rows = starts[:, None] + np.minimum(places, lengths[:, None] - 1)
        frames = self.frames[rows]  # (B, count, COLUMNS); past the end the last frame goes on, which is not heard
        samples = self.samples.reshape(-1, self.hop_length)[rows] * inside[..., None]  # (B, count, hop)
        valid = np.repeat(inside, self.hop_length, 1)
        return Batch(
            torch.from_numpy(samples.reshape(len(indices), -1).astype(np.float32) / 32_768),
            self.prompts.draw(indices, random),
            valid=None if valid.all() else torch.from_numpy(valid),
            local=torch.from_numpy(frames),
        )


def write_vocoder_audio(split: Split, sample_rate: int, max_seconds: float, cache: Path, path: Path) -> None:
    """Write the samples of ``split`` to ``path``, and the other files of ``PackedVocoderAudio`` beside it.

    Raises:
        UserError: no recording has a length between ``MIN_SECONDS`` and ``max_seconds``.
    """
    lengths, prompts, hop_length = [], [], round(FRAME_SECONDS * sample_rate)
    with path.open("wb") as file, path.with_suffix(".f4").open("wb") as frame_file:
        for example in track_progress(split, f"analyzing sounds ({split.name})", len(split)):
            if not MIN_SECONDS <= example.media.seconds <= max_seconds:
                continue
            samples = normalize_loudness(example.media.resample(sample_rate).samples, sample_rate)
            sound = Sound(samples, sample_rate)
            rows = cached_frames(sound, cache).to_rows()
            file.write(np.pad(sound.pcm, (0, len(rows) * hop_length - len(sound.pcm))).tobytes())
            frame_file.write(rows.tobytes())
            lengths.append(len(rows))
            prompts.append(pack_prompt(example))
    if not lengths:
        raise UserError(
            f"data: no recording of the split '{split.name}' has {MIN_SECONDS:g} to {max_seconds:g} seconds."
        )
    write_json(path.with_suffix(".json"), {"lengths": lengths, "prompts": prompts})
