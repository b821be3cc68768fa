"""The audio modality: sounds as mu-law levels or as waveforms."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import InstanceOf
from torch import Tensor

from genai.core.batch import Request
from genai.core.cache import cache_key, cached_file
from genai.core.data import PromptFeatures, Split
from genai.core.errors import UserError, short_repr
from genai.media import spectrogram
from genai.media.base import FileName
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.wav_stream import WavWriter
from genai.modalities.audio_dataset import MAX_ITEM_FRAMES, PackedAudio, SoundLayout, write_packed_audio
from genai.modalities.base import Decoder, Modality
from genai.modalities.visual_onsets import MAX_ANALYSIS_SIDE, VisualOnsets, sharp_direction_changes

DEFAULT_MAX_SECONDS = 10.0
"""Longest sound that is generated, or shown in a preview, if no length is given."""
MAX_SHEET_SOUNDS = 64
"""Most sounds on one contact sheet."""


@dataclass(frozen=True)
class AudioOptions:
    """Options of a request for sounds.

    Attributes:
        seconds: length of the new sound. Default: the median length of the training sounds, up to ten seconds. A
            soundtrack is as long as its clip.
        clip: the clip to make a soundtrack for: a file or a value.
        format: of the files.
    """

    seconds: Annotated[float, Gt(0), Le(3600)] | None = None
    clip: FileName | Path | InstanceOf[Clip] | None = None
    format: Literal["wav", "flac", "ogg"] = "wav"


class Audio(Modality):
    """Mono sounds of one sample rate.

    Args:
        sample_rate: samples per second.
        num_classes: levels of mu-law companding (ITU-T G.711 has 256); ``None``: waveforms, for methods that do not
            generate level by level.
        crop: frames (of 10 ms) per training example.
        prompt_features: reads time-aligned features from prompts, such as notes; provided by the data source.
        clip_features: computes features of the clips that sounds belong to, for soundtracks; provided by the data
            source.
    """

    media = Sound
    Options = AudioOptions
    unit = "s of sound"

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(1000), Le(192_000)] = 8000,
        num_classes: Literal[256, 1024] | None = 256,
        crop: Annotated[int, Ge(1), Le(MAX_ITEM_FRAMES)] = 13,
        prompt_features: PromptFeatures | None = None,
        clip_features: VisualOnsets | None = None,
    ) -> None:
        self.sample_rate, self.num_classes, self.crop = sample_rate, num_classes, crop
        self.prompt_features, self.clip_features = prompt_features, clip_features
        self.hop_length, self.elements_per_unit = round(sample_rate / PromptFeatures.FRAME_RATE), float(sample_rate)
        self.required_option = "init" if num_classes is None else "clip" if clip_features else ""
        self.typical_seconds = 1.0
        self.references: dict[str, Sound] = {}
        self.noisy: dict[str, Sound] = {}
        self.clips: dict[str, Clip] = {}

    def stream_writer(self, path: Path, initial: Any) -> WavWriter | None:
        if initial.suffix != ".wav":
            return None
        writer = WavWriter(path, self.sample_rate)
        writer.append(initial)
        return writer

    @cached_property
    def layout(self) -> SoundLayout:
        """How ``PackedAudio`` stores sounds and cuts them into examples."""
        levels = None if self.num_classes is None else self.levels
        return SoundLayout(
            self.sample_rate, self.hop_length, levels, self.crop, self.prompt_features, self.clip_features
        )

    @property
    def interface(self) -> dict[str, Any]:
        return {
            "sample_rate": self.sample_rate,
            "num_classes": self.num_classes,
            "hop_length": self.hop_length,
            "local": sum(source.features for source in (self.prompt_features, self.clip_features) if source),
        }

    def fit(self, split: Split, cache: Path) -> None:
        """Set ``typical_seconds`` to the median length of the training sounds."""
        lengths = [sound.length for sound in self.pack(split, cache).sounds]
        self.typical_seconds = round(float(np.median(lengths)) / self.sample_rate, 4)

    def state(self) -> dict[str, Any]:
        return {"typical": self.typical_seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        typical_seconds = float(state["typical"])
        if not 0 < typical_seconds < math.inf:
            raise ValueError(f"its typical length is {typical_seconds} s")
        self.typical_seconds = typical_seconds

    def encode(self, media: Any) -> Tensor:
        """Convert a sound of any sample rate to (time,) uint8 or int16 classes; without classes, float32 samples."""
        samples = torch.from_numpy(media.resample(self.sample_rate).samples)
        if self.num_classes is None:
            return samples
        from torchaudio.functional import mu_law_encoding

        return mu_law_encoding(samples.clamp(-1, 1), self.num_classes).to(self._storage)

    def decode(self, x: Tensor) -> Sound:
        if self.num_classes is not None:
            from torchaudio.functional import mu_law_decoding

            x = mu_law_decoding(x, self.num_classes)
        return Sound(x.float().numpy(), self.sample_rate)

    def decoder(self, init: Tensor | None, options: AudioOptions) -> Decoder:
        return AudioDecoder(self, init, options)

    def pack(self, split: Split, cache: Path) -> "PackedAudio":
        extractor = (
            [] if self.clip_features is None else [type(self.clip_features).__qualname__, self.clip_features.version]
        )
        path = cache / f"{cache_key(split.content_hash, 'audio', 2, self.sample_rate, *extractor)}.i2"
        cached_file(path, lambda temporary: write_packed_audio(split, self.layout, path, temporary))
        return PackedAudio(path, self.layout)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: AudioOptions) -> Request:
        """Build a request; the sound ``init`` is the beginning to continue, or the input of an enhancer.

        Raises:
            UserError: ``init`` or a clip is missing or not supported; a length is given though another one determines
                it.
        """
        clip = self._soundtrack_clip(options)
        if self.required_option == "init":
            if init is None:
                raise UserError(
                    "this model is an enhancer: give the sound to clean with init=FILE, or another ckpt=RUN."
                )
            if options.seconds is not None:
                raise UserError(
                    f"seconds={options.seconds:g}: the output of an enhancer is as long as init=. Leave it out."
                )
            noisy = self.encode(init)
            return Request(prompts, seeds, (len(noisy),), init=[noisy] * len(prompts))
        begin = self.encode(init) if init is not None else torch.zeros(0, dtype=self._storage)
        new = max(1, round((options.seconds or min(self.typical_seconds, DEFAULT_MAX_SECONDS)) * self.sample_rate))
        if clip is not None and (new := round(clip.seconds * self.sample_rate) - len(begin)) < 1:
            raise UserError(f"clip= has {clip.seconds:g} s, and init= is not shorter: nothing is left to generate.")
        frames = -(-(len(begin) + new) // self.hop_length)
        visual = np.zeros((frames, 0), np.float32)
        if clip is not None:
            visual = cast(VisualOnsets, self.clip_features).frames(clip, frames)
        return Request(
            prompts,
            seeds,
            (new,),
            init=[torch.cat([self.silence, begin])] * len(prompts),
            local=[
                torch.from_numpy(np.concatenate([self.layout.frames(prompt, frames), visual], 1)) for prompt in prompts
            ],
        )

    def _soundtrack_clip(self, options: AudioOptions) -> Clip | None:
        """Return the clip of a soundtrack model; ``None`` for other models. Raises ``UserError``."""
        if self.required_option != "clip":
            if options.clip is not None:
                raise UserError(f"clip={short_repr(options.clip)}: this model does not make soundtracks. Leave it out.")
            return None
        if options.clip is None:
            raise UserError("this model makes soundtracks: give a clip with clip=FILE.")
        if options.seconds is not None:
            raise UserError(f"seconds={options.seconds:g}: a soundtrack is as long as its clip. Leave it out.")
        if isinstance(options.clip, Clip):
            return options.clip
        return Clip.read(Path(options.clip).expanduser(), short_side=MAX_ANALYSIS_SIDE)

    def request_notes(self, prompts: Sequence[str], init: Any) -> list[str]:
        """Return notes about another sample rate than the model's, and about prompts without features."""
        notes = []
        if init is not None and init.sample_rate != self.sample_rate:
            notes.append(f"init= is resampled from {init.sample_rate:,} Hz to {self.sample_rate:,} Hz")
        if self.prompt_features is None or self.required_option == "init":
            return notes
        warnings = {prompt: self.prompt_features.warning(prompt) for prompt in prompts if prompt}
        return notes + [f"prompt {prompt!r} is {warning}" for prompt, warning in warnings.items() if warning]

    def preview_prompts(self, split: Split) -> list[str]:
        """Choose four different prompts of held-out sounds, and keep these sounds as references.

        Without classes sounds have no prompts; then names for four sounds are returned.
        """
        count = min(len(split), 4 if self.num_classes is None else 32)
        candidates = [number * len(split) // count for number in range(count)]
        indices = {f"clip {i}" if self.num_classes is None else split.prompt(i): i for i in candidates}
        examples = {prompt: split[index] for prompt, index in list(indices.items())[:4]}
        self.references = {prompt: _shorten_sound(example.media) for prompt, example in examples.items()}
        if self.required_option == "clip":
            self.clips = {prompt: _shorten_clip(example.conditioning) for prompt, example in examples.items()}
        return list(examples)

    def preview_options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """Return the clips of the references in turn, also for other prompts."""
        if not self.clips:
            return None
        for prompt, name in zip(prompts, cycle(list(self.clips)), strict=False):
            self.clips.setdefault(prompt, self.clips[name])
            self.references.setdefault(prompt, self.references[name])
        return [{"clip": self.clips[prompt]} for prompt in prompts]

    def preview_inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Sound] | None:
        """Return the references degraded with a fixed seed, and keep them to be shown."""
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            for prompt, clean in zip(prompts, cycle(list(self.references.values())), strict=False):
                noisy = None if self.num_classes is not None else degrade(self.encode(clean)[None])
                if noisy is None:
                    return None
                self.references[prompt], self.noisy[prompt] = clean, self.decode(noisy[0])
        return [self.noisy[prompt] for prompt in prompts]

    def log_samples(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """Log each sound, and a picture of all."""
        for number, sample in enumerate(samples):
            for kind, (_, sound) in self._with_references(*sample).items():
                writer.add_audio(f"{tag}/{number}{kind}", torch.from_numpy(sound.samples), step, sound.sample_rate)
        writer.add_image(tag, self.contact_sheet(samples).pixels, step, dataformats="HWC")

    def contact_sheet(self, samples: Sequence[tuple[str, Any]]) -> Picture:
        """Return spectrograms of the sounds; dotted lines mark abrupt changes of direction in their preview clips."""
        rows = [
            (prompt, titled_sound)
            for prompt, sound in samples[:MAX_SHEET_SOUNDS]
            for titled_sound in self._with_references(prompt, sound).values()
        ]
        marks = [sharp_direction_changes(self.clips[prompt]) if prompt in self.clips else [] for prompt, _ in rows]
        return spectrogram.draw_spectrograms([titled_sound for _, titled_sound in rows], marks)

    def _with_references(self, prompt: str, sound: Sound) -> dict[str, tuple[str, Sound]]:
        """Return (title, sound) of the degraded input of a preview, the sample, and the reference, if they exist."""
        noisy, real = self.noisy.get(prompt), self.references.get(prompt)
        row = {"-noisy": (f"noisy: {prompt}", noisy), "": (prompt, sound), "-real": (f"real: {prompt}", real)}
        return {kind: (title, value) for kind, (title, value) in row.items() if value is not None}

    @property
    def silence(self) -> Tensor:
        """The class of a sample of 0, (1,)."""
        return self.encode(Sound(np.zeros(1, np.float32), self.sample_rate))

    @cached_property
    def levels(self) -> NDArray[Any]:
        """The encoding of every 16-bit sample, from -32_768 up: (65_536,)."""
        samples = np.arange(-32_768, 32_768, dtype=np.float32) / np.float32(32_768)
        return self.encode(Sound(samples, self.sample_rate)).numpy()

    @property
    def _storage(self) -> torch.dtype:
        return torch.uint8 if self.num_classes == 256 else torch.int16


class AudioDecoder:
    """A ``Decoder`` whose ``push`` returns the next part of the sound."""

    done = False

    def __init__(self, audio: Audio, init: Tensor | None, options: AudioOptions) -> None:
        self.audio, self.suffix = audio, f".{options.format}"
        begin = torch.zeros(0, dtype=torch.int64) if init is None or audio.num_classes is None else init[1:]
        self.initial = self._sound(begin)
        self.parts = [self.initial]

    def push(self, start: int, x: Tensor) -> Sound:
        self.parts.append(self._sound(x))
        return self.parts[-1]

    def result(self) -> Sound:
        return Sound(np.concatenate([part.samples for part in self.parts]), self.audio.sample_rate, self.suffix)

    def _sound(self, x: Tensor) -> Sound:
        return Sound(self.audio.decode(x).samples, self.audio.sample_rate, self.suffix)


def _shorten_sound(sound: Sound) -> Sound:
    """Return the first ``DEFAULT_MAX_SECONDS`` of a sound."""
    return Sound(sound.samples[: round(DEFAULT_MAX_SECONDS * sound.sample_rate)], sound.sample_rate)


def _shorten_clip(clip: Clip) -> Clip:
    """Return the first ``DEFAULT_MAX_SECONDS`` of a clip."""
    return replace(clip, frames=clip.frames[: max(1, round(DEFAULT_MAX_SECONDS * clip.fps))])
