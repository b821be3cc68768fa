"""Voices as vectors: the speaker encoder of Resemblyzer, with the weights that its package holds.

Generalized end-to-end loss (Wan et al. 2018, arXiv:1710.10467): three LSTM layers over mel spectrograms, the last state
projected to 256 numbers. The package's code is not imported, as it needs libraries that are not used here otherwise.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from genai.core.errors import UserError
from genai.core.files import check_file
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.metrics.audio.judge_input import SAMPLE_RATE, judge_samples

WINDOW, HOP_LENGTH, BANDS = 400, 160, 40
FRAMES, FRAME_STEP = 160, 77
"""Frames of 10 ms that are embedded at once, and from one start to the next: 1.3 parts a second."""
MIN_COVERAGE = 0.75
"""Share of the last part that the sound has to fill."""
HIDDEN, LAYERS, DIMENSIONS = 256, 3, 256


class VoiceEncoder(nn.Module):
    """Embeds voices as unit vectors whose cosine says how similar they are."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, HIDDEN, LAYERS, batch_first=True)
        self.linear = nn.Linear(HIDDEN, DIMENSIONS)

    def forward(self, mel: Tensor) -> Tensor:
        """Embed mel spectrograms, (parts, frames, bands) -> (parts, 256)."""
        _, (hidden, _) = self.lstm(mel)
        return normalize(self.linear(hidden[-1]).relu(), dim=1)

    @torch.no_grad()
    def embed(self, sound: Sound) -> Tensor:
        """Return the mean of a sound's parts as a unit vector (256,)."""
        waves = torch.from_numpy(judge_samples(sound))
        starts = part_starts(len(waves))
        missing = (starts[-1] + FRAMES) * HOP_LENGTH - len(waves)
        mel = mel_spectrogram(pad(waves, (0, max(0, missing))))
        parts = torch.stack([mel[start : start + FRAMES] for start in starts])
        return normalize(self(parts).mean(0), dim=0)

    def embed_all(self, sounds: Sequence[Sound], label: str) -> Tensor:
        """Return (sounds, 256) with a progress bar."""
        vectors = []
        with ProgressBar(f"voices of {label}", len(sounds)) as bar:
            for sound in sounds:
                vectors.append(self.embed(sound))
                bar.step()
        return torch.stack(vectors)


def part_starts(num_samples: int) -> list[int]:
    """Return the first frames of the parts of a sound: at least one, the last one filled by ``MIN_COVERAGE``."""
    num_frames = -(-(num_samples + 1) // HOP_LENGTH)
    starts = list(range(0, max(1, num_frames - FRAMES + FRAME_STEP + 1), FRAME_STEP))
    coverage = (num_samples / HOP_LENGTH - starts[-1]) / FRAMES
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def mel_spectrogram(waves: Tensor) -> Tensor:
    """Return the power of mel bands, (samples,) -> (frames, 40), as librosa computes it."""
    from torchaudio.transforms import MelSpectrogram

    transform = MelSpectrogram(
        SAMPLE_RATE, WINDOW, hop_length=HOP_LENGTH, n_mels=BANDS, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    mel: Tensor = transform(waves)
    return mel.T


def encoder_weights() -> Path:
    """Return the file of weights in the package Resemblyzer, whose code is not run. Raises ``UserError``."""
    return package_file(
        "resemblyzer", "pretrained.pt", "'speaker_similarity' needs Resemblyzer", "--no-deps Resemblyzer"
    )


def package_file(package: str, name: str, needs: str, install: str) -> Path:
    """Return a file of an installed package without importing it. Raises ``UserError`` if it is not there.

    Args:
        package: its name.
        name: path of the file inside it.
        needs: beginning of the message.
        install: what ``pip install`` has to be given.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{needs}: pip install {install}.")
    return check_file(Path(spec.submodule_search_locations[0], name))


def load_encoder() -> VoiceEncoder:
    """Load the encoder. Raises ``UserError`` if its weights are not there or are others."""
    path = encoder_weights()
    encoder = VoiceEncoder()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise UserError(f"{path}: these are not the weights of Resemblyzer's encoder.") from error
    return encoder.eval()
