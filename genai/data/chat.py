"""Conversations from files, for instruction tuning: questions, and the answers to learn."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from annotated_types import Gt, Lt

from genai.core.data import Split, SplitSource
from genai.core.errors import UserError
from genai.core.terminal import one_line
from genai.data.chat_layouts import LAYOUTS, find_layout
from genai.data.chat_split import make_chat_split, split_by_question
from genai.data.text import find_texts
from genai.data.text_rows import SUFFIXES, read_each
from genai.media.chat import Chat

MIN_CHATS = 200
"""With fewer conversations, a run says that some are not learned."""
MAX_MESSAGES, MAX_PREFIX_CHARS = 1000, 50_000_000
"""Messages of a conversation, and characters of all its beginnings that end in an answer."""


class ChatFiles(SplitSource):
    """Conversations from a file, a folder or a glob: one per line of a ``.jsonl`` or of a table (``.csv``,
    ``.tsv``), per row of a ``.parquet``, per item of a ``.json``.

    A row has one of the layouts of ``chat_layouts``. Identical conversations count once. Conversations that begin with
    the same question are in the same split. Rows that have no answer, or cannot be read, are left out by name.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob.
        val_fraction: fraction of the characters for validation.
        val_path: the conversations for validation, instead of a fraction of ``path``; those of the same question are
            left out of training.

    Raises:
        UserError: there are no files, or fewer than two conversations that can be used.
    """

    media = Chat

    def __init__(
        self, path: str, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1, val_path: str | None = None
    ) -> None:
        self.path, self.val_fraction, self.val_path = path, val_fraction, val_path
        self.skipped, self.layout_note = (), ""
        self._left_out, self._layouts = Counter[str](), Counter[str]()

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        """The default metrics: chrF for pairs, the share of words for other answers."""
        _ = self._splits
        kind = "chrf" if self.layout_note.startswith("pairs") else "token_f1"
        return ("val_loss", "exact_match", kind, "forgetting")

    @property
    def description(self) -> str:
        train, val = (len(split) for split in self._splits)
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self._left_out.items())
        note = f" ({', '.join(self._layouts)})" + (f"; left out: {left_out}" if left_out else "")
        return one_line(f"{self.path}: {train:,} conversations, {val:,} held out{note}")

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        skipped: list[str] = []
        chats = self._read_files("path", skipped)
        val_chats = None if self.val_path is None else self._read_files("val_path", skipped)
        train, val = split_by_question(chats, lambda chat: chat, self.val_fraction, val_chats)
        if not train:
            raise UserError(f"data.path={self.path}: nothing is left to train on, as all questions are held out.")
        self.skipped = tuple(map(one_line, skipped))
        self._left_out["whose question is held out"] = len(chats) - len(train) if val_chats is not None else 0
        self._left_out["rows or files"] = len(skipped)
        self._left_out = +self._left_out
        if val_chats is None and len(chats) < MIN_CHATS:
            count = f"{len(val):,} conversation{'s are' if len(val) != 1 else ' is'}"
            self.file_notes = (
                f"{count} held out, so not learned; data.val_path=FILE holds out those of a file instead",
            )
        self.layout_note = ", ".join(f"{name}: {count:,} rows" for name, count in self._layouts.items())
        return make_chat_split("train", list(train.values())), make_chat_split("val", list(val.values()))

    def _read_files(self, option: str, skipped: list[str]) -> dict[str, Chat]:
        """Return conversations by their keys; add to ``skipped`` what cannot be read. Raises ``UserError``."""
        path, key = getattr(self, option), f"data.{option}"
        files, bad_files = find_texts(path, SUFFIXES, key)
        reasons, chats = [*bad_files], dict[str, Chat]()
        for file in files:
            for layout, chat in read_each(file, _read_chat, reasons):
                self._left_out["copies"] += chat.key in chats
                chats.setdefault(chat.key, chat)
                self._layouts[layout] += 1
        skipped += reasons
        if len(chats) < (least := 1 if self.val_path else 2):
            raise UserError(
                f"{key}={path}: it has {len(chats)} conversation{'s' * (len(chats) != 1)} that can be used; "
                f"{least} {'is' if least == 1 else 'are'} needed. {' '.join(reasons[:1])}".rstrip()
            )
        return chats


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


def _has_pair(row: Any) -> bool:
    return isinstance(row, Mapping) and "rejected" in row


def clean_text(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell, and line ends of other systems."""
    return text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
