"""Mel spectrograms of samples and of real clips, for metrics that compare sounds."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from genai.core.batch import Batch
from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.loader import validation_batches
from genai.core.progress import ProgressBar
from genai.metrics.base import EvalContext
from genai.modalities.audio import Audio

NUM_MELS = 32
MAX_HZ = 8000
"""Upper limit of the highest band; half the sample rate if that is lower."""
WINDOW_SECONDS = 0.025
"""Length of the analysis window, rounded up to a power of two of samples."""
DYNAMIC_RANGE_DB = 40.0
"""Range below the loudest point of a clip. The noise of mu-law companding lies below it."""
BATCH_SIZE = 32


class MelSpectrograms:
    """Power in mel bands, every 10 ms, of the first ``length`` samples of clips; shorter clips are padded with silence.

    Real clips are encoded and decoded by the modality, so that quantization affects samples and real clips alike.
    """

    def __init__(self, audio: Audio, length: int, device: torch.device) -> None:
        from torchaudio.transforms import MelSpectrogram

        size = max(256, 2 ** (round(WINDOW_SECONDS * audio.sample_rate) - 1).bit_length())
        self.audio, self.length, self.device = audio, max(length, size), device
        self.mel = MelSpectrogram(
            audio.sample_rate,
            size,
            hop_length=audio.hop_length,
            f_max=min(MAX_HZ, audio.sample_rate / 2),
            n_mels=NUM_MELS,
            center=False,
        )
        self.mel.to(device)

    def __call__(self, sounds: Sequence[Any]) -> Tensor:
        """Return (sounds, bands, frames)."""
        waves = [torch.from_numpy(sound.resample(self.audio.sample_rate).samples[: self.length]) for sound in sounds]
        return self._power(torch.stack([pad(wave, (0, self.length - len(wave))) for wave in waves]))

    def iterate(
        self, packed: PackedDataset, limit: int | None, label: str, margin: int = 0
    ) -> Iterator[tuple[Tensor, list[str]]]:
        """Yield batches of (items, bands, frames) and their prompts, for ``limit`` evenly spaced items (``None``: all).

        Args:
            margin: extra frames at each end: silence before the clip, its continuation after it.
        """
        for batch in iterate_batches(packed, limit, label):
            yield self.of_batch(batch, margin), batch.prompts

    def of_batch(self, batch: Batch, margin: int = 0) -> Tensor:
        """Return (items, bands, frames) of real clips, with ``margin`` extra frames at each end."""
        extra = margin * self.audio.hop_length
        x = batch.x if self.audio.num_classes is None else batch.x[:, 1:]
        waves = torch.from_numpy(self.audio.decode(x).samples)
        if batch.valid is not None:
            waves = waves * batch.valid
        return self._power(pad(waves, (extra, self.length + extra - waves.shape[1])))

    def _power(self, waves: Tensor) -> Tensor:
        return self.mel(waves.to(self.device))


def require_audio(context: EvalContext, name: str) -> Audio:
    """Return the modality of the model. Raises ``UserError`` if it is not ``Audio``."""
    modality = context.model.modality
    if not isinstance(modality, Audio):
        raise UserError(f"'{name}' needs a model of sounds, and {type(modality).__name__} is none.")
    return modality


def power_to_db(power: Tensor, margin: int = 0) -> Tensor:
    """Convert power (..., bands, frames) to decibels in 0..``DYNAMIC_RANGE_DB``; the loudest point has the maximum.

    Args:
        margin: frames at each end that are ignored when the loudest point is determined.
    """
    inner = power[..., margin : power.shape[-1] - margin]
    peak = inner.amax((-2, -1), keepdim=True).clamp(min=1e-10)
    return 10 * torch.log10((power / peak).clamp(10 ** (-DYNAMIC_RANGE_DB / 10), 1)) + DYNAMIC_RANGE_DB


def iterate_batches(packed: PackedDataset, limit: int | None, label: str) -> Iterator[Batch]:
    """Yield batches of ``limit`` evenly spaced items (``None``: all), with a progress bar."""
    with ProgressBar(label, len(packed) if limit is None else min(limit, len(packed))) as bar:
        for batch, _ in validation_batches(packed, BATCH_SIZE, limit):
            yield batch
            bar.step(len(batch))
