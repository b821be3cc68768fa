"""What a speech model learns before its training: phones of the texts, their alignment, statistics of each speaker."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genai.core.cache import cache_key, cached_json, track_progress
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.modalities.speech_state import MIN_STD, STATES_PER_PHONE, SpeechState
from genai.speech.aligner import Aligner
from genai.speech.phone_table import make_phone_table
from genai.speech.phones import Alignment, Word
from genai.speech.prosody import voiced_pitch
from genai.speech.recordings import Recordings
from genai.speech.text_to_phones import TextToPhones
from genai.speech.voice_frames import NUM_BANDS

ALIGNER_ARRAYS = ("mean", "scale", "means", "precisions", "offsets")
"""Numbers of an ``Aligner`` that ``fit`` sets."""


def fit_speech(
    recordings: Recordings,
    utterances: Sequence[Sequence[Word]],
    default_language: str,
    reader: TextToPhones,
    cache: Path,
) -> SpeechState:
    """Return what the training split determines.

    Args:
        recordings: of the split.
        utterances: the words of each; none for one that is not used.
        default_language: of recordings without a language.
        reader: what has read the texts.
        cache: folder for the aligner.

    Raises:
        UserError: nothing can be used, or there are more names than a model holds.
    """
    used = [index for index, words in enumerate(utterances) if words]
    if not used:
        raise UserError(
            "data: no recording has a text, which speech is learned from: give a metadata.csv with file_name and text, "
            "or a .txt file beside each recording."
        )
    speakers = [recordings.speakers[index] for index in used]
    languages = [recordings.languages[index] or default_language for index in used]
    names = tuple(name for name, _ in Counter(speakers).most_common())
    language_names = tuple(name for name, _ in Counter(languages).most_common())
    language_counts = [
        Counter(language for s, language in zip(speakers, languages, strict=True) if s == name) for name in names
    ]
    symbols = make_phone_table(utterances).symbols
    aligner, mean_log = _fit_aligner(recordings, utterances, used, symbols, cache)
    means, stds = speaker_statistics(recordings, [[i for i in used if recordings.speakers[i] == n] for n in names])
    return SpeechState(
        symbols,
        names,
        language_names,
        tuple(language_names.index(counts.most_common(1)[0][0]) for counts in language_counts),
        reader.source,
        reader.lexicon,
        means,
        stds,
        mean_log,
        aligner,
    ).check()


def align_recordings(
    state: SpeechState, recordings: Recordings, utterances: Sequence[Sequence[Word]], label: str
) -> dict[int, Alignment]:
    """Return the alignments of the recordings that can be aligned, by their index.

    The mean spectrum of a cloned voice is moved to that of the voices that the aligner has learned.
    """
    aligner = restore_aligner(state.symbols, state.aligner)
    used = [index for index, words in enumerate(utterances) if words]
    alignments = {}
    clone = state.main_speaker
    shift = state.means[: clone or 1, :NUM_BANDS].mean(0) - state.means[clone, :NUM_BANDS]
    for index in track_progress(used, label, len(used)):
        try:
            voice = recordings.voice(index)
            if clone and state.speaker_number(recordings.speakers[index]) == clone:
                voice = replace(voice, log_envelope=voice.log_envelope + shift)
            alignments[index] = aligner.align(voice, utterances[index])
        except UserError:  # too short for its text
            continue
    return alignments


def restore_aligner(symbols: Sequence[str], arrays: Mapping[str, Any]) -> Aligner:
    """Return an aligner that was fitted before. Raises ``ValueError`` if its numbers do not fit each other."""
    aligner = Aligner(STATES_PER_PHONE)
    aligner.symbols = {symbol: number for number, symbol in enumerate(symbols)}
    for name in ALIGNER_ARRAYS:
        setattr(aligner, name, np.ascontiguousarray(arrays[name], np.float64))
    return aligner


def _fit_aligner(
    recordings: Recordings,
    utterances: Sequence[Sequence[Word]],
    used: Sequence[int],
    symbols: Sequence[str],
    cache: Path,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float32]]:
    """Return the numbers of the aligner, and the mean logarithm of the duration of each phone."""
    texts = [utterances[index] for index in used]

    def fit() -> dict[str, Any]:
        aligner = Aligner(STATES_PER_PHONE)
        with ProgressBar("aligning phones", aligner.rounds) as bar:
            alignments = aligner.fit([recordings.voice(index) for index in used], texts, lambda: bar.step(1))
        mean_log = mean_log_durations(symbols, [alignment for alignment in alignments if alignment])
        return {name: getattr(aligner, name).tolist() for name in ALIGNER_ARRAYS} | {"mean_log": mean_log.tolist()}

    ends = [[recordings.length(index), *map(asdict, utterances[index])] for index in used]
    sums = [float(recordings.voice(index).log_envelope.sum(dtype=np.float64)) for index in used]
    values = cached_json(cache / f"{cache_key('aligner', 2, ends, sums)}.json", fit)
    return {name: np.array(values[name]) for name in ALIGNER_ARRAYS}, np.array(values["mean_log"], np.float32)


def mean_log_durations(symbols: Sequence[str], alignments: Sequence[Alignment]) -> NDArray[np.float32]:
    """Return the mean logarithm of the frames of each symbol: (symbols,)."""
    places = {symbol: number for number, symbol in enumerate(symbols)}
    sums, counts = np.zeros(len(symbols)), np.zeros(len(symbols))
    for alignment in alignments:
        numbers = [places[symbol] for symbol in alignment.symbols]
        np.add.at(sums, numbers, np.log(alignment.frames))
        np.add.at(counts, numbers, 1)
    overall = sums.sum() / max(1, counts.sum())
    return ((sums + overall) / (counts + 1)).astype(np.float32)  # rare ones are near the mean of all


def speaker_statistics(
    recordings: Recordings, groups: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return means and stds, see ``Voice``, of the recordings of each speaker.

    Deviations of the envelope are those of all speakers within each, as one with few recordings has none of its own.
    """
    means, spreads, counts = [], [], []
    for group in groups:
        voices = [recordings.voice(index) for index in group]
        columns = np.concatenate([np.c_[voice.log_envelope, voice.aperiodicity] for voice in voices]).astype(np.float64)
        pitch = np.concatenate([voiced_pitch(voice.f0)[voice.f0 > 0] for voice in voices]).astype(np.float64)
        pitch = pitch if len(pitch) > 1 else np.log([100.0, 200.0])
        means.append([*columns.mean(0), pitch.mean()])
        spreads.append([*columns.std(0), pitch.std()])
        counts.append(len(columns))
    stds = np.array(spreads)
    shared = np.sqrt(np.average(stds[:, :-1] ** 2, axis=0, weights=counts))
    stds[:, :-1] = shared
    return np.array(means, np.float32), np.maximum(stds, MIN_STD).astype(np.float32)
