"""Speech: recordings of voices with what they say, as frames of a vocoder and phones, and texts to read aloud."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from genai.core.batch import Request
from genai.core.cache import cache_key, cached_file
from genai.core.data import Split
from genai.core.errors import UserError, did_you_mean, join_names, short_repr, short_text
from genai.core.terminal import one_line
from genai.media.base import FileName
from genai.media.sound import Sound
from genai.media.wav_stream import WavWriter
from genai.modalities.audio_preview import AudioPreview
from genai.modalities.base import Decoder, Modality
from genai.modalities.speech_clone import choose_name, with_voice
from genai.modalities.speech_dataset import PackedSpeech, SpeechSegment, write_packed_speech
from genai.modalities.speech_decoder import SpeechDecoder, Voice
from genai.modalities.speech_fit import align_recordings, fit_speech
from genai.modalities.speech_state import SpeechState
from genai.speech.batch import FEATURES, PROSODY, SentenceRequest, split_sentences
from genai.speech.phone_table import NUM_STRESSES, ROWS
from genai.speech.phones import Alignment, Word
from genai.speech.prosody import voiced_pitch, word_prosody
from genai.speech.recordings import Recordings, read_recordings
from genai.speech.text_to_phones import TextToPhones
from genai.speech.voice_frames import FRAME_SECONDS, Synthesize, analyze, load_world, synthesize
from genai.trust.watermarks.key import read_key

FRAMES_PER_PHONE = 7.5
"""Usual length of a phone, by which the length of a sound is estimated."""
MAX_NAMED = 8
"""Texts that a note names."""


@dataclass(frozen=True)
class SpeechOptions:
    """Options of a request to read aloud.

    Attributes:
        speaker: name of the voice, a value of the column ``speaker``. Default: the one with most recordings; of a clone
            the new one.
        language: of the text, a value of the column ``language``. Default: the one that the speaker speaks most.
        pitch: semitones that the voice is raised by; below 0: lowered.
        format: of the files.
        watermark: change levels by 1 dB so that ``genai verify`` finds a watermark in sounds of some seconds.
    """

    speaker: str | None = None
    language: str | None = None
    pitch: Annotated[float, Ge(-24), Le(24)] = 0.0
    format: Literal["wav", "flac", "ogg"] = "wav"
    watermark: bool = False


class Speech(Modality):
    """Recordings of one or several speakers, whose prompts are what they say.

    The columns ``speaker`` and ``language`` of the data name the voice and the language of a recording.

    Args:
        sample_rate: samples per second.
        language: of texts without a column ``language``, as espeak-ng and num2words name it.
        phones: ``espeak``: from the program espeak-ng; ``letters``: letters are phones; ``auto``: the first if it is
            installed.
        lexicon: file with a line ``word  phones`` for each word that is pronounced in another way.
        max_seconds: longer recordings are left out.
        drop: fraction of the training recordings, those that fit their text worst, that is left out.

    Attributes:
        synthesize: the vocoder, which is WORLD unless a model is put in its place.
    """

    media = Sound
    has_voices = True
    Options = SpeechOptions
    unit = "s of sound"
    elements_per_unit = 1 / FRAME_SECONDS
    required_option: ClassVar[str] = ""
    reads_prompts: ClassVar[bool] = True

    def __init__(
        self,
        sample_rate: Annotated[int, Ge(8_000), Le(48_000)] = 16_000,
        language: str = "en",
        phones: Literal["auto", "espeak", "letters"] = "auto",
        lexicon: FileName | None = None,
        max_seconds: Annotated[float, Gt(1), Le(60)] = 20.0,
        drop: Annotated[float, Ge(0), Le(0.5)] = 0.02,
    ) -> None:
        self.sample_rate, self.language, self.phones = sample_rate, language, phones
        self.lexicon, self.max_seconds, self.drop = lexicon, max_seconds, drop
        self.statistics: SpeechState | None = None
        self._readers: dict[str, TextToPhones] = {}
        self.synthesize: Synthesize = synthesize

    @property
    def description(self) -> str:
        if self.statistics is None or len(self.statistics.speakers) < 2:
            return f"speech of {self.sample_rate:,} Hz"
        return f"speech of {self.sample_rate:,} Hz, {len(self.statistics.speakers)} speakers"

    @property
    def option_choices(self) -> dict[str, tuple[str, ...]]:
        """The speakers and the languages of the model."""
        state = self._state
        return {"speaker": state.speakers, "language": state.languages}

    @property
    def fitting(self) -> str:
        return "mono, other sample rates change"

    @property
    def interface(self) -> dict[str, Any]:
        state = self.statistics
        return {
            "phones": len(state.symbols) if state else 1,
            "speakers": len(state.speakers) if state else 1,
            "languages": len(state.languages) if state else 1,
            "features": FEATURES,
            "marks": ROWS,
            "prosody": PROSODY,
        }

    def state(self) -> dict[str, Any]:
        return self._state.to_plain()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.statistics = SpeechState.from_plain(state)
        self._readers.clear()

    @property
    def _state(self) -> SpeechState:
        if self.statistics is None:
            raise UserError("this speech model was not fitted to recordings.")
        return self.statistics

    # ------------------------------------------------------------------------------------------------ recordings

    def fit(self, split: Split, cache: Path) -> None:
        """Read the phones of the texts, learn to align them, and measure each speaker. Raises ``UserError``."""
        load_world()
        self.statistics = None
        self._readers.clear()
        recordings = self._recordings(split, cache)
        utterances = self.utterances(recordings)
        self.statistics = fit_speech(recordings, utterances, self.language, self.reader(self.language), cache)
        self._readers.clear()

    def add_voice(self, split: Split, cache: Path, name: str, folder: str) -> None:
        """Add the voice of a training split to those of the base. Raises ``UserError``.

        Args:
            split: recordings of one speaker.
            cache: folder for their frames.
            name: of the voice; ``auto``: that of the column ``speaker``, else ``folder``.
            folder: name of the folder of the recordings.
        """
        recordings = self._recordings(split, cache)
        name = choose_name(name, recordings.speakers, folder)
        self.statistics = with_voice(self._state, name, recordings, self.utterances(recordings), self.language)

    @property
    def added_voice(self) -> str | None:
        """Name of the voice that was added last; ``None``: there is none."""
        state = self.statistics
        return state.speakers[state.main_speaker] if state and state.main_speaker else None

    @property
    def other_voices(self) -> list[str]:
        """Names of the voices that were there before one was added; empty: none was."""
        state = self.statistics
        return list(state.speakers[: state.main_speaker]) if state else []

    def rehearsal(self, prompts: Sequence[str]) -> list[Request]:
        """Return requests to read ``prompts`` with the voices that were there before one was added.

        There is one for each language; in it the voices take turns.
        """
        state, requests = self._state, list[Request]()
        for language in sorted({*state.speaker_languages[: state.main_speaker]}):
            voices = [i for i in range(state.main_speaker) if state.speaker_languages[i] == language]
            texts = self.reader(state.languages[language]).convert(list(prompts))
            sentences = [[state.table.sentence(each) for each in split_sentences(words)] for words in texts]
            request = SentenceRequest(
                list(prompts),
                [0] * len(texts),
                (0, FEATURES),
                sentences=sentences,
                speakers=[voices[index % len(voices)] for index in range(len(texts))],
                languages=[language] * len(texts),
            )
            requests.append(request)
        return requests

    def pack(self, split: Split, cache: Path) -> PackedSpeech:
        """Return the segments of the recordings, and say which do not fit their text."""
        recordings = self._recordings(split, cache)
        drop = self.drop if split.name == "train" else 0.0
        names = [*recordings.speakers, *recordings.languages]
        key = cache_key(split.content_hash, "speech", 2, self.sample_rate, drop, names, self._state.digest)

        def write(path: Path) -> None:
            utterances = self.utterances(recordings)
            alignments = align_recordings(self._state, recordings, utterances, f"aligning phones ({split.name})")
            worst = worst_alignments(alignments, drop)
            used = {index: each for index, each in alignments.items() if index not in worst}
            if not used:
                raise UserError(f"data: no recording of the split '{split.name}' can be used; are their texts missing?")
            segments = self._segments(recordings, utterances, used)
            dropped = [recordings.texts[index] for index in worst]
            write_packed_speech(segments, dropped, len(used), f"packing speech ({split.name})", path)

        packed = PackedSpeech(cached_file(cache / f"{key}.f4", write, ".json", ".i4", ".p4"))
        if packed.dropped:
            texts = "; ".join(repr(short_text(text)) for text in packed.dropped[:MAX_NAMED])
            more = f" and {len(packed.dropped) - MAX_NAMED} more" if len(packed.dropped) > MAX_NAMED else ""
            note = f"{len(packed.dropped)} recordings fit their text worst and are left out: {texts}{more}"
            print(one_line(note), file=sys.stderr, flush=True)
        return packed

    def utterances(self, recordings: Recordings) -> list[list[Word]]:
        """Return the words of each recording; none for one that is not used."""
        words: list[list[Word]] = [[] for _ in range(len(recordings))]
        names = [name or self.language for name in recordings.languages]
        for language in sorted(set(names)):
            used = [i for i, name in enumerate(names) if name == language and recordings.length(i)]
            texts = [recordings.texts[index] for index in used]
            for index, each in zip(used, self.reader(language).convert(texts), strict=True):
                words[index] = [word for word in each if word.phones]
        return words

    def _recordings(self, split: Split, cache: Path) -> Recordings:
        return read_recordings(split, self.sample_rate, self.max_seconds, cache)

    def _segments(
        self, recordings: Recordings, utterances: Sequence[Sequence[Word]], alignments: Mapping[int, Alignment]
    ) -> Iterator[SpeechSegment]:
        """Yield the segments of aligned recordings."""
        state = self._state
        for index, alignment in alignments.items():
            voice_frames, words = recordings.voice(index), utterances[index]
            speaker = state.speaker_number(recordings.speakers[index])
            frames = state.voice(speaker).normalize(voice_frames, voiced_pitch(voice_frames.f0))
            rows = state.table.aligned(words, alignment)
            durations = np.array(alignment.frames, np.int64)
            voiced = voice_frames.f0 > 0
            prosody = word_prosody(rows, durations, frames[:, -2], voiced, state.mean_log_durations)
            phones = np.concatenate([rows, durations[:, None], np.ones_like(durations)[:, None]], 1)
            is_end = (rows[:, 0] == 0) & (rows[:, 1] > NUM_STRESSES + 1)  # a mark that ends a sentence
            language = state.language_number(recordings.languages[index] or self.language)
            whole = SpeechSegment(recordings.texts[index], frames, phones, prosody, speaker, language)
            yield from whole.cut(is_end)

    # ----------------------------------------------------------------------------------------------------- texts

    def reader(self, language: str) -> TextToPhones:
        """Return what turns texts of a language into phones, as in training. Raises ``UserError``."""
        if language not in self._readers:
            if self.statistics is None:
                lexicon = None if self.lexicon is None else Path(self.lexicon).expanduser()
                self._readers[language] = TextToPhones(language, self.phones, lexicon)
            else:  # a file that a stranger's model names is not read
                self._readers[language] = TextToPhones(language, self.statistics.source)
                self._readers[language].lexicon = dict(self.statistics.lexicon)
        return self._readers[language]

    def request(self, prompts: list[str], seeds: list[int], init: Any, options: SpeechOptions) -> Request:
        """Build a request to read ``prompts``. Raises ``UserError`` for an unknown speaker or language, or no words."""
        state, speaker = self._state, self._speaker(options)
        name = options.language
        language = state.speaker_languages[speaker] if name is None else choose(state.languages, name, "language")
        sentences = []
        for prompt, words in zip(prompts, self.reader(state.languages[language]).convert(prompts), strict=True):
            sentences.append([state.table.sentence(each) for each in split_sentences(words)])
            if not sentences[-1]:
                raise UserError(f"prompt={short_repr(prompt)}: there is nothing to read aloud. Give a text.")
        counts = [sum(len(sentence.phones) for sentence in each) for each in sentences]
        size = (round(max(counts) * FRAMES_PER_PHONE), FEATURES)
        count = len(prompts)
        return SentenceRequest(
            prompts, seeds, size, sentences=sentences, speakers=[speaker] * count, languages=[language] * count
        )

    def prompt_notes(self, prompts: Sequence[str], options: SpeechOptions | None = None) -> list[str]:
        """Return a note about phones that training never heard."""
        state = self._state
        speaker = state.main_speaker if options is None else self._speaker(options)
        name = (options and options.language) or state.languages[state.speaker_languages[speaker]]
        words = [word for each in self.reader(name).convert(list(prompts)) for word in each]
        if not (unknown := state.table.unknown(words)):
            return []
        return [f"training never heard {join_names(unknown)}: the nearest phone stands for it"]

    # ---------------------------------------------------------------------------------------------------- sounds

    def encode(self, media: Any) -> Tensor:
        """Return the frames of a sound in the voice of the first speaker: (frames, ``FEATURES``) float32.

        ``decode`` gives a sound of the same envelope and pitch, not the same samples.
        """
        frames = analyze(media.resample(self.sample_rate).samples, self.sample_rate)
        return torch.from_numpy(self._state.voice(0).normalize(frames, voiced_pitch(frames.f0)))

    def decode(self, x: Tensor) -> Sound:
        frames = self._state.voice(0).frames(x[:, :FEATURES].float().numpy() - np.eye(FEATURES)[-1] * 0.5)
        return Sound(self.synthesize(frames, self.sample_rate), self.sample_rate)

    def decoder(self, init: Tensor | None, options: SpeechOptions) -> Decoder:
        voice = self._voice(options)
        return SpeechDecoder(
            [], voice, self.sample_rate, options.pitch, f".{options.format}", synthesize=self.synthesize
        )

    def decoders(self, request: Request, options: SpeechOptions) -> list[Decoder]:
        assert isinstance(request, SentenceRequest)
        voice, key = self._voice(options), read_key() if options.watermark else None
        return [
            SpeechDecoder(sentences, voice, self.sample_rate, options.pitch, f".{options.format}", key, self.synthesize)
            for sentences in request.sentences
        ]

    def _voice(self, options: SpeechOptions) -> Voice:
        return self._state.voice(self._speaker(options))

    def _speaker(self, options: SpeechOptions) -> int:
        """Return the number of the speaker that is asked for. Raises ``UserError``."""
        state = self._state
        return state.main_speaker if options.speaker is None else choose(state.speakers, options.speaker, "speaker")

    def stream_writer(self, path: Path, initial: Any) -> WavWriter | None:
        return WavWriter(path, self.sample_rate) if initial.suffix == ".wav" else None

    def sample_notes(self, samples: Sequence[Sound]) -> list[str]:
        """Return a note about samples in which hardly anything can be heard."""
        num_quiet = sum(sample.is_quiet for sample in samples)
        return [f"{num_quiet} of {len(samples)} samples are almost silent: train longer"] if num_quiet else []

    def preview(self) -> AudioPreview:
        return AudioPreview(self, is_enhanced=False, has_clips=False)


def choose(names: Sequence[str], name: str, option: str) -> int:
    """Return the place of a name. Raises ``UserError`` with the nearest one if it is not among them."""
    if name not in names:
        allowed = join_names(short_text(each) or "''" for each in names)
        raise UserError(f"There is no {option} {short_repr(name)}.{did_you_mean(name, names)} There are: {allowed}.")
    return names.index(name)


def worst_alignments(alignments: Mapping[int, Alignment], fraction: float) -> list[int]:
    """Return the recordings with the lowest scores, the worst first: a fraction of all, rounded down."""
    order = sorted(alignments, key=lambda index: alignments[index].score)
    return order[: int(fraction * len(order))]
