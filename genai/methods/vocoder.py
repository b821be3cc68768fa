"""Vocoder: frames of pitch and spectral envelope become sound, learned from recordings by the sound of their frames.

The loss compares spectrograms of several resolutions (Parallel WaveGAN, Yamamoto et al. 2020, arXiv:1910.11480), which
does not depend on phases that no frame knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Gt, Le, Len
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Chunk, Request
from genai.methods.base import Method, check_output

HOPS_PER_WINDOW = 5
"""Windows overlap by four fifths, as those of Parallel WaveGAN."""
MIN_AMPLITUDE = 1e-4
"""Amplitudes of a spectrogram far below it, those of silence, hardly change the loss: white noise of -80 dB."""
FRAMES_AT_ONCE = 400
"""Frames of a recording that are computed at once, so that a long one needs bounded memory."""


@dataclass(frozen=True)
class VocoderOptions:
    """Options of making a sound from frames; there are none."""


class VocoderNetwork(Protocol):
    """A network from frames to sound; ``genai.networks.harmonic_vocoder.HarmonicVocoder`` describes the methods.

    Attributes:
        hop_length: samples per frame.
        sample_rate: samples per second.
        reach: frames on either side of a frame that its sound depends on.
    """

    hop_length: int
    sample_rate: int
    reach: int

    def __call__(self, frames: Tensor, noise: Tensor, phase: Tensor) -> Tensor: ...

    def phases(self, f0: Tensor, phase: Tensor) -> Tensor: ...


class Vocoder(Method):
    """Learns from recordings with their frames.

    A batch has the sound in ``x`` (batch, time), and its frames in ``local`` (batch, frames, numbers).

    Args:
        network: a ``VocoderNetwork``.
        window_seconds: lengths of the windows of the loss.
        sampling: this model's own defaults for ``VocoderOptions``.
    """

    Options = VocoderOptions
    metrics = ("val_loss", "copy_synthesis")
    restores_init = True
    is_iterative = False
    needs_consent = True
    """It makes the voice of its recordings, saying anything, as soon as a model of speech gives it frames."""

    def __init__(
        self,
        network: nn.Module,
        window_seconds: Annotated[Sequence[Annotated[float, Gt(0), Le(1)]], Len(1, 16)] = (0.01, 0.025, 0.05),
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.ema_module, self.window_seconds, self.sampling = network, list(window_seconds), sampling or {}

    @property
    def network(self) -> VocoderNetwork:
        return cast(VocoderNetwork, self.ema_module)

    @property
    def window_sizes(self) -> list[int]:
        """Samples of the windows of the loss."""
        return [max(HOPS_PER_WINDOW, round(seconds * self.network.sample_rate)) for seconds in self.window_seconds]

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the sum of ``convergence`` and ``magnitude``, see ``stft_loss``, and both.

        Noise and the phase of the pitch at the first sample are random.
        """
        return self._loss(batch, torch.randn_like(batch.x), torch.rand(len(batch), device=batch.x.device))

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return what ``loss`` returns, always for the same noise."""
        noise = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0)).to(batch.x)
        return self._loss(batch, noise, torch.zeros(len(batch), device=batch.x.device))

    def _loss(self, batch: Batch, noise: Tensor, phase: Tensor) -> dict[str, Tensor]:
        assert batch.local is not None
        output = self.network(batch.local, noise, phase)
        if batch.valid is None:
            return stft_loss(output, batch.x, self.window_sizes)
        losses = stft_loss(output * batch.valid, batch.x * batch.valid, self.window_sizes)
        magnitude = losses["magnitude"] / batch.valid.float().mean()  # padding is equal in both
        return {**losses, "loss": losses["convergence"] + magnitude, "magnitude": magnitude}

    def degrade(self, x: Tensor) -> Tensor:
        """Return ``x``: sounds are given back from their frames alone."""
        return x

    def synthesize(self, frames: Tensor, seed: int = 0) -> Tensor:
        """Return the sound (time * hop_length,) of frames (time, numbers)."""
        stream = VocoderStream(self.network, seed, self.device)
        return torch.cat([stream.push(part) for part in frames.split(FRAMES_AT_ONCE)] + [stream.finish()])

    @torch.inference_mode()
    def stream(self, request: Request, options: VocoderOptions) -> Iterator[Chunk]:
        """Make the sounds of the frames ``request.local``, part by part. They have the same length."""
        assert request.local is not None
        streams = [VocoderStream(self.network, seed, self.device) for seed in request.seeds]
        start, end = 0, request.size[0]
        parts = list(zip(*(frames.split(FRAMES_AT_ONCE) for frames in request.local), strict=True))
        for rows in [*parts, None]:
            sounds = [each.push(row) for each, row in zip(streams, rows, strict=True)] if rows else None
            x = torch.stack(sounds or [each.finish() for each in streams])[:, : end - start]
            if x.shape[1]:
                yield Chunk(start, check_output(x))
            start += x.shape[1]

    def sample(self, request: Request, options: VocoderOptions) -> list[Tensor]:
        return list(torch.cat([chunk.x for chunk in self.stream(request, options)], 1))


class VocoderStream:
    """The sound of frames that arrive one after the other, equal to that of all frames at once.

    Args:
        network: a ``VocoderNetwork``.
        seed: of the noise.
        device: of the network; ``None``: the CPU.
    """

    def __init__(self, network: VocoderNetwork, seed: int = 0, device: torch.device | None = None) -> None:
        self.network, self.device = network, device or torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed)
        self.frames, self.noise = torch.zeros(0, 0), torch.zeros(0)
        self.phase = torch.zeros(1, dtype=torch.float64, device=self.device)  # at the first frame that is kept
        self.num_done = 0  # kept frames whose sound was returned, as context of the next ones

    @torch.inference_mode()
    def push(self, frames: Tensor) -> Tensor:
        """Add frames (time, numbers), and return the sound (samples,) of those that no later one changes."""
        noise = [torch.randn(self.network.hop_length, generator=self.generator) for _ in frames]
        self.frames = torch.cat([self.frames, frames]) if len(self.frames) else frames
        self.noise = torch.cat([self.noise, *noise])
        return self._emit(len(self.frames) - self.network.reach)

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """Return the sound of the last frames."""
        return self._emit(len(self.frames))

    def _emit(self, end: int) -> Tensor:
        """Return the sound of the kept frames up to ``end``, and drop those that no later one depends on."""
        if end <= self.num_done:
            return torch.zeros(0)
        frames, hop = self.frames.to(self.device), self.network.hop_length
        sound = self.network(frames[None], self.noise[None].to(frames), self.phase)[0]
        sound = sound[self.num_done * hop : end * hop].float().cpu()
        if (drop := end - self.network.reach) > 0:
            self.phase = self.network.phases(frames[None, :, -1], self.phase)[:, drop]
            self.frames, self.noise = self.frames[drop:], self.noise[drop * hop :]
        self.num_done = end - max(0, drop)
        return sound


def stft_loss(x: Tensor, target: Tensor, window_sizes: Sequence[int]) -> dict[str, Tensor]:
    """Compare sounds (batch, time) by the amplitudes of their spectrograms.

    Args:
        x, target: the sounds.
        window_sizes: samples of the windows; the result is the mean over them.

    Returns:
        ``convergence``, the norm of the difference relative to that of the target (equation 6), ``magnitude``, the mean
        absolute difference of logarithms (equation 7), and their sum as ``loss``.
    """
    parts = []
    for size in window_sizes:
        output, real = stft_amplitudes(torch.cat([x, target]), size).chunk(2)  # (B, bins, frames)
        convergence = (output - real).norm() / real.norm().clamp(min=MIN_AMPLITUDE)
        parts.append(torch.stack([convergence, (output.log() - real.log()).abs().mean()]))
    convergence, magnitude = torch.stack(parts).mean(0)
    return {"loss": convergence + magnitude, "convergence": convergence, "magnitude": magnitude}


def stft_amplitudes(x: Tensor, window_size: int) -> Tensor:
    """Return the amplitudes (batch, bins, frames) of sounds (batch, time), at least ``MIN_AMPLITUDE``.

    White noise of unit variance has a mean power of 1 in each bin, whatever the window is.
    """
    window = torch.hann_window(window_size, device=x.device)
    spectrum = torch.stft(
        F.pad(x.float(), (0, max(0, window_size - x.shape[1]))),
        2 ** (window_size - 1).bit_length(),
        max(1, window_size // HOPS_PER_WINDOW),
        window_size,
        window / window.norm(),
        pad_mode="constant",
        return_complex=True,
    )
    return (spectrum.real.square() + spectrum.imag.square() + MIN_AMPLITUDE**2).sqrt()  # abs() has no gradient at 0
