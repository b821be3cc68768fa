"""Protocol of sources that can judge answers to their questions."""

from typing import Protocol, runtime_checkable

from genai.media.chat import Chat


@runtime_checkable
class ChecksAnswers(Protocol):
    """A source that knows whether an answer is right, though it is not the one that it has."""

    def is_right(self, chat: Chat, answer: str) -> bool: ...


@runtime_checkable
class ScoresAnswers(Protocol):
    """A source that knows how good a wrong answer is: from 0 to less than 1; a right one is worth 1."""

    def score(self, chat: Chat, answer: str) -> float: ...
