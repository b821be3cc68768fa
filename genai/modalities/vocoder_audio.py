"""Sounds with the frames of a vocoder: what a vocoder is trained on, and makes sounds from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le, MultipleOf
from torch import Tensor

from genai.core.batch import Request
from genai.core.cache import cache_dir, cache_key, cached_file
from genai.core.data import Split
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.vocoder_dataset import PackedVocoderAudio, write_vocoder_audio
from genai.speech.frame_cache import cached_frames
from genai.speech.loudness import normalize_loudness
from genai.speech.voice_frames import APERIODICITY_HZ, FRAME_SECONDS, MIN_APERIODICITY, band_centers, load_world


class VocoderAudio(Audio):
    """Mono sounds at the loudness of speech, each with its frames of WORLD.

    Args:
        sample_rate: samples per second; a frame has a whole, even number of them.
        crop: frames (of 12.5 ms) per training example.
        max_seconds: longer recordings are left out.
    """

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(16_000), Le(48_000), MultipleOf(160)] = 16_000,
        crop: Annotated[int, Ge(8), Le(800)] = 64,
        max_seconds: Annotated[float, Gt(1), Le(60)] = 20.0,
    ) -> None:
        super().__init__(sample_rate, None, crop)
        self.max_seconds, self.hop_length = max_seconds, round(FRAME_SECONDS * sample_rate)

    @property
    def description(self) -> str:
        return f"sound of {self.sample_rate:,} Hz, with frames of {1000 * FRAME_SECONDS:g} ms"

    @property
    def interface(self) -> dict[str, Any]:
        return {
            "sample_rate": self.sample_rate,
            "hop_length": self.hop_length,
            "band_hertz": band_centers(self.sample_rate).tolist(),
            "noise_hertz": APERIODICITY_HZ,
            "min_noise": MIN_APERIODICITY,
        }

    def fit(self, split: Split, cache: Path) -> None:
        """Check that frames can be made: nothing depends on the data."""
        load_world()

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state:
            raise ValueError("it should have no state")

    def pack(self, split: Split, cache: Path) -> PackedVocoderAudio:  # type: ignore[override]
        key = cache_key(split.content_hash, "vocoder_audio", 1, self.sample_rate, self.max_seconds)

        def write(path: Path) -> None:
            write_vocoder_audio(split, self.sample_rate, self.max_seconds, cache, path)

        file = cached_file(cache / f"{key}.i2", write, ".json", ".f4")
        return PackedVocoderAudio(file, self.hop_length, self.crop)

    def frames(self, sound: Sound) -> Tensor:
        """Return the frames (frames, numbers) of a sound at its own level. Raises ``UserError``."""
        return torch.from_numpy(cached_frames(sound, cache_dir()).to_rows())

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: AudioOptions) -> Request:
        """Build a request for the sounds of the frames of the sound ``init``. Raises ``UserError`` without one."""
        if init is None:
            raise UserError("a vocoder makes the sound of frames: give a recording to analyze with init=FILE.")
        for name in ("seconds", "midi", "clip"):
            if getattr(options, name) is not None:
                raise UserError(f"{name}=: a vocoder gives the sound of init=. Leave it out.")
        sound = init.resample(self.sample_rate)
        sound = Sound(normalize_loudness(sound.samples, self.sample_rate), self.sample_rate)
        size = (len(sound.samples),)
        return Request(prompts, seeds, size, local=[self.frames(sound)] * len(prompts))
