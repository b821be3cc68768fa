"""Length of the longest run of characters that a text shares with a much longer one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genai.core.progress import ProgressBar

FIRST_LENGTH = 24
"""First length to search for. It occurs in few places, and longer matches can only be at the same places."""
WINDOWS_PER_CHUNK = 2**20
"""Windows of the long text that are looked up at once."""
BUCKET_BITS = 22
"""Bits of a hash that are compared first: they rule out most windows of the long text."""

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_SEPARATORS = "\U0010ffff", "\U0010fffe"  # after a document, after a text: no characters, so no match crosses an end


@dataclass(frozen=True)
class LongestMatch:
    """The longest run of characters of a text that is also in documents.

    Attributes:
        length: in characters.
        documents: numbers of the documents that hold a run of this length; empty if ``length`` is 0.
    """

    length: int
    documents: list[int]


def longest_match_lengths(texts: Sequence[str], documents: Iterable[str], label: str = "longest copies") -> list[int]:
    """For each of ``texts``, return the length in characters of its longest run that is also in one of ``documents``.

    The length is found by bisection: a text that shares a window of length L also shares shorter ones, at the same
    positions. All windows of a length are compared by 64-bit hashes (Karp & Rabin 1987); for 10 MB the chance that a
    collision makes a length too large is about one in ten million. Peak memory is about 50 bytes per character of
    ``documents``.
    """
    long, short = HashedWindows(documents, _SEPARATORS[0]), HashedWindows(texts, _SEPARATORS[1])
    return [int(length) for length in _search(texts, short, long, label)[0]]


def longest_matches(
    texts: Sequence[str], documents: Sequence[str], label: str = "longest copies"
) -> list[LongestMatch]:
    """For each of ``texts``, return the longest run as ``longest_match_lengths``, and all documents that hold it."""
    long, short = HashedWindows(documents, _SEPARATORS[0]), HashedWindows(texts, _SEPARATORS[1])
    lengths, matches = _search(texts, short, long, label)
    text_starts, document_starts = (np.cumsum([0, *(len(each) + 1 for each in parts)]) for parts in (texts, documents))
    results = []
    for length, start, end in zip(map(int, lengths), text_starts[:-1], text_starts[1:], strict=True):
        places, long_places = matches[length]
        if places is None or long_places is None:
            results.append(LongestMatch(0, []))
            continue
        own = places[(places >= start) & (places < end)]
        is_own = np.isin(long.hashes(long_places, length), short.hashes(own, length))
        numbers = np.searchsorted(document_starts, long_places[is_own], "right") - 1
        results.append(LongestMatch(length, np.unique(numbers).tolist()))
    return results


Matches = dict[int, tuple[Positions | None, Positions | None]]
"""Length -> positions of shared windows in the short and the long texts; ``None``: anywhere."""


def _search(
    texts: Sequence[str], short: "HashedWindows", long: "HashedWindows", label: str
) -> tuple[Positions, Matches]:
    """Return the length of the longest run of each text, and the matches of all lengths that were tried."""
    text_index = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    low, high = np.zeros(len(texts), np.int64), np.array([len(text) for text in texts], np.int64)
    matches: Matches = {0: (None, None)}
    with ProgressBar(label, int(high.sum())) as bar:
        while (low < high).any():
            middles = np.sort(((low + high + 1) // 2)[low < high])
            length = int(middles[len(middles) // 2])  # one answer narrows the search for every text
            length = length if len(matches) > 1 else min(FIRST_LENGTH, int(high.max()))
            short_candidates, long_candidates = matches[max(shorter for shorter in matches if shorter <= length)]
            matches[length] = shared_windows(short, long, length, short_candidates, long_candidates)
            is_shared = np.zeros(len(texts), bool)
            is_shared[text_index[matches[length][0]]] = True
            remaining = int((high - low).sum())
            low = np.where(is_shared, np.maximum(low, length), low)
            high = np.where(is_shared, high, np.minimum(high, length - 1))
            bar.step(remaining - int((high - low).sum()))
    return low, matches


class HashedWindows:
    """Hashes of all windows of texts: the sum over j of character[i + j] base^j, modulo 2^64."""

    def __init__(self, texts: Iterable[str], separator: str) -> None:
        content = "".join(f"{text}{separator}" for text in texts) or separator
        codes = np.frombuffer(content.encode("utf-32-le", "surrogatepass"), np.uint32)
        powers = _powers(_BASE, len(codes))
        self.sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(np.multiply(powers, codes, out=powers), out=self.sums[1:])
        del powers
        self.inverse = _powers(pow(_BASE, -1, 2**64), len(codes))

    def chunks(self, length: int, candidates: Positions | None) -> Iterator[tuple[Positions, Hashes]]:
        """Yield positions and hashes of the windows of ``length`` that start at ``candidates`` (``None``: anywhere)."""
        count, step = len(self.inverse) - length + 1, WINDOWS_PER_CHUNK
        for start in range(0, count if candidates is None else len(candidates), step):
            if candidates is None:
                positions = np.arange(start, min(count, start + step))
            else:
                positions = candidates[start : start + step]
            positions = positions[positions < count]
            yield positions, self.hashes(positions, length)

    def hashes(self, positions: Positions, length: int) -> Hashes:
        """Return the hashes of the windows of ``length`` that start at ``positions``."""
        return (self.sums[positions + length] - self.sums[positions]) * self.inverse[positions]


def shared_windows(
    short: HashedWindows,
    long: HashedWindows,
    length: int,
    short_candidates: Positions | None,
    long_candidates: Positions | None,
) -> tuple[Positions, Positions]:
    """Return the positions in ``short`` and in ``long`` of the windows of ``length`` that occur in both.

    Only windows that start at the candidates are compared (``None``: all).
    """
    empty = np.empty(0, np.int64), np.empty(0, np.uint64)
    positions, hashes = (
        np.concatenate(parts) for parts in zip(empty, *short.chunks(length, short_candidates), strict=True)
    )
    order = np.argsort(hashes)
    positions, hashes = positions[order], hashes[order]
    shift = np.uint64(64 - BUCKET_BITS)
    bucket_used = np.zeros(2**BUCKET_BITS, bool)
    bucket_used[hashes >> shift] = True
    is_matched = np.zeros(len(hashes), bool)
    long_matches = [empty[0]]
    for long_positions, long_hashes in long.chunks(length, long_candidates):
        candidates = np.flatnonzero(bucket_used[long_hashes >> shift])
        rows = np.minimum(np.searchsorted(hashes, long_hashes[candidates]), len(hashes) - 1)
        is_equal = hashes[rows] == long_hashes[candidates]
        is_matched[rows[is_equal]] = True
        long_matches.append(long_positions[candidates[is_equal]])
    first_rows = np.searchsorted(hashes, hashes)  # equal windows share the first of their rows
    return positions[is_matched[first_rows]], np.concatenate(long_matches)


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, out=powers)
