"""Pairs of conversations that begin alike and end with two answers, of which people prefer one."""

import json
from collections.abc import Sequence

from genai.media.chat import Chat, Message
from genai.media.text import Document


class ChatPair(Document):
    """A question with a chosen and a rejected answer; as a text, the conversation with the chosen one.

    Attributes:
        chosen, rejected: the whole conversations; only the answers in which they differ are to be learned.
        place: file and row that it comes from, for people.
    """

    chosen: Chat
    rejected: Chat
    place: str = ""

    @classmethod
    def from_messages(
        cls, question: Sequence[Message], chosen: Sequence[Message], rejected: Sequence[Message], place: str = ""
    ) -> "ChatPair":
        """Create it from checked messages: those that both conversations have, and those that follow in each."""
        common = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in question]
        chats = [Chat.from_messages([*common, *answer], place) for answer in (chosen, rejected)]
        pair = cls(str(chats[0]))
        pair.chosen, pair.rejected, pair.place = *chats, place
        return pair

    @property
    def key(self) -> str:
        """Its content as one line of JSON: equal for equal pairs."""
        return json.dumps([self.chosen.key, self.rejected.key])
