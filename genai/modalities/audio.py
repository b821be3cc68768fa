"""Audio: sounds <-> the levels of a companded waveform, in a memory-mapped cache; crops of whole frames."""

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
from genai.media.wav_stream import Growing
from genai.modalities.audio_dataset import LONGEST, PackedAudio, SoundLayout, write
from genai.modalities.base import Decoder, Modality
from genai.modalities.visual_onsets import SIDE, VisualOnsets, sharp_turns

UNASKED = 10.0
"""The most seconds of a sound that are made, or shown, where nobody says how many."""
SHOWN = 64
"""The most sounds of one picture."""


@dataclass(frozen=True)
class AudioOptions:
    """What a request for sounds may say.

    Attributes:
        seconds: of new sound; where it is not said, as long as a typical clip of the training data, and ten seconds at
            most. Where there is a clip, as long as that.
        clip: that the sound is made for: a file, or a value.
        format: of the files.
    """

    seconds: Annotated[float, Gt(0), Le(3600)] | None = None
    clip: FileName | Path | InstanceOf[Clip] | None = None
    format: Literal["wav", "flac", "ogg"] = "wav"


class Audio(Modality):
    """Mono sounds of one sample rate.

    Args:
        rate: samples a second.
        classes: levels of mu-law companding (ITU-T G.711 has 256); ``None``: the waveform itself, for what does not
            draw it level by level.
        crop: frames, of 10 ms, of a training example.
        score: reads what a prompt says about time; the data know which.
        sight: sees what happens in the clips that sounds go along with, where they do; the data know that, too.
    """

    media = Sound
    Options = AudioOptions
    unit = "s of sound"

    def __init__(
        self,
        rate: Annotated[int, Ge(1000), Le(192_000)] = 8000,
        classes: Literal[256, 1024] | None = 256,
        crop: Annotated[int, Ge(1), Le(LONGEST)] = 13,
        score: PromptFeatures | None = None,
        sight: VisualOnsets | None = None,
    ) -> None:
        self.rate, self.classes, self.crop, self.score, self.sight = rate, classes, crop, score, sight
        self.hop, self.per_unit = round(rate / PromptFeatures.RATE), float(rate)
        self.needs = "init" if classes is None else "clip" if sight else ""
        self.typical = 1.0
        self.references: dict[str, Sound] = {}
        self.noisy: dict[str, Sound] = {}
        self.clips: dict[str, Clip] = {}

    def growing(self, path: Path, given: Any) -> Growing | None:
        if given.suffix != ".wav":
            return None
        file = Growing(path, self.rate)
        file.append(given)
        return file

    @cached_property
    def layout(self) -> SoundLayout:
        """How its data set stores sounds and cuts them into examples."""
        levels = None if self.classes is None else self.levels
        return SoundLayout(self.rate, self.hop, levels, self.crop, self.score, self.sight)

    @property
    def interface(self) -> dict[str, Any]:
        local = sum(each.features for each in (self.score, self.sight) if each)
        return {"rate": self.rate, "classes": self.classes, "hop": self.hop, "local": local}

    def fit(self, split: Split, cache: Path) -> None:
        """The median length of the training clips, in seconds."""
        lengths = [clip.length for clip in self.pack(split, cache).clips]
        self.typical = round(float(np.median(lengths)) / self.rate, 4)

    def state(self) -> dict[str, Any]:
        return {"typical": self.typical}

    def restore(self, state: Mapping[str, Any]) -> None:
        typical = float(state["typical"])
        if not 0 < typical < math.inf:
            raise ValueError(f"its typical length is {typical} s")
        self.typical = typical

    def encode(self, media: Any) -> Tensor:
        """(time,) uint8 or int16 classes of a sound of any rate; float32 samples where there are no classes."""
        samples = torch.from_numpy(media.at(self.rate).samples)
        if self.classes is None:
            return samples
        from torchaudio.functional import mu_law_encoding

        return mu_law_encoding(samples.clamp(-1, 1), self.classes).to(self._storage)

    def decode(self, x: Tensor) -> Sound:
        if self.classes is not None:
            from torchaudio.functional import mu_law_decoding

            x = mu_law_decoding(x, self.classes)
        return Sound(x.float().numpy(), self.rate)

    def decoder(self, given: Tensor | None, options: AudioOptions) -> Decoder:
        return AudioDecoder(self, given, options)

    def pack(self, split: Split, cache: Path) -> "PackedAudio":
        seen = [] if self.sight is None else [type(self.sight).__qualname__, self.sight.version]
        path = cache / f"{cache_key(split.fingerprint, 'audio', 2, self.rate, *seen)}.i2"
        return PackedAudio(cached_file(path, lambda temporary: write(split, self.layout, path, temporary)), self.layout)

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: AudioOptions) -> Request:
        """A sound given as ``init`` is the beginning, and what is not known begins in silence.

        Without classes it is what there is to work on. A sound of a clip is as long as that. Raises ``UserError`` where
        either is missing, or not wanted, or a length is given besides.
        """
        clip = self._watched(options)
        if self.needs == "init":
            if init is None:
                raise UserError(
                    "this is an enhancer: say what it is to clean with init=FILE, or take another ckpt=RUN."
                )
            if options.seconds is not None:
                raise UserError(f"seconds={options.seconds:g}: here a sound is as long as that of init=. Leave it out.")
            given = self.encode(init)
            return Request(prompts, seeds, (len(given),), init=[given] * len(prompts))
        begin = self.encode(init) if init is not None else torch.zeros(0, dtype=self._storage)
        new = max(1, round((options.seconds or min(self.typical, UNASKED)) * self.rate))
        if clip is not None and (new := round(clip.seconds * self.rate) - len(begin)) < 1:
            raise UserError(f"clip= has {clip.seconds:g} s, and init= is not shorter: nothing is left to be made.")
        frames = -(-(len(begin) + new) // self.hop)
        seen = (
            np.zeros((frames, 0), np.float32) if clip is None else cast(VisualOnsets, self.sight).frames(clip, frames)
        )
        return Request(
            prompts,
            seeds,
            (new,),
            init=[torch.cat([self.silence, begin])] * len(prompts),
            local=[
                torch.from_numpy(np.concatenate([self.layout.frames(prompt, frames), seen], 1)) for prompt in prompts
            ],
        )

    def _watched(self, options: AudioOptions) -> Clip | None:
        """The clip that a sound is asked for; ``None`` where a model has no use for one. Raises ``UserError``."""
        if self.needs != "clip":
            if options.clip is not None:
                raise UserError(
                    f"clip={short_repr(options.clip)}: this model does not make the sound of a clip. Leave it out."
                )
            return None
        if options.clip is None:
            raise UserError("this model makes the sound of a clip: say of which with clip=FILE.")
        if options.seconds is not None:
            raise UserError(f"seconds={options.seconds:g}: here a sound is as long as its clip. Leave it out.")
        return (
            options.clip if isinstance(options.clip, Clip) else Clip.read(Path(options.clip).expanduser(), about=SIDE)
        )

    def remarks(self, prompts: Sequence[str], init: Any) -> list[str]:
        """On another rate than the model's, and on prompts that its score cannot read."""
        rate = [] if init is None or init.rate == self.rate else [f"{init.rate:,} Hz become {self.rate:,}, the model's"]
        if self.score is None or self.needs == "init":
            return rate
        unread = {prompt: self.score.complaint(prompt) for prompt in prompts if prompt}
        return rate + [f"prompt {prompt!r} is {why}" for prompt, why in unread.items() if why]

    def preview_prompts(self, split: Split) -> list[str]:
        """Four different prompts of held-out clips, which are kept as references to look at beside.

        Where sounds are not made of prompts, the names of four clips.
        """
        count = min(len(split), 4 if self.classes is None else 32)
        spread = [at * len(split) // count for at in range(count)]
        indices = {f"clip {at}" if self.classes is None else split.prompt(at): at for at in spread}
        chosen = dict(list(indices.items())[:4])
        whole = {prompt: split[index] for prompt, index in chosen.items()}
        sounds = {prompt: example.media for prompt, example in whole.items()}
        self.references = {
            prompt: Sound(sound.samples[: round(UNASKED * sound.rate)], sound.rate) for prompt, sound in sounds.items()
        }
        if self.needs == "clip":
            self.clips = {prompt: _beginning(example.beside) for prompt, example in whole.items()}
        return list(chosen)

    def preview_options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """The clips of the references, whatever the prompts are."""
        if not self.clips:
            return None
        for prompt, name in zip(prompts, cycle(list(self.clips)), strict=False):
            self.clips.setdefault(prompt, self.clips[name])
            self.references.setdefault(prompt, self.references[name])
        return [{"clip": self.clips[prompt]} for prompt in prompts]

    def preview_inits(self, prompts: list[str], spoilt: Callable[[Tensor], Tensor | None]) -> list[Sound] | None:
        """The references, spoilt in the same way each time; kept, to look at beside."""
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            for prompt, clean in zip(prompts, cycle(list(self.references.values())), strict=False):
                noisy = None if self.classes is not None else spoilt(self.encode(clean)[None])
                if noisy is None:
                    return None
                self.references[prompt], self.noisy[prompt] = clean, self.decode(noisy[0])
        return [self.noisy[prompt] for prompt in prompts]

    def show(self, writer: Any, tag: str, samples: Sequence[tuple[str, Any]], step: int) -> None:
        """A player of each sound, and a picture of all."""
        for number, pair in enumerate(samples):
            for kind, (_, sound) in self._row(*pair).items():
                writer.add_audio(f"{tag}/{number}{kind}", torch.from_numpy(sound.samples), step, sound.rate)
        writer.add_image(tag, self.sheet(samples).pixels, step, dataformats="HWC")

    def sheet(self, samples: Sequence[tuple[str, Any]]) -> Picture:
        """Where a preview's sound is of a clip, with dotted lines where things turn round in that."""
        rows = [(prompt, each) for prompt, sound in samples[:SHOWN] for each in self._row(prompt, sound).values()]
        marks = [sharp_turns(self.clips[prompt]) if prompt in self.clips else [] for prompt, _ in rows]
        return spectrogram.picture([each for _, each in rows], marks)

    def _row(self, prompt: str, sound: Sound) -> dict[str, tuple[str, Sound]]:
        """A sound between what a preview made it of and a real one of its prompt, where there are such."""
        noisy, real = self.noisy.get(prompt), self.references.get(prompt)
        row = {"-noisy": (f"noisy: {prompt}", noisy), "": (prompt, sound), "-real": (f"real: {prompt}", real)}
        return {kind: (label, each) for kind, (label, each) in row.items() if each is not None}

    @property
    def silence(self) -> Tensor:
        """(1,), the class of a sample of 0."""
        return self.encode(Sound(np.zeros(1, np.float32), self.rate))

    @cached_property
    def levels(self) -> NDArray[Any]:
        """(65_536,): what ``encode`` makes of every 16-bit sample, -32_768 first."""
        every = np.arange(-32_768, 32_768, dtype=np.float32) / np.float32(32_768)
        return self.encode(Sound(every, self.rate)).numpy()

    @property
    def _storage(self) -> torch.dtype:
        return torch.uint8 if self.classes == 256 else torch.int16


class AudioDecoder:
    """Each push is the next part of a sound."""

    done = False

    def __init__(self, audio: Audio, given: Tensor | None, options: AudioOptions) -> None:
        self.audio, self.suffix = audio, f".{options.format}"
        begin = torch.zeros(0, dtype=torch.int64) if given is None or audio.classes is None else given[1:]
        self.given = self._sound(begin)
        self.parts = [self.given]

    def push(self, start: int, x: Tensor) -> Sound:
        self.parts.append(self._sound(x))
        return self.parts[-1]

    def result(self) -> Sound:
        return Sound(np.concatenate([part.samples for part in self.parts]), self.audio.rate, self.suffix)

    def _sound(self, x: Tensor) -> Sound:
        return Sound(self.audio.decode(x).samples, self.audio.rate, self.suffix)


def _beginning(clip: Clip) -> Clip:
    return replace(clip, frames=clip.frames[: max(1, round(UNASKED * clip.fps))])
