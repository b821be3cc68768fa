"""When words and phones are said, in seconds, and as JSON, SRT (subtitles) and TextGrid (Praat)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from genai.speech.phones import PAUSE, Alignment, Word
from genai.speech.voice_frames import FRAME_SECONDS

MAX_LINE = 42
"""Longest line of subtitles, in characters, unless a word is longer."""
MIN_BREAK = 0.3
"""Pause that ends a line of subtitles, in seconds."""
DIGITS = 5
"""Digits of seconds after the point: a frame is 0.0125 s, and half of it 0.00625 s."""


@dataclass(frozen=True)
class Span:
    """A word or phone, and when it is said: ``begin`` to ``end``, in seconds."""

    text: str
    begin: float
    end: float


@dataclass(frozen=True)
class Times:
    """When the words and phones of a recording are said.

    Attributes:
        words: those that are said; their text is as it is read aloud.
        phones: of all words in order; pauses are not among them.
        seconds: length of the recording.
        line_ends: indices of words after which a line of subtitles ends: those before ``.``, ``?``, ``!``.
    """

    words: Sequence[Span]
    phones: Sequence[Span]
    seconds: float
    line_ends: frozenset[int] = frozenset()

    @classmethod
    def of(cls, alignment: Alignment, words: Sequence[Word], seconds: float) -> "Times":
        """Return the times of an alignment. A frame lasts from half a step before its center to half a step after."""
        phones, spans, end = list[Span](), dict[int, Span](), 0

        def time(frame: int) -> float:
            return round(min(max((frame - 0.5) * FRAME_SECONDS, 0.0), seconds), DIGITS)

        last = sum(alignment.frames)
        for symbol, index, frames in zip(alignment.symbols, alignment.words, alignment.frames, strict=True):
            begin, end = end, end + frames
            if symbol == PAUSE:
                continue
            phones.append(Span(symbol, time(begin), seconds if end == last else time(end)))
            first = spans.get(index, phones[-1])
            spans[index] = Span(words[index].text, first.begin, phones[-1].end)
        ends = frozenset(place for place, index in enumerate(spans) if words[index].pause in (".", "?", "!"))
        return cls(list(spans.values()), phones, seconds, ends)

    def to_json(self) -> str:
        """Return the times as JSON: ``{"seconds": ..., "words": [{"text": ..., "begin": ..., "end": ...}], ...}``."""
        value = {"seconds": round(self.seconds, DIGITS), "words": list(map(vars, self.words))}
        return json.dumps(value | {"phones": list(map(vars, self.phones))}, ensure_ascii=False, indent=1) + "\n"

    def to_srt(self) -> str:
        """Return subtitles: lines that end at sentences and pauses."""
        blocks = []
        for number, line in enumerate(self._lines(), 1):
            text = " ".join(word.text for word in line)
            blocks.append(f"{number}\n{_srt_time(line[0].begin)} --> {_srt_time(line[-1].end)}\n{text}\n")
        return "\n".join(blocks)

    def to_text_grid(self) -> str:
        """Return a TextGrid of Praat with two tiers: words and phones."""
        head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n'
        rows = [head, f"xmin = 0\nxmax = {self.seconds:.{DIGITS}f}\ntiers? <exists>\nsize = 2\nitem []:"]
        for number, (name, spans) in enumerate((("words", self.words), ("phones", self.phones)), 1):
            intervals = list(_with_gaps(spans, self.seconds))
            rows.append(f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"')
            rows.append(f"        xmin = 0\n        xmax = {self.seconds:.{DIGITS}f}")
            rows.append(f"        intervals: size = {len(intervals)}")
            for index, span in enumerate(intervals, 1):
                text = span.text.replace('"', '""')
                rows.append(f"        intervals [{index}]:\n            xmin = {span.begin:.{DIGITS}f}")
                rows.append(f'            xmax = {span.end:.{DIGITS}f}\n            text = "{text}"')
        return "\n".join(rows) + "\n"

    def _lines(self) -> Iterator[list[Span]]:
        line = list[Span]()
        for index, word in enumerate(self.words):
            length = sum(len(other.text) + 1 for other in line) + len(word.text)
            if line and (index - 1 in self.line_ends or word.begin - line[-1].end >= MIN_BREAK or length > MAX_LINE):
                yield line
                line = []
            line.append(word)
        if line:
            yield line


WRITERS: Mapping[str, Callable[[Times], str]] = {
    "json": Times.to_json,
    "textgrid": Times.to_text_grid,
    "srt": Times.to_srt,
}
"""What writes times, by the name of the format."""
SUFFIXES = {"json": ".json", "textgrid": ".TextGrid", "srt": ".srt"}
"""Suffixes of their files."""


def _with_gaps(spans: Sequence[Span], seconds: float) -> Iterator[Span]:
    """Yield spans without gaps from 0 to ``seconds``: those without text are pauses."""
    end = 0.0
    for span in spans:
        if span.begin > end:
            yield Span("", end, span.begin)
        if span.end > span.begin:
            yield span
        end = span.end
    if end < seconds:
        yield Span("", end, seconds)


def _srt_time(seconds: float) -> str:
    """Format a time as SRT does: ``00:01:02,345``."""
    total = round(1000 * seconds)
    minutes, rest = divmod(total, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
