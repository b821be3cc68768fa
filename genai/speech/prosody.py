"""The prosody of words in recordings: mean and slope of their pitch, and their tempo."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from genai.speech.batch import PROSODY

MAX_SLOPE = 3.0
"""Largest slope of the pitch in a word, in standard deviations of the speaker."""
SLOPE_PRIOR = 0.5
"""Added to the sum of squared times, so that a few frames make no steep line."""


def voiced_pitch(f0: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of the pitch (frames,), as a line between voiced frames; 0 where nothing is voiced."""
    voiced = np.flatnonzero(f0 > 0)
    if not len(voiced):
        return np.zeros(len(f0), np.float32)
    return np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced])).astype(np.float32)


def words_of_rows(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each word among the phones of an utterance, as rows of ``SpeechBatch.phones``."""
    starts = np.flatnonzero(rows[:, 2])
    pauses = np.flatnonzero(rows[:, 0] == 0)
    for start in starts:
        later = [*starts[starts > start][:1], *pauses[pauses > start][:1], len(rows)]
        yield int(start), int(min(later))


def word_prosody(
    rows: NDArray[np.int64],
    durations: NDArray[np.int64],
    pitch: NDArray[np.float32],
    voiced: NDArray[np.bool_],
    mean_log: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the prosody of each word at all of its phones: (phones, ``PROSODY``); 0 at pauses.

    The slope is that of a line over the whole word, fitted to its voiced frames. The tempo is the mean logarithm of the
    durations over their usual ones: above 0 is slow.

    Args:
        rows: (phones, 3), as ``SpeechBatch.phones``.
        durations: (phones,), in frames.
        pitch, voiced: (frames,), the pitch in standard deviations.
        mean_log: mean logarithm of the duration of each symbol.
    """
    values = np.zeros((len(rows), PROSODY), np.float32)
    ends = durations.cumsum()
    for start, end in words_of_rows(rows):
        begin, stop = int(ends[start] - durations[start]), int(ends[end - 1])
        used = voiced[begin:stop] if voiced[begin:stop].any() else np.ones(stop - begin, bool)
        time = ((np.arange(stop - begin) + 0.5) / (stop - begin) - 0.5)[used]
        heights = pitch[begin:stop][used]
        centered = time - time.mean()
        slope = float(centered @ heights / (np.square(centered).sum() + SLOPE_PRIOR))
        slope = min(MAX_SLOPE, max(-MAX_SLOPE, slope))
        tempo = np.mean(np.log(durations[start:end]) - mean_log[rows[start:end, 0]])
        values[start:end] = heights.mean() - slope * time.mean(), slope, tempo
    return values
