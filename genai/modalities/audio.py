"""The audio modality: sounds as mu-law levels or as waveforms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from genai.core.data import Split, packed_captions
from genai.core.errors import UserError, short_repr
from genai.core.instantiate import validate_value
from genai.core.prompt_features import PromptFeatures
from genai.media.base import FileName
from genai.media.clip import Clip
from genai.media.midi import midi_to_prompt
from genai.media.sound import Sound
from genai.media.wav_stream import WavWriter
from genai.modalities.audio_dataset import MAX_ITEM_FRAMES, PackedAudio, SoundLayout, write_packed_audio
from genai.modalities.audio_preview import DEFAULT_MAX_SECONDS, AudioPreview
from genai.modalities.base import Decoder, Modality
from genai.modalities.visual_onsets import MAX_ANALYSIS_SIDE, VisualOnsets
from genai.trust.watermarks.key import read_key
from genai.trust.watermarks.sounds import add_to_sound


@dataclass(frozen=True)
class AudioOptions:
    """Options of a request for sounds.

    Attributes:
        seconds: length of the new sound. Default: what the notes of the prompt need; without notes the median length of
            the training sounds, up to ten seconds. A soundtrack is as long as its clip.
        midi: MIDI file with the notes to play, in place of a prompt, for models that were trained on notes.
        clip: the clip to make a soundtrack for: a file or a value.
        format: of the files.
        watermark: change levels by 1 dB so that ``genai verify`` finds a watermark in sounds of some seconds.
    """

    seconds: Annotated[float, Gt(0), Le(3600)] | None = None
    midi: FileName | Path | None = None
    clip: FileName | Path | InstanceOf[Clip] | None = None
    format: Literal["wav", "flac", "ogg"] = "wav"
    watermark: bool = False


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
    has_voices = True
    Options = AudioOptions
    size_options = ("crop",)
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
    def description(self) -> str:
        return f"sound of {self.sample_rate:,} Hz, {min(self.typical_seconds, DEFAULT_MAX_SECONDS):.3g} s by default"

    @property
    def fitting(self) -> str:
        return "mono, other sample rates change"

    @property
    def interface(self) -> dict[str, Any]:
        return {
            "sample_rate": self.sample_rate,
            "num_classes": self.num_classes,
            "hop_length": self.hop_length,
            "local": sum(source.features for source in (self.prompt_features, self.clip_features) if source),
        }

    def fit(self, split: Split, cache: Path) -> None:
        """Set ``typical_seconds`` to the median length of the training sounds; fit the features of prompts."""
        packed = self.pack(split, cache)
        lengths = [sound.length for sound in packed.sounds]
        self.typical_seconds = round(float(np.median(lengths)) / self.sample_rate, 4)
        if self.prompt_features:
            self.prompt_features.fit(packed_captions(packed))

    def state(self) -> dict[str, Any]:
        feature_state = self.prompt_features.state() if self.prompt_features else {}
        return {"typical": self.typical_seconds, **({"prompt_features": feature_state} if feature_state else {})}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.typical_seconds = validate_value(state["typical"], Annotated[float, Gt(0), Le(1e7)], "typical")
        if self.prompt_features:
            feature_state = validate_value(state.get("prompt_features", {}), Mapping[str, Any], "prompt_features")
            self.prompt_features.restore(feature_state)

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
        key = cache_key(split.content_hash, "audio", 3, self.sample_rate, *extractor)
        suffixes = (".json", ".f8", *([".f2"] if self.clip_features else []))
        write = lambda path: write_packed_audio(split, self.layout, path)  # noqa: E731
        return PackedAudio(cached_file(cache / f"{key}.i2", write, *suffixes), self.layout)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: AudioOptions) -> Request:
        """Build a request; the sound ``init`` is the beginning to continue, or the input of an enhancer.

        Raises:
            UserError: ``init`` or a clip is missing or not supported; a length is given though another one determines
                it.
        """
        prompts, clip = self._score_prompts(prompts, options), self._soundtrack_clip(options)
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
        seconds = options.seconds or self._default_seconds(prompts, len(begin) / self.sample_rate)
        new = max(1, round(seconds * self.sample_rate))
        if clip is not None and (new := round(clip.seconds * self.sample_rate) - len(begin)) < 1:
            raise UserError(f"clip= has {clip.seconds:g} s, and init= is not shorter: nothing is left to generate.")
        frames = -(-(len(begin) + new) // self.hop_length)
        visual = np.zeros((frames, 0), np.float32)
        if clip is not None:
            visual = cast(VisualOnsets, self.clip_features).frames(clip, frames)
        return Request(
            self.layout.words(prompts),
            seeds,
            (new,),
            init=[torch.cat([self.silence, begin])] * len(prompts),
            local=[
                torch.from_numpy(np.concatenate([self.layout.frames(prompt, frames), visual], 1)) for prompt in prompts
            ],
        )

    def _score_prompts(self, prompts: list[str], options: AudioOptions) -> list[str]:
        """Return ``prompts``, or the notes of ``options.midi`` in their place. Raises ``UserError``."""
        if options.midi is None:
            return prompts
        if self.prompt_features is None:
            raise UserError("midi=: this model was not trained on notes. Leave it out.")
        if any(prompts):
            raise UserError("midi= stands in place of a prompt: leave out prompt= or midi=.")
        return [midi_to_prompt(Path(options.midi).expanduser())] * len(prompts)

    def _default_seconds(self, prompts: Sequence[str], begin_seconds: float) -> float:
        """Return the length of a new sound: the rest of the longest score, else that of the training sounds."""
        features = self.prompt_features
        ends = [end for prompt in prompts if features and (end := features.seconds(prompt))]
        rest = max(ends, default=0.0) - begin_seconds
        return rest if rest > 0 else min(self.typical_seconds, DEFAULT_MAX_SECONDS)

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

    def request_notes(self, init: Any, options: AudioOptions) -> list[str]:
        """Return a note about another sample rate than the model's."""
        if init is None or init.sample_rate == self.sample_rate:
            return []
        return [f"init= is resampled from {init.sample_rate:,} Hz to {self.sample_rate:,} Hz"]

    def prompt_notes(self, prompts: Sequence[str], options: AudioOptions | None = None) -> list[str]:
        """Return notes about prompts without features."""
        if self.prompt_features is None or self.required_option == "init":
            return []
        prompts = self._score_prompts(list(prompts), options) if options else prompts
        warnings = {prompt: self.prompt_features.warning(prompt) for prompt in prompts if prompt}
        return [f"prompt {short_repr(prompt)} is {warning}" for prompt, warning in warnings.items() if warning]

    def prompt_words(self, prompt: str) -> str:
        """Return the prompt without what its features say, such as notes."""
        return self.layout.words([prompt])[0]

    def sample_notes(self, samples: Sequence[Sound]) -> list[str]:
        """Return a note about samples in which hardly anything can be heard."""
        if not (num_quiet := sum(sample.is_quiet for sample in samples)):
            return []
        advice = "train longer, give a prompt of the training data or init=, or take ckpt=RUN/checkpoints/last.ckpt"
        return [f"{num_quiet} of {len(samples)} samples are almost silent: {advice}"]

    def preview(self) -> AudioPreview:
        is_enhanced, has_clips = self.required_option == "init", self.required_option == "clip"
        return AudioPreview(self, is_enhanced, has_clips, self.prompt_features)

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
        self.key = read_key() if options.watermark else None
        begin = torch.zeros(0, dtype=torch.int64) if init is None or audio.num_classes is None else init[1:]
        self.initial = self._sound(begin)
        self.parts = [self.initial]

    def push(self, start: int, x: Tensor) -> Sound:
        self.parts.append(self._sound(x))
        return self.parts[-1]

    def result(self) -> Sound:
        samples = np.concatenate([part.samples for part in self.parts])
        sound = Sound(samples, self.audio.sample_rate, self.suffix)
        return add_to_sound(sound, self.key) if self.key else sound

    def _sound(self, x: Tensor) -> Sound:
        return Sound(self.audio.decode(x).samples, self.audio.sample_rate, self.suffix)
