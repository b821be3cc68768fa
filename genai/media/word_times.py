"""When words and phones are said, in seconds, and as JSON and SRT (subtitles)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_LINE = 42
"""Longest line of a subtitle, in characters, unless a word is longer."""
MAX_LINE_GAP = 0.5
"""Seconds of silence after which a subtitle ends."""
DIGITS = 5
"""Digits of seconds after the point: a frame of a vocoder is 0.0125 s, and half of it 0.00625 s."""


@dataclass(frozen=True)
class TimedPhone:
    """A phone, and when it sounds, in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class TimedWord:
    """A word, and when it is said.

    Attributes:
        text: as it is read aloud.
        start, end: in seconds.
        phones: its sounds.
        ends_sentence: whether it is the last one of a sentence.
    """

    text: str
    start: float
    end: float
    phones: tuple[TimedPhone, ...] = ()
    ends_sentence: bool = False


def times_json(words: Sequence[TimedWord], seconds: float) -> str:
    """Return ``{"seconds": ..., "words": [{"text": ..., "start": ..., "end": ..., "phones": [...]}, ...]}``."""
    entries = [
        {
            "text": word.text,
            "start": round(word.start, DIGITS),
            "end": round(word.end, DIGITS),
            "phones": [
                {"symbol": phone.symbol, "start": round(phone.start, DIGITS), "end": round(phone.end, DIGITS)}
                for phone in word.phones
            ],
        }
        for word in words
    ]
    return json.dumps({"seconds": round(seconds, DIGITS), "words": entries}, indent=1, ensure_ascii=False) + "\n"


def subtitles(words: Sequence[TimedWord]) -> str:
    """Return words as SRT: lines that end at sentences and pauses."""
    blocks = []
    for number, line in enumerate(_lines(words), 1):
        text = " ".join(word.text for word in line)
        blocks.append(f"{number}\n{_srt_time(line[0].start)} --> {_srt_time(line[-1].end)}\n{text}\n")
    return "\n".join(blocks)


def _lines(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    line: list[TimedWord] = []
    for word in words:
        length = sum(len(other.text) + 1 for other in line) + len(word.text)
        if line and (line[-1].ends_sentence or length > MAX_LINE or word.start - line[-1].end > MAX_LINE_GAP):
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def _srt_time(seconds: float) -> str:
    """Format a time as SRT does: ``00:01:02,345``."""
    minutes, rest = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
