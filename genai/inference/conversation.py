"""A conversation with a model that has a chat template: its messages, and the prompt of the next answer."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genai.core.errors import UserError
from genai.core.files import read_text
from genai.core.plain_data import parse_json
from genai.media.chat import Message, check_messages
from genai.modalities.text import Text

if TYPE_CHECKING:
    from genai.inference.model import Model

DEFAULT_LENGTH = 256
"""Tokens of an answer for which a prompt leaves room if nothing else is said."""


def chat_modality(model: "Model") -> Text:
    """Return the modality of a chat model. Raises ``UserError`` if the model has no chat template."""
    modality = model.modality
    if not isinstance(modality, Text) or modality.chat_template is None:
        raise UserError(f"{model.file}: this model has no chat template, so it cannot chat. prompt= continues a text.")
    return modality


@dataclass
class Conversation:
    """Messages between a person and a model.

    Attributes:
        model: has a chat template.
        system: the first message, which says how the model should answer; "": none.
        messages: of the user and of the assistant, in turn.
        num_dropped: oldest messages that no longer fit into the context; they stay in ``messages``.
    """

    model: "Model"
    system: str = ""
    messages: list[Message] = field(default_factory=list)
    num_dropped: int = 0

    def __post_init__(self) -> None:
        chat_modality(self.model)

    @classmethod
    def from_messages(cls, model: "Model", messages: object, name: str = "messages=") -> "Conversation":
        """Continue a list of messages, of which the first may be the system's. Raises ``UserError``."""
        checked = check_messages(messages, name)
        system = checked.pop(0)["content"] if checked[0]["role"] == "system" else ""
        return cls(model, system, checked)

    @property
    def all_messages(self) -> list[Message]:
        """All messages, the system's first."""
        return [*self._system_messages(), *self.messages]

    def add(self, role: str, content: str) -> None:
        """Append a message."""
        self.messages.append({"role": role, "content": content})

    def undo(self) -> bool:
        """Remove the last question and its answer; return whether there was one."""
        while self.messages:
            if self.messages.pop()["role"] == "user":
                self.num_dropped = min(self.num_dropped, len(self.messages))
                return True
        return False

    def prompt(self, length: int | None = None) -> str:
        """Return the prompt of the next answer, with room for ``length`` tokens, but at most half of the context.

        Oldest pairs of question and answer are dropped until the rest fits. Raises what the template does.
        """
        if self.messages and self.messages[-1]["role"] == "assistant":
            raise UserError("the last message is an answer of the assistant: end with a question.")
        modality = chat_modality(self.model)
        max_tokens = max(modality.block - (DEFAULT_LENGTH if length is None else length), modality.block // 2)
        while True:
            messages = [*self._system_messages(), *self.messages[self.num_dropped :]]
            text = modality.chat_prompt(messages)
            if len(self.messages) - self.num_dropped <= 2 or len(modality.encode_prompt(text)) <= max_tokens:
                return text
            self.num_dropped += 2

    def save(self, path: Path) -> None:
        """Append the conversation to a file of JSON lines, each an object with ``messages``."""
        line = json.dumps({"messages": self.all_messages}, ensure_ascii=False) + "\n"
        try:
            with path.expanduser().open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}.") from error

    def _system_messages(self) -> list[Message]:
        return [{"role": "system", "content": self.system}] if self.system else []


def read_messages(path: Path) -> list[Message]:
    """Read messages from a JSON file: a list of them, or an object with ``messages``, such as the last line of a file
    that ``Conversation.save`` wrote. Raises ``UserError``."""
    text = read_text(path, "recipe")
    lines = [line for line in text.splitlines() if line.strip()]
    has_lines = path.suffix == ".jsonl" and bool(lines)
    values = parse_json(lines[-1] if has_lines else text, str(path))
    messages = values.get("messages") if isinstance(values, dict) else values
    return check_messages(messages, str(path))
