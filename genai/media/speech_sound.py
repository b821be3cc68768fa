"""Sounds of speech that know when each word is said."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genai.media.sound import Sound

MAX_LINE = 42
"""Longest line of a subtitle, in characters."""
MAX_LINE_GAP = 0.7
"""Seconds of silence after which a subtitle ends."""


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


@dataclass(frozen=True, eq=False, repr=False)
class SpeechSound(Sound):
    """A sound with the times of its words.

    Attributes:
        words: in order.
    """

    words: tuple[TimedWord, ...] = ()

    @property
    def side_files(self) -> dict[str, bytes]:
        """The times of words and phones as JSON, and subtitles, by the endings of their file names."""
        if not self.words:
            return {}
        entries = [
            {
                "text": word.text,
                "start": round(word.start, 4),
                "end": round(word.end, 4),
                "phones": [
                    {"symbol": phone.symbol, "start": round(phone.start, 4), "end": round(phone.end, 4)}
                    for phone in word.phones
                ],
            }
            for word in self.words
        ]
        content = json.dumps({"seconds": round(self.seconds, 4), "words": entries}, indent=1, ensure_ascii=False)
        return {"-words.json": f"{content}\n".encode(), ".srt": subtitles(self.words).encode()}


def subtitles(words: Sequence[TimedWord]) -> str:
    """Return words as subtitles of one line, in the format SubRip."""
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
    ms = round(1000 * seconds)
    minutes, hours = ms // 60_000 % 60, ms // 3_600_000
    return f"{hours:02d}:{minutes:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
