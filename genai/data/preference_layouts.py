"""Layouts of rows with preferred answers: a question, a chosen answer and a rejected one."""

from collections.abc import Sequence

from genai.core.errors import UserError
from genai.data.chat_layouts import Layout, Row, plain_messages, text_field
from genai.media.chat import Message

PairMessages = tuple[list[Message], list[Message], list[Message]]
"""Messages of the question, of the chosen and of the rejected answer."""


def _from_prompt(row: Row, name: str) -> PairMessages:
    """Answers to a prompt; each of the three is a text or a list of messages."""
    prompt = row["prompt"]
    question = (
        plain_messages(prompt, name) if isinstance(prompt, list) else _question(row, text_field(row, "prompt", name))
    )
    chosen, rejected = (_answer(row, field, question, name) for field in ("chosen", "rejected"))
    return question, chosen, rejected


def _from_alpaca(row: Row, name: str) -> PairMessages:
    """Answers to an instruction; the chosen one is ``chosen``, or ``output`` where a row has only that."""
    parts = [text_field(row, key, name) for key in ("instruction", "input") if row.get(key)]
    question = _question(row, "\n\n".join(parts))
    chosen = "output" if row.get("chosen") is None else "chosen"
    return question, _answer(row, chosen, question, name), _answer(row, "rejected", question, name)


def _from_conversations(row: Row, name: str) -> PairMessages:
    """Two whole conversations with a common beginning, which ends before the first answer that differs."""
    if not all(isinstance(row[field], list) for field in ("chosen", "rejected")):
        raise UserError(f"{name}: without a prompt, chosen and rejected have to be lists of messages.")
    chosen, rejected = (plain_messages(row[field], name) for field in ("chosen", "rejected"))
    pairs = enumerate(zip(chosen, rejected, strict=False))
    start = next((i for i, (a, b) in pairs if a != b), min(len(chosen), len(rejected)) - 1)
    return chosen[:start], chosen[start:], rejected[start:]


def _question(row: Row, text: str) -> list[Message]:
    system = [{"role": "system", "content": row["system"]}] if isinstance(row.get("system"), str) else []
    return [*system, {"role": "user", "content": text}] if text or not system else list(system)


def _answer(row: Row, field: str, question: Sequence[Message], name: str) -> list[Message]:
    """Return the messages of an answer: a text, or messages, before which the question may stand once more."""
    if not isinstance(row[field], list):
        return [{"role": "assistant", "content": text_field(row, field, name)}]
    messages = plain_messages(row[field], name)
    return messages[len(question) :] if messages[: len(question)] == list(question) else messages


PAIR_LAYOUTS: tuple[Layout[PairMessages], ...] = (
    Layout("prompt, chosen, rejected", ("prompt", "chosen", "rejected"), _from_prompt),
    Layout("instruction, chosen, rejected", ("instruction", "chosen", "rejected"), _from_alpaca),
    Layout("instruction, output, rejected", ("instruction", "output", "rejected"), _from_alpaca),
    Layout("conversations", ("chosen", "rejected"), _from_conversations),
)
