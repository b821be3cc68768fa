"""Mel spectrograms of clips, real and made: what metrics compare sounds by."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from genai.core.batch import Batch
from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.loader import held_out
from genai.core.progress import ProgressBar
from genai.metrics.base import EvalContext
from genai.modalities.audio import Audio

BANDS = 32
HIGHEST = 8000
"""Hertz of the highest band, where the rate reaches so far."""
WINDOW = 0.025
"""Seconds, rounded up to a power of two of samples."""
RANGE = 40.0
"""Decibels below the loudest spot of a clip that count: the noise of mu-law companding lies below."""
AT_ONCE = 32


class Spectra:
    """Power in mel bands, a column each 10 ms, of the first ``length`` samples of clips; silence behind shorter ones.

    Real clips go through the modality and back, so that what its levels do to a sound is on both sides.
    """

    def __init__(self, audio: Audio, length: int, device: torch.device) -> None:
        from torchaudio.transforms import MelSpectrogram

        size = max(256, 2 ** (round(WINDOW * audio.rate) - 1).bit_length())
        self.audio, self.length, self.device = audio, max(length, size), device
        top = min(HIGHEST, audio.rate / 2)
        self.mel = MelSpectrogram(audio.rate, size, hop_length=audio.hop, f_max=top, n_mels=BANDS, center=False)
        self.mel.to(device)

    def __call__(self, sounds: Sequence[Any]) -> Tensor:
        """(sounds, bands, frames)"""
        waves = [torch.from_numpy(sound.at(self.audio.rate).samples[: self.length]) for sound in sounds]
        return self._power(torch.stack([pad(wave, (0, self.length - len(wave))) for wave in waves]))

    def real(
        self, packed: PackedDataset, limit: int | None, label: str, around: int = 0
    ) -> Iterator[tuple[Tensor, list[str]]]:
        """Of ``limit`` evenly spaced items (``None``: all) in batches: (items, bands, frames), and their prompts.

        Args:
            around: frames more at each end: silence before, what follows in the clip behind.
        """
        more = around * self.audio.hop
        for batch in batches_of(packed, limit, label):
            x = batch.x if self.audio.classes is None else batch.x[:, 1:]
            waves = torch.from_numpy(self.audio.decode(x).samples)
            if batch.valid is not None:
                waves = waves * batch.valid
            yield self._power(pad(waves, (more, self.length + more - waves.shape[1]))), batch.prompts

    def _power(self, waves: Tensor) -> Tensor:
        return self.mel(waves.to(self.device))


def audio_of(study: EvalContext, name: str) -> Audio:
    """The modality of the model. Raises ``UserError`` where it does not make sounds."""
    modality = study.model.modality
    if not isinstance(modality, Audio):
        raise UserError(f"'{name}' is about sounds, which {type(modality).__name__} does not make.")
    return modality


def decibels(power: Tensor, around: int = 0) -> Tensor:
    """Of (..., bands, frames): from 0, ``RANGE`` below the loudest spot or lower, to ``RANGE`` there.

    Args:
        around: frames at each end in which the loudest spot is not looked for.
    """
    inner = power[..., around : power.shape[-1] - around]
    loudest = inner.amax((-2, -1), keepdim=True).clamp(min=1e-10)
    return 10 * torch.log10((power / loudest).clamp(10 ** (-RANGE / 10), 1)) + RANGE


def batches_of(packed: PackedDataset, limit: int | None, label: str) -> Iterator[Batch]:
    """``limit`` evenly spaced items (``None``: all), under a bar."""
    with ProgressBar(label, len(packed) if limit is None else min(limit, len(packed))) as bar:
        for batch, _ in held_out(packed, AT_ONCE, limit):
            yield batch
            bar.step(len(batch))
