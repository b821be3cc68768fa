"""When each sound of a text is said: a hidden Markov model that learns it from recordings and their texts alone.

Each phone is a chain of states, each state a Gaussian with a diagonal covariance. Pauses are optional between words and
at both ends. It starts from frames shared evenly among the sounds of each text ("flat start"), and repeats: fit the
Gaussians, find the best path through each text (Viterbi training, as in HTK and Kaldi's first pass).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.speech.phones import PAUSE, Alignment, Word
from genai.speech.viterbi import LOG_ZERO, Floats, Indices, add_statistics, best_path, frame_log_probs
from genai.speech.voice_frames import VoiceFrames

NUM_CEPSTRA = 13
DELTA_WEIGHT, VOICING_WEIGHT = 0.7, 0.7
"""Weights of the log-likelihoods of slopes and voicing; those of cepstra have 1."""
QUIET = 6.5, 7.5
"""How far a frame is below the loudest one, as log power, beyond which it starts as a pause: at the ends, within."""
PRIOR_FRAMES = 8.0
"""Frames of the average sound that are added to each state, so that rare sounds are not fitted to a few frames."""
MIN_VARIANCE = 0.15
"""Lowest variance of a feature in a state; that of all frames is 1."""
PAUSE_COST = 25.0
"""Log-likelihood that a pause between words has to gain: the closure of a stop, as in "p", is silent, but no pause."""
MIN_SCALE = 1e-6
"""Lowest deviation of a feature over all frames."""
MAX_CELLS = 500_000_000
"""Largest product of the frames of a recording and the states of its text; half a GB of memory, about ten minutes."""


@dataclass(frozen=True)
class Chain:
    """The states of a text in order.

    Attributes:
        states: (chain,), of the model.
        optional: (chain,), states that may be left out.
        costs: (chain,), log-likelihood that entering a state costs.
        symbols: (symbols,), phones and pauses.
        words: (symbols,), index of each symbol's word; -1 for a pause.
        owners: (chain,), the symbol of each state.
    """

    states: Indices
    optional: NDArray[np.bool_]
    costs: Floats
    symbols: tuple[str, ...]
    words: tuple[int, ...]
    owners: Indices

    @property
    def min_frames(self) -> int:
        """Fewest frames that the text can have."""
        return int((~self.optional).sum())


class Aligner:
    """A model of sounds that aligns recordings with their texts.

    Args:
        states_per_phone: parts of a phone, each at least a frame long; a recording that is too short for its text has
            fewer.
        rounds: of fitting and aligning.
    """

    def __init__(self, states_per_phone: int = 3, rounds: int = 14) -> None:
        self.states_per_phone, self.rounds = states_per_phone, rounds
        self.symbols: dict[str, int] = {PAUSE: 0}
        self.mean, self.scale = np.zeros(1), np.ones(1)

    def fit(
        self,
        recordings: Sequence[VoiceFrames],
        texts: Sequence[Sequence[Word]],
        step: Callable[[], None] = lambda: None,
    ) -> list[Alignment | None]:
        """Learn the sounds of recordings, and align them.

        Args:
            recordings: of one voice, or of several that are alike.
            texts: what each recording says.
            step: is called after each round.

        Returns:
            The alignment of each recording; ``None`` for one that is too short for its text, or too long.

        Raises:
            UserError: no recording can be aligned.
        """
        phones = sorted({phone.symbol for words in texts for word in words for phone in word.phones} - {PAUSE})
        self.symbols = {PAUSE: 0} | {symbol: index for index, symbol in enumerate(phones, 1)}
        chains = [self._chain(words, len(frames)) for frames, words in zip(recordings, texts, strict=True)]
        usable = [i for i, (frames, chain) in enumerate(zip(recordings, chains, strict=True)) if _fits(frames, chain)]
        if not usable:
            raise UserError("no recording can be aligned with its text: the texts are empty, or do not fit the sounds.")
        features = [alignment_features(recordings[index]) for index in usable]
        total = np.concatenate(features)
        self.mean, self.scale = total.mean(0), np.maximum(total.std(0), MIN_SCALE)
        features = [(values - self.mean) / self.scale for values in features]
        del total
        paths = [chains[i].states[_flat_start(recordings[i], chains[i])] for i in usable]
        results = list[tuple[Indices, float]]()
        for _ in range(self.rounds):
            self._fit_states(features, paths)
            results = [self._best_path(values, chains[i]) for values, i in zip(features, usable, strict=True)]
            paths = [chains[i].states[path] for (path, _), i in zip(results, usable, strict=True)]
            step()
        alignments: list[Alignment | None] = [None] * len(recordings)
        for (path, score), i in zip(results, usable, strict=True):
            alignments[i] = _to_alignment(chains[i], path, score)
        return alignments

    def align(self, frames: VoiceFrames, words: Sequence[Word]) -> Alignment:
        """Align a recording with its text, after ``fit``.

        Raises:
            UserError: it is too short or too long, or has no text.
        """
        chain = self._chain(words, len(frames))
        if not _fits(frames, chain):
            raise UserError(f"a recording of {len(frames)} frames cannot be aligned with {chain.min_frames} states.")
        return _to_alignment(chain, *self._best_path((alignment_features(frames) - self.mean) / self.scale, chain))

    def _chain(self, words: Sequence[Word], num_frames: int) -> Chain:
        """Return the states of a text; those beyond what a recording has room for are optional."""
        min_frames = min(self.states_per_phone, num_frames // max(1, sum(len(word.phones) for word in words)))
        symbols, word_indices = [PAUSE], [-1]
        for index, word in enumerate(words):
            if word.phones:
                symbols += [*(phone.symbol for phone in word.phones), PAUSE]
                word_indices += [*([index] * len(word.phones)), -1]
        states, owners, optional = list[int](), list[int](), list[bool]()
        for position, symbol in enumerate(symbols):
            first = 1 + (self.symbols.get(symbol, len(self.symbols)) - 1) * self.states_per_phone
            new = [0] if symbol == PAUSE else range(first, first + self.states_per_phone)
            states += new
            owners += [position] * len(new)
            optional += [symbol == PAUSE or i >= max(1, min_frames) for i in range(len(new))]
        costs = np.where(np.array(states) == 0, PAUSE_COST, 0.0)
        costs[-1] = 0.0  # silence at the end is no pause between words
        return Chain(np.array(states), np.array(optional), costs, tuple(symbols), tuple(word_indices), np.array(owners))

    def _fit_states(self, features: Sequence[Floats], paths: Sequence[Indices]) -> None:
        """Fit the Gaussian of each state to its frames; the last states stand for unknown phones."""
        num_states, width = 1 + len(self.symbols) * self.states_per_phone, features[0].shape[1]
        counts, sums, squares = np.zeros(num_states), np.zeros((num_states, width)), np.zeros((num_states, width))
        for values, path in zip(features, paths, strict=True):
            add_statistics(values, path, counts, sums, squares)
        count = np.maximum(counts, 1)[:, None]
        variances = np.maximum(squares / count - (sums / count) ** 2, 0)
        weight = (counts / (counts + PRIOR_FRAMES))[:, None]
        variances = np.maximum(weight * variances + 1 - weight, MIN_VARIANCE)
        self.means = weight * sums / count
        self.precisions = _WEIGHTS / (2 * variances)
        self.offsets = -0.5 * (np.log(variances) * _WEIGHTS).sum(1)

    def _best_path(self, features: Floats, chain: Chain) -> tuple[Indices, float]:
        """Return the place of each frame in the chain, and the mean log-likelihood of a frame."""
        states, columns = np.unique(chain.states, return_inverse=True)
        log_probs = frame_log_probs(features, states, self.means, self.precisions, self.offsets)
        path, total = best_path(log_probs, columns, chain.optional, chain.costs)
        assert total > LOG_ZERO
        return path, total / len(features)


_WEIGHTS = np.repeat([1.0, DELTA_WEIGHT, VOICING_WEIGHT], [NUM_CEPSTRA, NUM_CEPSTRA, 1])


def alignment_features(frames: VoiceFrames) -> Floats:
    """Return cepstra of the envelope, their slopes, and whether a frame is voiced: (frames, 27)."""
    bands = frames.log_envelope.shape[1]
    angles = np.pi / bands * np.arange(NUM_CEPSTRA)[:, None] * (np.arange(bands) + 0.5)  # DCT-II
    basis = np.cos(angles) * np.sqrt(np.where(np.arange(NUM_CEPSTRA) == 0, 1, 2) / bands)[:, None]
    cepstra = frames.log_envelope.astype(np.float64) @ basis.T
    slopes = np.gradient(cepstra, axis=0) if len(cepstra) > 1 else np.zeros_like(cepstra)
    return np.concatenate([cepstra, slopes, (frames.f0 > 0)[:, None]], 1)


def _fits(frames: VoiceFrames, chain: Chain) -> bool:
    """Return whether a recording can be aligned with a text."""
    return 0 < chain.min_frames <= len(frames) and len(frames) * len(chain.states) <= MAX_CELLS


def _flat_start(frames: VoiceFrames, chain: Chain) -> Indices:
    """Return places in the chain (frames,): loud frames are shared evenly among the phones, quiet ones are pauses."""
    loudness = frames.log_envelope.max(1)
    loud = np.flatnonzero(loudness > loudness.max() - QUIET[0])
    first, count = loud[0], loud[-1] + 1 - loud[0]
    phones = np.flatnonzero(chain.states > 0)
    places = np.zeros(len(frames), np.int64)  # the chain begins with a pause
    places[first : first + count] = phones[np.arange(count) * len(phones) // count]
    places[loudness < loudness.max() - QUIET[1]] = 0
    return places


def _to_alignment(chain: Chain, path: Indices, score: float) -> Alignment:
    frames = np.bincount(chain.owners[path], minlength=len(chain.symbols))
    used = np.flatnonzero(frames)
    return Alignment(
        tuple(chain.symbols[i] for i in used),
        tuple(chain.words[i] for i in used),
        tuple(int(frames[i]) for i in used),
        score,
    )
