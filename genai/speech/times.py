"""When the words of an aligned recording are said, and the files that say so, also TextGrid (Praat)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from genai.media.word_times import DIGITS, TimedPhone, TimedWord, subtitles, times_json
from genai.speech.phones import PAUSE, Alignment, Word
from genai.speech.voice_frames import FRAME_SECONDS


def word_times(alignment: Alignment, words: Sequence[Word], seconds: float) -> list[TimedWord]:
    """Return when the words are said. A frame lasts from half a step before its center to half a step after.

    Args:
        alignment: of the recording.
        words: of its text.
        seconds: length of the recording.
    """

    def time(frame: int) -> float:
        return round(min(max((frame - 0.5) * FRAME_SECONDS, 0.0), seconds), DIGITS)

    phones, end, last = dict[int, list[TimedPhone]](), 0, sum(alignment.frames)
    for symbol, index, frames in zip(alignment.symbols, alignment.words, alignment.frames, strict=True):
        start, end = end, end + frames
        if symbol != PAUSE:
            phone = TimedPhone(symbol, time(start), seconds if end == last else time(end))
            phones.setdefault(index, []).append(phone)
    return [
        TimedWord(words[index].text, each[0].start, each[-1].end, tuple(each), words[index].pause in (".", "?", "!"))
        for index, each in phones.items()
    ]


def text_grid(words: Sequence[TimedWord], seconds: float) -> str:
    """Return a TextGrid of Praat with two tiers: words and phones."""
    spans_by_name = {
        "words": [(word.text, word.start, word.end) for word in words],
        "phones": [(phone.symbol, phone.start, phone.end) for word in words for phone in word.phones],
    }
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n'
    rows = [head, f"xmin = 0\nxmax = {seconds:.{DIGITS}f}\ntiers? <exists>\nsize = {len(spans_by_name)}\nitem []:"]
    for number, (name, spans) in enumerate(spans_by_name.items(), 1):
        intervals = list(_with_gaps(spans, seconds))
        rows.append(f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"')
        rows.append(f"        xmin = 0\n        xmax = {seconds:.{DIGITS}f}")
        rows.append(f"        intervals: size = {len(intervals)}")
        for index, (label, start, end) in enumerate(intervals, 1):
            text = label.replace('"', '""')
            rows.append(f"        intervals [{index}]:\n            xmin = {start:.{DIGITS}f}")
            rows.append(f'            xmax = {end:.{DIGITS}f}\n            text = "{text}"')
    return "\n".join(rows) + "\n"


WRITERS: Mapping[str, Callable[[Sequence[TimedWord], float], str]] = {
    "json": times_json,
    "textgrid": text_grid,
    "srt": lambda words, _: subtitles(words),
}
"""What writes times, by the name of the format."""
SUFFIXES = {"json": ".json", "textgrid": ".TextGrid", "srt": ".srt"}
"""Suffixes of their files."""


def _with_gaps(spans: Sequence[tuple[str, float, float]], seconds: float) -> Iterator[tuple[str, float, float]]:
    """Yield spans without gaps from 0 to ``seconds``: those without text are pauses."""
    last = 0.0
    for text, start, end in spans:
        if start > last:
            yield "", last, start
        if end > start:
            yield text, start, end
        last = end
    if last < seconds:
        yield "", last, seconds
