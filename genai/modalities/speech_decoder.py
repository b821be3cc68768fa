"""From predicted frames to sound: sentence by sentence, equally loud, with the times of words and phones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genai.media.sound import Sound
from genai.media.speech_sound import SpeechSound
from genai.media.word_times import TimedPhone, TimedWord
from genai.speech.batch import Sentence
from genai.speech.loudness import normalize_loudness
from genai.speech.voice_frames import FRAME_SECONDS, NUM_BANDS, Synthesize, VoiceFrames, synthesize
from genai.trust.watermarks.sounds import add_to_sound

POST_FILTER, POST_FILTER_CEPSTRA = 1.2, slice(2, 30)
"""Factor of the cepstra that make formants, which averaging flattens (as Yoshimura et al. 2005, postfilter)."""


@dataclass(frozen=True, eq=False)
class Voice:
    """The sound of a speaker: how normalized frames become frames of the vocoder.

    Attributes:
        means, stds: (``NUM_BANDS`` + 2,), of the envelope, the aperiodicity, and the logarithm of the pitch.
    """

    means: NDArray[np.float32]
    stds: NDArray[np.float32]

    def normalize(self, frames: VoiceFrames, pitch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (frames, ``FEATURES``), as a model learns them; ``pitch``: its logarithm, also where unvoiced."""
        columns = [frames.log_envelope, frames.aperiodicity[:, None], pitch[:, None]]
        values = (np.concatenate(columns, 1) - self.means) / self.stds
        return np.concatenate([values, (frames.f0 > 0)[:, None]], 1).astype(np.float32)

    def frames(self, x: NDArray[np.float32], semitones: float = 0.0, post_filter: float = 1.0) -> VoiceFrames:
        """Return the frames of normalized ones (frames, ``FEATURES``).

        Args:
            x: the last number of a frame is above 0 where it is voiced.
            semitones: added to the pitch.
            post_filter: factor that makes formants clearer.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # ``check_frames`` refuses what is not finite
            values = x[:, : NUM_BANDS + 2] * self.stds + self.means
            f0 = np.exp(values[:, -1] + semitones * np.log(2) / 12)
            envelope = enhance_formants(values[:, :NUM_BANDS], post_filter)
            return VoiceFrames(envelope, values[:, NUM_BANDS], np.where(x[:, -1] > 0, f0, 0).astype(np.float32))


class SpeechDecoder:
    """A ``Decoder`` of one text: each ``push`` is a sentence, and returns its sound.

    Args:
        sentences: of the text.
        voice: of the speaker.
        sample_rate: of the sound.
        semitones: added to the pitch.
        suffix: of the file.
        key: of the watermark; ``None``: none.
        synthesize: the vocoder.
    """

    def __init__(
        self,
        sentences: Sequence[Sentence],
        voice: Voice,
        sample_rate: int,
        semitones: float,
        suffix: str,
        key: Any = None,
        synthesize: Synthesize = synthesize,
    ) -> None:
        self.synthesize = synthesize
        self.sentences, self.voice, self.sample_rate = sentences, voice, sample_rate
        self.semitones, self.suffix, self.key = semitones, suffix, key
        self.initial = Sound(np.zeros(0, np.float32), sample_rate, suffix)
        self.parts = [self.initial.samples]
        self.words: list[TimedWord] = []
        self.frames = 0
        self.done = not sentences

    def push(self, start: int, x: Tensor) -> Sound:
        """Add the frames of the next sentence, (frames, ``FEATURES`` + 1), see ``TextToSpeech.stream``."""
        values = x[x[:, -1] >= 0].numpy()
        samples = np.zeros(0, np.float32)
        if len(values) and not self.done:
            frames = self.voice.frames(values[:, :-1], self.semitones, POST_FILTER)
            sound = self._fit(self.synthesize(frames, self.sample_rate), len(values))
            samples = normalize_loudness(sound, self.sample_rate)
            times = timed_words(self.sentences[len(self.parts) - 1], values[:, -1].astype(int))
            self.words += [_shift(word, self.frames * FRAME_SECONDS) for word in times]
            self.frames += len(values)
        self.parts.append(samples)
        self.done = len(self.parts) > len(self.sentences)
        return Sound(samples, self.sample_rate, self.suffix)

    def result(self) -> SpeechSound:
        """Return all sentences so far, with the times of their words."""
        sound = SpeechSound(np.concatenate(self.parts), self.sample_rate, self.suffix, words=tuple(self.words))
        if self.key is None:
            return sound
        return replace(sound, samples=add_to_sound(sound, self.key).samples)

    def _fit(self, samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """Return samples that end where the last frame of the whole text so far ends."""
        end = round((self.frames + frames) * FRAME_SECONDS * self.sample_rate) - sum(map(len, self.parts))
        return np.pad(samples[:end], (0, max(0, end - len(samples))))


def timed_words(sentence: Sentence, numbers: NDArray[np.int64]) -> list[TimedWord]:
    """Return when words are said, from the number of the phone of each frame (frames,)."""
    phones: dict[int, list[TimedPhone]] = {}
    place = 0
    for number, group in groupby(numbers.tolist()):
        count = sum(1 for _ in group)
        if (word := sentence.words[number]) >= 0:
            times = place * FRAME_SECONDS, (place + count) * FRAME_SECONDS
            phones.setdefault(word, []).append(TimedPhone(sentence.symbols[number], *times))
        place += count
    last = max(phones, default=-1)
    return [
        TimedWord(sentence.texts[word], parts[0].start, parts[-1].end, tuple(parts), word == last)
        for word, parts in phones.items()
    ]


def _shift(word: TimedWord, seconds: float) -> TimedWord:
    phones = (replace(phone, start=phone.start + seconds, end=phone.end + seconds) for phone in word.phones)
    return replace(word, start=word.start + seconds, end=word.end + seconds, phones=tuple(phones))


def enhance_formants(log_envelope: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return an envelope (frames, ``NUM_BANDS``) whose cepstra ``POST_FILTER_CEPSTRA`` are multiplied by a factor."""
    cosines = _cosine_transform()
    cepstra = log_envelope @ cosines.T
    cepstra[:, POST_FILTER_CEPSTRA] *= factor
    return (cepstra @ cosines).astype(np.float32)


@cache
def _cosine_transform() -> NDArray[np.float64]:
    """Return the orthonormal discrete cosine transform (``NUM_BANDS``, ``NUM_BANDS``)."""
    index = np.arange(NUM_BANDS)
    matrix = np.cos(np.pi / NUM_BANDS * (index[None] + 0.5) * index[:, None]) * np.sqrt(2 / NUM_BANDS)
    matrix[0] /= np.sqrt(2)
    return matrix
