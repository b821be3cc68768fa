"""Conversations from files, for instruction tuning: questions, and the answers to learn."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.chat_layouts import LAYOUTS, find_layout
from genai.data.chat_split import make_chat_split
from genai.data.personal_filter import PersonalFilter
from genai.data.question_files import QuestionFiles
from genai.media.chat import Chat, Message

MIN_CHATS = 200
"""With fewer conversations, a run says that some are not learned."""
MAX_MESSAGES, MAX_PREFIX_CHARS = 1000, 50_000_000
"""Messages of a conversation, and characters of all its beginnings that end in an answer."""


class ChatFiles(QuestionFiles[Chat]):
    """Conversations from a file, a folder or a glob: one per line of a ``.jsonl`` or of a table (``.csv``,
    ``.tsv``), per row of a ``.parquet``, per item of a ``.json``.

    A row has one of the layouts of ``chat_layouts``. Identical conversations count once. Conversations that begin with
    the same question are in the same split. Rows that have no answer, or cannot be read, are left out by name.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob.
        val_fraction: fraction of the characters for validation.
        val_path: the conversations for validation, instead of a fraction of ``path``; those of the same question are
            left out of training.
        personal: what to do about personal data in messages, see ``PersonalFilter``.
        license: of the conversations, for records and cards.

    Raises:
        UserError: there are no files, or fewer than two conversations that can be used.
    """

    media = Chat
    item_name, condition = "conversations", "that can be used"

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        """The default metrics: chrF for pairs, the share of words for other answers."""
        _ = self._splits
        kind = "chrf" if self.layout_note.startswith("pairs") else "token_f1"
        return ("val_loss", "exact_match", kind, "forgetting")

    def read(self, row: Any, place: str) -> tuple[str, Chat | None]:
        layout, chat = _read_chat(row, place)
        messages = filter_messages(chat.messages, self.personal)
        return layout, None if messages is None else Chat.from_messages(messages, place)

    def chat_of(self, item: Chat) -> Chat:
        return item

    def make_split(self, name: str, items: Sequence[Chat]) -> Split:
        return make_chat_split(name, items)

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        train, val = super()._splits
        if self.val_path is None and len(train) + len(val) < MIN_CHATS:
            count = f"{len(val):,} conversation{'s are' if len(val) != 1 else ' is'}"
            self.file_notes += (
                f"{count} held out, so not learned; data.val_path=FILE holds out those of a file instead",
            )
        return train, val


def _read_chat(row: Any, place: str) -> tuple[str, Chat]:
    """Return the layout and the conversation of a row. Raises ``UserError`` with its ``place``."""
    what = "a conversation (pairs of answers are for data=preferences)" if _has_pair(row) else "a conversation"
    layout = find_layout(row, place, LAYOUTS, what)
    messages = [{**message, "content": clean_text(message["content"])} for message in layout.convert(row, place)]
    chat = Chat.from_messages(messages, place)
    if len(messages) > MAX_MESSAGES or len(chat) * len(chat.answers) > MAX_PREFIX_CHARS:
        raise UserError(
            f"{place} has {len(messages):,} messages of {len(chat):,} characters, too many for one context."
        )
    if not any(chat.messages[index]["content"].strip() for index in chat.answers):
        reason = "its answer is empty" if chat.answers else "no message of the assistant follows another one"
        raise UserError(f"{place} has no answer to learn: {reason}.")
    return layout.name, chat


def filter_messages(messages: Sequence[Message], personal: PersonalFilter) -> list[Message] | None:
    """Return the messages of one item as they are used; ``None`` if the item is left out."""
    texts = personal.apply_all([message["content"] for message in messages])
    if texts is None:
        return None
    return [{**message, "content": text} for message, text in zip(messages, texts, strict=True)]


def _has_pair(row: Any) -> bool:
    return isinstance(row, Mapping) and "rejected" in row


def clean_text(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell, and line ends of other systems."""
    return text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
