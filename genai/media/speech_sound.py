"""Sounds of speech that know when each word is said."""

from dataclasses import dataclass

from genai.media.sound import Sound
from genai.media.word_times import TimedWord, subtitles, times_json


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
        content = times_json(self.words, self.seconds)
        return {"-words.json": content.encode(), ".srt": subtitles(self.words).encode()}
