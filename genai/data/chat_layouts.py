"""Layouts of rows with conversations, as data sets for instruction tuning have them, and their messages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from genai.core.errors import UserError, did_you_mean, join_names, short_repr, short_text
from genai.media.chat import Message, check_messages

Row = Mapping[str, Any]
T = TypeVar("T")
SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "model": "assistant", "bing": "assistant", "bard": "assistant", "system": "system", "tool": "tool",
}  # fmt: skip
"""Roles by the names of ShareGPT's ``from``."""


@dataclass(frozen=True)
class Layout(Generic[T]):
    """A layout of rows.

    Attributes:
        name: for people.
        fields: that a row has.
        convert: returns the messages of a row, for a place that begins its errors. Raises ``UserError``.
    """

    name: str
    fields: tuple[str, ...]
    convert: Callable[[Row, str], T]

    def fits(self, row: Any) -> bool:
        """Return whether a row has the fields."""
        return isinstance(row, Mapping) and all(row.get(name) is not None for name in self.fields)


def find_layout(row: Any, place: str, layouts: Sequence[Layout[T]], what: str) -> Layout[T]:
    """Return the layout of a row.

    Args:
        row: any value.
        place: of the row, for messages.
        layouts: that are possible.
        what: a row is, for messages.

    Raises:
        UserError: it has none of them, or is the error of its line.
    """
    if isinstance(row, UserError):
        raise row
    layout = next((layout for layout in layouts if layout.fits(row)), None)
    if layout is None:
        fields = short_text(", ".join(map(str, row))) if isinstance(row, Mapping) else type(row).__name__
        allowed = "; ".join(join_names(layout.fields) for layout in layouts)
        known = [name for layout in layouts for name in layout.fields]
        unknown = [str(name) for name in row if name not in known] if isinstance(row, Mapping) else []
        hint = next(filter(None, (did_you_mean(name, known) for name in unknown)), "")
        raise UserError(
            f"{place} has the fields {fields};{hint} {what} has the fields of one of these lists: {allowed}."
        )
    return layout


def _from_messages(row: Row, name: str) -> list[Message]:
    if not isinstance(row["messages"], list):
        raise UserError(f"{name}: its messages are {short_repr(row['messages'])}, not a list.")
    return plain_messages(row["messages"], name)


def _from_sharegpt(row: Row, name: str) -> list[Message]:
    turns = row["conversations"]
    if not isinstance(turns, list):
        raise UserError(f"{name}: its conversations are {short_repr(turns)}, not a list.")
    if turns and all(isinstance(turn, dict) and "role" in turn for turn in turns):
        return plain_messages(turns, name)
    messages: list[Message] = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for turn in turns:
        role = SHAREGPT_ROLES.get(str(turn.get("from"))) if isinstance(turn, dict) else None
        if role is None:
            allowed = join_names(SHAREGPT_ROLES)
            raise UserError(f"{name}: {short_repr(turn)} has no 'from' that is known. There are: {allowed}.")
        messages.append({"role": role, "content": turn.get("value")})
    return check_messages(messages, name)


def _from_alpaca(row: Row, name: str) -> list[Message]:
    question = [text_field(row, key, name) for key in ("instruction", "input") if row.get(key)]
    return _pair(row, name, "\n\n".join(question), text_field(row, "output", name))


def _from_completion(row: Row, name: str) -> list[Message]:
    if isinstance(row["prompt"], list) and isinstance(row["completion"], list):
        return plain_messages([*row["prompt"], *row["completion"]], name)
    return _pair(row, name, text_field(row, "prompt", name), text_field(row, "completion", name))


def _from_question(row: Row, name: str) -> list[Message]:
    return _pair(row, name, text_field(row, "question", name), text_field(row, "answer", name))


def _from_pair(row: Row, name: str) -> list[Message]:
    return _pair(row, name, text_field(row, "source", name), text_field(row, "target", name))


def _pair(row: Row, name: str, question: str, answer: str) -> list[Message]:
    """Return a question and its answer, after a row's ``system`` if it has one."""
    system = [{"role": "system", "content": text_field(row, "system", name)}] if row.get("system") else []
    return [*system, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def text_field(row: Row, field: str, name: str) -> str:
    """Return the text of a field. Raises ``UserError`` if it is none."""
    if not isinstance(row[field], str):
        raise UserError(f"{name}: its {field} is {short_repr(row[field])}, not a text.")
    return str(row[field])


def plain_messages(messages: Sequence[Any], name: str) -> list[Message]:
    """Return messages with role, content and weight alone; the parts of a content are joined. Raises ``UserError``."""
    plain = []
    for message in messages:
        if isinstance(message, dict) and message.get("tool_calls"):
            raise UserError(f"{name}: it calls tools, which cannot be learned here.")
        if isinstance(message, dict):
            message = {key: message.get(key) for key in ("role", "content", "weight") if message.get(key) is not None}
            message["content"] = _join_parts(message.get("content"), name)
        plain.append(message)
    return check_messages(plain, name)


def _join_parts(content: Any, name: str) -> Any:
    """Return the text of a content that is a list of parts, and any other content as it is."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"{name}: it has parts that are no texts.")
    return "".join(map(str, texts))


LAYOUTS: tuple[Layout[list[Message]], ...] = (
    Layout("messages", ("messages",), _from_messages),
    Layout("ShareGPT", ("conversations",), _from_sharegpt),
    Layout("Alpaca", ("instruction", "output"), _from_alpaca),
    Layout("prompt and completion", ("prompt", "completion"), _from_completion),
    Layout("pairs", ("source", "target"), _from_pair),
    Layout("question and answer", ("question", "answer"), _from_question),
)
