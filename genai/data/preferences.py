"""Pairs of answers from files, of which people prefer one: for DPO and reward models."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any

from annotated_types import Gt, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError
from genai.core.terminal import one_line
from genai.data.chat import clean_text
from genai.data.chat_layouts import find_layout
from genai.data.chat_split import split_by_question
from genai.data.preference_layouts import PAIR_LAYOUTS
from genai.data.text import find_texts
from genai.data.text_rows import SUFFIXES, read_each
from genai.media.chat import Message
from genai.media.chat_pair import ChatPair


class PreferenceFiles(SplitSource):
    """Pairs of answers from a file, a folder or a glob: one per line of a ``.jsonl`` or of a table (``.csv``,
    ``.tsv``), per row of a ``.parquet``, per item of a ``.json``.

    A row has one of the layouts of ``preference_layouts``. Identical pairs count once. Pairs whose answers are equal
    are left out and counted. Pairs with the same question are in the same split.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob.
        val_fraction: fraction of the characters for validation.
        val_path: the pairs for validation, instead of a fraction of ``path``; those of the same question are left out
            of training.

    Raises:
        UserError: there are no files, or fewer than two pairs that can be used.
    """

    media = ChatPair
    metrics: tuple[str, ...] = ("val_loss",)

    def __init__(
        self, path: str, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1, val_path: str | None = None
    ) -> None:
        self.path, self.val_fraction, self.val_path = path, val_fraction, val_path
        self.skipped, self.layout_note = (), ""
        self._left_out, self._layouts = Counter[str](), Counter[str]()

    @property
    def description(self) -> str:
        train, val = (len(split) for split in self._splits)
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self._left_out.items())
        note = f" ({'; '.join(self._layouts)})" + (f"; left out: {left_out}" if left_out else "")
        return one_line(f"{self.path}: {train:,} pairs, {val:,} held out{note}")

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        skipped: list[str] = []
        pairs = self._read_files("path", skipped)
        val_pairs = None if self.val_path is None else self._read_files("val_path", skipped)
        train, val = split_by_question(pairs, lambda pair: pair.chosen, self.val_fraction, val_pairs)
        self._left_out["whose question is held out"] = len(pairs) - len(train) if val_pairs is not None else 0
        self.skipped = tuple(map(one_line, skipped))
        self._left_out["rows or files that cannot be read"] = len(skipped)
        self._left_out = +self._left_out
        if not train:
            raise UserError(f"data.path={self.path}: no pair is left to train on, as all questions are held out.")
        self.layout_note = ", ".join(f"{name}: {count:,} rows" for name, count in self._layouts.items())
        return _make_split("train", list(train.values())), _make_split("val", list(val.values()))

    def _read_files(self, option: str, skipped: list[str]) -> dict[str, ChatPair]:
        """Return different pairs by their keys; add to ``skipped`` what cannot be read. Raises ``UserError``."""
        path, key = getattr(self, option), f"data.{option}"
        files, bad_files = find_texts(path, SUFFIXES, key)
        reasons, pairs = [*bad_files], dict[str, ChatPair]()
        for file in files:
            for layout, pair in read_each(file, _read_pair, reasons):
                self._layouts[layout] += 1
                if _answers(pair.chosen) == _answers(pair.rejected):
                    self._left_out["whose answers are equal"] += 1
                    continue
                self._left_out["copies"] += pair.key in pairs
                pairs.setdefault(pair.key, pair)
        skipped += reasons
        least = 1 if self.val_path else 2
        if len(pairs) < least:
            raise UserError(
                f"{key}={path}: it has {len(pairs)} pair{'s' * (len(pairs) != 1)} of different answers to use; "
                f"{least} {'is' if least == 1 else 'are'} needed. {' '.join(reasons[:1])}".rstrip()
            )
        return pairs


def _read_pair(row: Any, place: str) -> tuple[str, ChatPair]:
    """Return the layout and the pair of a row. Raises ``UserError`` with its ``place``."""
    layout = find_layout(row, place, PAIR_LAYOUTS, "a pair")
    question, chosen, rejected = (_clean_messages(messages) for messages in layout.convert(row, place))
    if not question:
        raise UserError(f"{place} has no question: chosen and rejected begin differently.")
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer or answer[-1]["role"] != "assistant":
            raise UserError(f"{place}: its {name} does not end with an answer of the assistant.")
        if answer[0]["role"] != "assistant":
            raise UserError(f"{place}: chosen and rejected differ before the first answer.")
    return layout.name, ChatPair.from_messages(question, chosen, rejected, place)


def _clean_messages(messages: Sequence[Message]) -> list[Message]:
    return [{"role": message["role"], "content": clean_text(message["content"])} for message in messages]


def _answers(chat: Any) -> list[str]:
    """Return the texts to learn, without white space around them."""
    return [str(chat.messages[index]["content"]).strip() for index in chat.answers]


def _make_split(name: str, pairs: Sequence[ChatPair]) -> Split:
    return Split(name, len(pairs), lambda index: Example(pairs[index]), cache_key([pair.key for pair in pairs]))
