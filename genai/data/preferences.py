"""Pairs of answers from files, of which people prefer one: for DPO and reward models."""

from collections.abc import Sequence
from typing import Any

from genai.core.cache import cache_key
from genai.core.data import Example, Split
from genai.core.errors import UserError
from genai.data.chat import clean_text, filter_messages
from genai.data.chat_layouts import find_layout
from genai.data.personal_filter import PersonalFilter
from genai.data.preference_layouts import PAIR_LAYOUTS
from genai.data.question_files import QuestionFiles
from genai.media.chat import Chat, Message
from genai.media.chat_pair import ChatPair


class PreferenceFiles(QuestionFiles[ChatPair]):
    """Pairs of answers from a file, a folder or a glob: one per line of a ``.jsonl`` or of a table (``.csv``,
    ``.tsv``), per row of a ``.parquet``, per item of a ``.json``.

    A row has one of the layouts of ``preference_layouts``. Identical pairs count once. Pairs whose answers are equal
    are left out and counted. Pairs with the same question are in the same split.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob.
        val_fraction: fraction of the characters for validation.
        val_path: the pairs for validation, instead of a fraction of ``path``; those of the same question are left out
            of training.
        personal: what to do about personal data in messages, see ``PersonalFilter``.
        license: of the pairs, for records and cards.

    Raises:
        UserError: there are no files, or fewer than two pairs that can be used.
    """

    media = ChatPair
    metrics: tuple[str, ...] = ("val_loss",)
    item_name, condition = "pairs", "of different answers to use"

    def read(self, row: Any, place: str) -> tuple[str, ChatPair | None]:
        return _read_pair(row, place, self.personal)

    def chat_of(self, item: ChatPair) -> Chat:
        return item.chosen

    def skip_reason(self, item: ChatPair) -> str:
        return "whose answers are equal" if _answers(item.chosen) == _answers(item.rejected) else ""

    def make_split(self, name: str, items: Sequence[ChatPair]) -> Split:
        content_hash = cache_key([pair.key for pair in items])
        return Split(name, len(items), lambda index: Example(items[index]), content_hash)


def _read_pair(row: Any, place: str, personal: PersonalFilter) -> tuple[str, ChatPair | None]:
    """Return the layout and the pair of a row; ``None`` if ``personal`` leaves it out.

    Raises:
        UserError: with its ``place``.
    """
    layout = find_layout(row, place, PAIR_LAYOUTS, "a pair")
    question, chosen, rejected = (_clean_messages(messages) for messages in layout.convert(row, place))
    if not question:
        raise UserError(f"{place} has no question: chosen and rejected begin differently.")
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer or answer[-1]["role"] != "assistant":
            raise UserError(f"{place}: its {name} does not end with an answer of the assistant.")
        if answer[0]["role"] != "assistant":
            raise UserError(f"{place}: chosen and rejected differ before the first answer.")
    parts = (question, chosen, rejected)
    messages = filter_messages([message for part in parts for message in part], personal)
    if messages is None:
        return layout.name, None
    question, chosen, rejected = ([messages.pop(0) for _ in part] for part in parts)
    return layout.name, ChatPair.from_messages(question, chosen, rejected, place)


def _clean_messages(messages: Sequence[Message]) -> list[Message]:
    return [{"role": message["role"], "content": clean_text(message["content"])} for message in messages]


def _answers(chat: Any) -> list[str]:
    """Return the texts to learn, without white space around them."""
    return [str(chat.messages[index]["content"]).strip() for index in chat.answers]
