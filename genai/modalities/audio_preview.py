"""Previews of sounds, beside the held-out sounds, degraded sounds or clips that they are about."""

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genai.core.data import Split
from genai.core.prompt_features import PromptFeatures
from genai.media import spectrogram
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.modalities.base import Modality
from genai.modalities.preview import Preview, PromptSamples
from genai.modalities.visual_onsets import sharp_direction_changes

DEFAULT_MAX_SECONDS = 10.0
"""Longest sound that is generated, or shown in a preview, if no length is given."""
MAX_SHEET_SOUNDS = 64
"""Most sounds on one contact sheet."""


class AudioPreview(Preview):
    """Presents sounds: to be heard, and as spectrograms.

    Args:
        modality: converts sounds.
        is_enhanced: samples are enhanced sounds.
        has_clips: samples are soundtracks of clips.
        prompt_features: says how long the sounds of prompts are; ``None``: prompts do not say.
    """

    def __init__(
        self,
        modality: Modality,
        is_enhanced: bool,
        has_clips: bool,
        prompt_features: PromptFeatures | None = None,
    ) -> None:
        self.modality, self.is_enhanced, self.has_clips = modality, is_enhanced, has_clips
        self.prompt_features = prompt_features
        self.references: dict[str, Sound] = {}
        self.noisy: dict[str, Sound] = {}
        self.clips: dict[str, Clip] = {}
        self.marks: dict[str, list[float]] = {}

    def prompts(self, split: Split) -> list[str]:
        """Choose four different prompts of held-out sounds, and keep these sounds as references.

        Sounds to enhance have no prompts; then names for four sounds are returned.
        """
        count = min(len(split), 4 if self.is_enhanced else 32)
        candidates = [number * len(split) // count for number in range(count)]
        indices = {f"clip {i}" if self.is_enhanced else split.prompt(i): i for i in candidates}
        examples = {prompt: split[index] for prompt, index in list(indices.items())[:4]}
        self.references = {prompt: _shorten_sound(example.media) for prompt, example in examples.items()}
        if self.has_clips:
            self.clips = {prompt: _shorten_clip(example.conditioning) for prompt, example in examples.items()}
            self.marks = {}
        return list(examples)

    def options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """Return the clips of the references in turn, also for other prompts; for a long score a shorter length."""
        if not self.clips:
            features = self.prompt_features
            lengths = [features.seconds(prompt) or 0.0 if features else 0.0 for prompt in prompts]
            is_long = max(lengths, default=0.0) > DEFAULT_MAX_SECONDS and not self.is_enhanced
            return [{"seconds": min(length, DEFAULT_MAX_SECONDS) or None} for length in lengths] if is_long else None
        for prompt, name in zip(prompts, cycle(list(self.clips)), strict=False):
            self.clips.setdefault(prompt, self.clips[name])
            self.references.setdefault(prompt, self.references[name])
        return [{"clip": self.clips[prompt]} for prompt in prompts]

    def inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Sound] | None:
        """Return the references degraded with a fixed seed, and keep them to be shown."""
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            for prompt, clean in zip(prompts, cycle(list(self.references.values())), strict=False):
                noisy = None if not self.is_enhanced else degrade(self.modality.encode(clean)[None])
                if noisy is None:
                    return None
                self.references[prompt], self.noisy[prompt] = clean, cast(Sound, self.modality.decode(noisy[0]))
        return [self.noisy[prompt] for prompt in prompts]

    def log(self, writer: Any, tag: str, samples: PromptSamples, step: int) -> None:
        """Log each sound, and a picture of all."""
        for number, sample in enumerate(samples):
            for kind, (_, sound) in self._with_references(*sample).items():
                padded = np.pad(sound.samples, (0, max(0, 2 - len(sound.samples))))  # torch refuses a single sample
                writer.add_audio(f"{tag}/{number}{kind}", torch.from_numpy(padded), step, sound.sample_rate)
        super().log(writer, tag, samples, step)

    def contact_sheet(self, samples: PromptSamples) -> Picture:
        """Return spectrograms of the sounds; dotted lines mark abrupt changes of direction in their preview clips."""
        rows = [
            (prompt, titled_sound)
            for prompt, sound in samples[:MAX_SHEET_SOUNDS]
            for titled_sound in self._with_references(prompt, sound).values()
        ]
        marks = [self._marks(prompt) for prompt, _ in rows]
        return spectrogram.draw_spectrograms([titled_sound for _, titled_sound in rows], marks)

    def _marks(self, prompt: str) -> list[float]:
        """Return the times of the abrupt changes of direction in the clip of a prompt, which are found once."""
        if prompt in self.clips and prompt not in self.marks:
            self.marks[prompt] = sharp_direction_changes(self.clips[prompt])
        return self.marks[prompt] if prompt in self.clips else []

    def _with_references(self, prompt: str, sound: Sound) -> dict[str, tuple[str, Sound]]:
        """Return (title, sound) of the degraded input of a preview, the sample, and the reference, if they exist."""
        noisy, real = self.noisy.get(prompt), self.references.get(prompt)
        row = {"-noisy": (f"noisy: {prompt}", noisy), "": (prompt, sound), "-real": (f"real: {prompt}", real)}
        return {kind: (title, value) for kind, (title, value) in row.items() if value is not None}


def _shorten_sound(sound: Sound) -> Sound:
    """Return the first ``DEFAULT_MAX_SECONDS`` of a sound."""
    return Sound(sound.samples[: round(DEFAULT_MAX_SECONDS * sound.sample_rate)], sound.sample_rate)


def _shorten_clip(clip: Clip) -> Clip:
    """Return the first ``DEFAULT_MAX_SECONDS`` of a clip."""
    return replace(clip, frames=clip.frames[: max(1, round(DEFAULT_MAX_SECONDS * clip.fps))])
