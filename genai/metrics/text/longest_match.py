"""The longest run of characters that a text has in common with another, much longer one."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from genai.core.progress import ProgressBar

FIRST = 24
"""The first length to look for: longer windows can be shared only where one so long is, which is in few places."""
CHUNK = 2**20
"""Windows of the long text that are looked up at once."""
BUCKETS = 22
"""Bits of a hash that are looked up first: most windows are nowhere in the short texts, and are told by these."""

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_ENDS = "\U0010ffff", "\U0010fffe"  # behind a document, behind a text: no characters, so no window reaches over them


def longest_shared(texts: Sequence[str], documents: Iterable[str], label: str = "longest copies") -> list[int]:
    """For each of ``texts`` the length in characters of its longest run that is also in one of ``documents``.

    Bisection over the length of a window: a text that shares one of length L shares shorter ones too, at the same
    places. All windows of a length are compared by a hash of 64 bits (Karp & Rabin 1987), which leaves a chance of
    about one in ten million for 10 MB that a length is too large. At its peak it takes some 50 bytes of memory a
    character of ``documents``.
    """
    long, short = Windows(documents, _ENDS[0]), Windows(texts, _ENDS[1])
    owner = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    low, high = np.zeros(len(texts), np.int64), np.array([len(text) for text in texts], np.int64)
    shared: dict[int, tuple[Places | None, Places | None]] = {0: (None, None)}  # where, by length; None: anywhere
    with ProgressBar(label, int(high.sum())) as bar:
        while (low < high).any():
            middles = np.sort(((low + high + 1) // 2)[low < high])
            length = int(middles[len(middles) // 2])  # one answer narrows the search for every text
            length = length if len(shared) > 1 else min(FIRST, int(high.max()))
            here, there = shared[max(known for known in shared if known <= length)]
            found, places = compare(short, long, length, here, there)
            shared[length] = found, places
            hit = np.zeros(len(texts), bool)
            hit[owner[found]] = True
            before = int((high - low).sum())
            low = np.where(hit, np.maximum(low, length), low)
            high = np.where(hit, high, np.minimum(high, length - 1))
            bar.step(before - int((high - low).sum()))
    return [int(value) for value in low]


class Windows:
    """All windows of texts, hashed: the sum over j of character[i + j] base^j, modulo 2^64."""

    def __init__(self, texts: Iterable[str], end: str) -> None:
        content = "".join(f"{text}{end}" for text in texts) or end
        codes = np.frombuffer(content.encode("utf-32-le", "surrogatepass"), np.uint32)
        powers = _powers(_BASE, len(codes))
        self.sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(np.multiply(powers, codes, out=powers), out=self.sums[1:])
        del powers
        self.inverse = _powers(pow(_BASE, -1, 2**64), len(codes))

    def chunks(self, length: int, among: Places | None) -> Iterator[tuple[Places, Hashes]]:
        """Windows of ``length`` that begin ``among`` places (``None``: everywhere): where, and their hashes."""
        count = len(self.inverse) - length + 1
        for start in range(0, count if among is None else len(among), CHUNK):
            places = np.arange(start, min(count, start + CHUNK)) if among is None else among[start : start + CHUNK]
            places = places[places < count]
            yield places, (self.sums[places + length] - self.sums[places]) * self.inverse[places]


def compare(
    short: Windows, long: Windows, length: int, here: Places | None, there: Places | None
) -> tuple[Places, Places]:
    """Where the windows of ``length`` begin that both texts have, in each: looked for ``here`` and ``there``."""
    none = np.empty(0, np.int64), np.empty(0, np.uint64)
    mine, wanted = (np.concatenate(parts) for parts in zip(none, *short.chunks(length, here), strict=True))
    order = np.argsort(wanted)
    mine, wanted = mine[order], wanted[order]
    bits = np.uint64(64 - BUCKETS)
    likely = np.zeros(2**BUCKETS, bool)
    likely[wanted >> bits] = True
    seen = np.zeros(len(wanted), bool)
    found = [none[0]]
    for places, hashes in long.chunks(length, there):
        kept = np.flatnonzero(likely[hashes >> bits])
        rows = np.minimum(np.searchsorted(wanted, hashes[kept]), len(wanted) - 1)
        same = wanted[rows] == hashes[kept]
        seen[rows[same]] = True
        found.append(places[kept[same]])
    first = np.searchsorted(wanted, wanted)  # equal windows share the first of their rows
    return mine[seen[first]], np.concatenate(found)


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, out=powers)
