"""Copy synthesis: recordings become frames and sound again, by a trained vocoder and by WORLD."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genai.core.batch import spaced_indices
from genai.core.progress import ProgressBar
from genai.inference.model import Model
from genai.media.sound import Sound
from genai.methods.vocoder import Vocoder, stft_loss
from genai.metrics.base import EvalContext, Metric, Result, mean_result
from genai.speech.voice_frames import VoiceFrames, synthesize

WINDOW_SECONDS = (0.01, 0.025, 0.05)
"""Lengths of the windows of the distance, the same for all models."""
PARTS = {
    "convergence": "norm of the difference of the amplitudes, relative to that of the recording",
    "magnitude": "mean difference of the logarithms of the amplitudes",
}


class CopySynthesis(Metric):
    """Distance of the spectrograms of copies from those of held-out recordings, at three resolutions.

    The reference is the distance of the copies that WORLD makes of the same frames. All copies get the level of the
    recording, as speech does in the end.
    """

    media = Sound

    def unsupported_reason(self, model: Model) -> str:
        return "" if isinstance(model.method, Vocoder) else "it measures vocoders (model=vocoder)"

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``copy_convergence`` and ``copy_magnitude``, the parts of ``stft_loss``."""
        method = context.model.method
        assert isinstance(method, Vocoder)
        rate = method.network.sample_rate
        distances: dict[str, list[dict[str, float]]] = {"model": [], "world": []}
        for real, frames in held_out_clips(context):
            sounds = {"model": method.synthesize(frames, context.seed), "world": world_copy(frames, rate)}
            for name, sound in sounds.items():
                distances[name].append(copy_distance(sound, real, rate))
        results = {}
        for part, description in PARTS.items():
            values, world = (torch.tensor([each[part] for each in distances[name]]) for name in ("model", "world"))
            text = f"{description}, of {len(values)} copies of recordings; the reference is WORLD"
            results[f"copy_{part}"] = mean_result(values, text, world)
        return results


def held_out_clips(context: EvalContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield up to ``n`` held-out sounds (time,) with their frames (frames, numbers)."""
    indices = spaced_indices(len(context.val), context.n)
    with ProgressBar("copies", len(indices)) as bar:
        for index in indices:
            batch = context.val.batch([index], None)
            assert batch.local is not None
            yield batch.x[0], batch.local[0]
            bar.step(1)


def world_copy(frames: Tensor, sample_rate: int) -> Tensor:
    """Return the sound (time,) that WORLD makes of frames (frames, numbers)."""
    return torch.from_numpy(synthesize(VoiceFrames.from_rows(frames.numpy()), sample_rate))


def copy_distance(sound: Tensor, real: Tensor, sample_rate: int) -> dict[str, float]:
    """Return the parts of ``stft_loss`` of a copy (time,) at the level of the recording (time,)."""
    length = min(len(sound), len(real))
    sound, real = sound[:length], real[:length]
    sound = sound * (real.norm() / sound.norm().clamp(min=1e-9))
    sizes = [round(seconds * sample_rate) for seconds in WINDOW_SECONDS]
    return {name: float(value) for name, value in stft_loss(sound[None], real[None], sizes).items()}
