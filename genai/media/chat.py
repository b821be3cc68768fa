"""Conversations as training texts: messages with roles, of which the assistant's are to be learned."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genai.core.errors import UserError, join_names, short_repr
from genai.media.text import Document

Message = Mapping[str, Any]
"""``{"role": "user", "content": "Hi"}``."""
ROLES = ("system", "developer", "user", "assistant", "tool")


class Chat(Document):
    """A conversation; as a text, the contents of its messages.

    Attributes:
        messages: each with ``role`` and ``content``; an answer with ``weight`` 0 is not learned.
        place: file and row that it comes from, for people.
    """

    messages: Sequence[Message] = ()
    place: str = ""

    @classmethod
    def from_messages(cls, messages: Sequence[Message], place: str = "") -> "Chat":
        """Create it from checked messages."""
        chat = cls("\n".join(message["content"] for message in messages))
        chat.messages, chat.place = tuple(messages), place
        return chat

    @property
    def answers(self) -> list[int]:
        """Indices of the messages to learn: the assistant's that follow another message."""
        return [
            index
            for index, message in enumerate(self.messages)
            if index and message["role"] == "assistant" and message.get("weight", 1)
        ]

    @property
    def question(self) -> Sequence[Message]:
        """The messages before the last answer."""
        return self.messages[: self.answers[-1]]

    @property
    def answer(self) -> str:
        """The last answer."""
        return str(self.messages[self.answers[-1]]["content"])

    @property
    def key(self) -> str:
        """Its content as one line of JSON: equal for equal conversations."""
        return json.dumps(list(self.messages), ensure_ascii=True, sort_keys=True)


class Question(str):
    """The text of the last message before an answer, as rewards get it.

    Attributes:
        chat: the conversation that it is from.
        answers: the answers that the data have to it, without spaces around them.
    """

    chat: Chat
    answers: tuple[str, ...] = ()

    @classmethod
    def from_chats(cls, chats: Sequence[Chat]) -> "Question":
        """Create it from conversations that are equal up to their last answers."""
        question = cls(chats[0].question[-1]["content"])
        question.chat, question.answers = chats[0], tuple(dict.fromkeys(chat.answer.strip() for chat in chats))
        return question


def check_messages(messages: object, name: str) -> list[Message]:
    """Return messages if each has a role and a text, and a weight of 0 or 1 if any. Raises ``UserError``.

    A template may know fewer roles.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise UserError(f'{name}: it should be a list of messages, [{{"role": "user", "content": "Hi"}}].')
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise UserError(f"{name}: {short_repr(message)} is no message with a role and a content, which are texts.")
        if message["role"] not in ROLES:
            raise UserError(f"{name}: there is no role {short_repr(message['role'])}. There are: {join_names(ROLES)}.")
        weight = message.get("weight", 1)
        if not isinstance(weight, int | float) or weight not in (0, 1):
            raise UserError(f"{name}: the weight of a message is 0 or 1, not {short_repr(weight)}.")
    return list(messages)
