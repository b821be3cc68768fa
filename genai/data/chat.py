"""Conversations from files, for instruction tuning: questions, and the answers to learn."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Gt, Lt

from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError
from genai.core.files import read_text
from genai.core.plain_data import check_tree, parse_json
from genai.core.terminal import one_line
from genai.data.chat_layouts import LAYOUTS, find_layout
from genai.data.parquet_rows import read_parquet_rows
from genai.data.text import find_texts
from genai.data.weighted_split import select_by_weight
from genai.media.chat import Chat

T = TypeVar("T")
SUFFIXES = frozenset([".json", ".jsonl", ".parquet"])
MAX_LIST_VALUES = 50_000_000
"""Values of a ``.json`` file."""
MAX_MESSAGES, MAX_PREFIX_CHARS = 1000, 50_000_000
"""Messages of a conversation, and characters of all its beginnings that end in an answer."""


class ChatFiles(SplitSource):
    """Conversations from a file, a folder or a glob: one per line of a ``.jsonl``, per row of a ``.parquet``, per item
    of a ``.json``.

    A row has one of the layouts of ``chat_layouts``. Identical conversations count once. Conversations that begin with
    the same question are in the same split. Rows that have no answer, or cannot be read, are left out by name.

    Args:
        path: a file, a folder (searched for ``SUFFIXES``, without hidden files) or a glob.
        val_fraction: fraction of the characters for validation.

    Raises:
        UserError: there are no files, or fewer than two conversations that can be used.
    """

    media = Chat

    def __init__(self, path: str, val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1) -> None:
        self.path, self.val_fraction = path, val_fraction
        self.skipped, self.layout_note, self._note = (), "", ""

    @property
    def metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        """The default metrics: chrF for pairs, the share of words for other answers."""
        _ = self._splits
        kind = "chrf" if self.layout_note.startswith("pairs") else "token_f1"
        return ("val_loss", "exact_match", kind, "forgetting")

    @property
    def description(self) -> str:
        train, val = (len(split) for split in self._splits)
        return one_line(f"{self.path}: {train:,} conversations, {val:,} held out{self._note}")

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        files, skipped = find_texts(self.path, SUFFIXES)
        chats, layouts, num_copies = dict[str, Chat](), Counter[str](), 0
        for file in files:
            for layout, chat in read_each(file, _read_chat, skipped):
                num_copies += chat.key in chats
                chats.setdefault(chat.key, chat)
                layouts[layout] += 1
        self.skipped = tuple(map(one_line, skipped))
        if len(chats) < 2:
            raise UserError(
                f"data.path={self.path}: it has {len(chats)} conversation{'s' * (len(chats) != 1)} that can be used; "
                f"two are needed. {' '.join(skipped[:3])}"
            )
        self.layout_note = ", ".join(f"{name}: {count:,} rows" for name, count in layouts.items())
        left_out = [f"{num_copies:,} copies"] if num_copies else []
        left_out += [f"{len(skipped):,} rows or files"] if skipped else []
        self._note = f" ({', '.join(layouts)})" + (f"; left out: {', '.join(left_out)}" if left_out else "")
        val = select_chats(chats, self.val_fraction)
        train = [chat for key, chat in chats.items() if key not in val]
        return make_chat_split("train", train), make_chat_split("val", [chats[key] for key in chats if key in val])


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


def read_each(file: Path, read: Callable[[Any, str], tuple[str, T]], skipped: list[str]) -> Iterator[tuple[str, T]]:
    """Yield what ``read`` makes of each row and its place; add to ``skipped`` the errors of others, and of the file."""
    try:
        for place, row in read_rows(file):
            try:
                yield read(row, place)
            except UserError as error:
                skipped.append(str(error))
    except UserError as error:
        skipped.append(str(error))


def clean_text(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can spell, and line ends of other systems."""
    return text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")


def read_rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield place and value of each row; of a line that is no JSON, the ``UserError`` in place of its value.

    Raises:
        UserError: the file cannot be read.
    """
    if file.suffix.lower() == ".jsonl":
        for number, line in enumerate(read_text(file, "text").split("\n"), 1):
            if line.strip():
                yield f"{file}:{number}", _parse_line(line, f"{file}:{number}")
    elif file.suffix.lower() == ".parquet":
        yield from (
            (f"{file}, row {number}", check_tree(row, str(file)))
            for number, row in enumerate(read_parquet_rows(file), 1)
        )
    else:
        rows = parse_json(read_text(file, "text"), str(file), MAX_LIST_VALUES)
        if not isinstance(rows, list):
            raise UserError(f"{file} holds a {type(rows).__name__}, not a list of conversations.")
        yield from ((f"{file}, row {number}", row) for number, row in enumerate(rows, 1))


def _parse_line(line: str, place: str) -> Any:
    try:
        return parse_json(line, place)
    except UserError as error:
        return error


def select_chats(chats: Mapping[str, Chat], fraction: float) -> set[str]:
    """Select about ``fraction`` of the characters of conversations, by their content.

    Those that begin with the same messages, up to the first answer, are selected together, if there are several groups.

    Args:
        chats: different conversations by their keys.
        fraction: of the characters.

    Returns:
        The keys of the selected ones; at least one, and not all.
    """
    groups = dict[str, list[str]]()
    for key, chat in chats.items():
        question = json.dumps([list(message.items()) for message in chat.messages[: chat.answers[0]]])
        groups.setdefault(question, []).append(key)
    if len(groups) == 1:
        groups = {key: [key] for key in chats}
    hashes = {hashlib.sha256(question.encode()).hexdigest(): keys for question, keys in groups.items()}
    weights = {digest: float(sum(len(chats[key]) for key in hashes[digest])) for digest in sorted(hashes)}
    count = min(len(weights) - 1, max(1, round(len(weights) * fraction)))
    selection = select_by_weight(weights, fraction, set(list(weights)[:count]))
    return {key for digest in selection for key in hashes[digest]}


def make_chat_split(name: str, chats: Sequence[Chat]) -> Split:
    """Return conversations as a split."""
    digest = hashlib.sha256("\n".join(chat.key for chat in chats).encode()).hexdigest()
    return Split(name, len(chats), lambda index: Example(chats[index]), digest)
