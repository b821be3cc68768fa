"""Base class of conversations, and of pairs of answers, from files: reading rows, and splitting them by question."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from annotated_types import Gt, Lt

from genai.core.data import Split, SplitSource
from genai.core.errors import UserError
from genai.core.terminal import one_line
from genai.data.chat_split import split_by_question
from genai.data.personal_filter import PersonalFilter, PersonalMode
from genai.data.text import find_texts
from genai.data.text_rows import SUFFIXES, read_each
from genai.media.chat import Chat
from genai.media.chat_pair import ChatPair

T = TypeVar("T", bound=Chat | ChatPair)


class QuestionFiles(SplitSource, Generic[T]):
    """Items that begin with a question, one per row of the files.

    Identical items count once. Those with the same question are in the same split. Rows that cannot be used are left
    out and counted.
    """

    item_name: ClassVar[str]
    """Plural noun for the items in messages, such as ``conversations``."""
    condition: ClassVar[str]
    """What makes an item one that counts, for a message: ``that can be used``."""

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        val_path: str | None = None,
        personal: PersonalMode | None = None,
        license: str = "",
    ) -> None:
        self.license = license or self.license
        self.personal = PersonalFilter(personal, self.item_name.removesuffix("s"))
        self.path, self.val_fraction, self.val_path = path, val_fraction, val_path
        self.skipped, self.layout_note = (), ""
        self._left_out, self._layouts = Counter[str](), Counter[str]()

    @abstractmethod
    def read(self, row: Any, place: str) -> tuple[str, T | None]:
        """Return the layout and the item of a row; ``None`` if it is left out because of personal data.

        Raises:
            UserError: with its ``place``.
        """

    @abstractmethod
    def chat_of(self, item: T) -> Chat:
        """Return the conversation whose question and length count."""

    @abstractmethod
    def make_split(self, name: str, items: Sequence[T]) -> Split:
        """Return items as a split."""

    def skip_reason(self, item: T) -> str:
        """Return why an item is left out, after its number; empty if it is used."""
        return ""

    @property
    def description(self) -> str:
        train, val = (len(split) for split in self._splits)
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in self._left_out.items())
        note = f" ({'; '.join(self._layouts)})" + (f"; left out: {left_out}" if left_out else "")
        note += f"; {self.personal_record}" if self.personal_record else ""
        return one_line(f"{self.path}: {train:,} {self.item_name}, {val:,} held out{note}")

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        skipped: list[str] = []
        items = self._read_files("path", skipped)
        val_items = None if self.val_path is None else self._read_files("val_path", skipped)
        train, val = split_by_question(items, self.chat_of, self.val_fraction, val_items)
        if not train:
            item = self.item_name.removesuffix("s")
            raise UserError(f"data.path={self.path}: no {item} is left to train on, as all questions are held out.")
        self.skipped = tuple(map(one_line, skipped))
        self._left_out["whose question is held out"] = len(items) - len(train) if val_items is not None else 0
        self._left_out["rows or files that cannot be read"] = len(skipped)
        self._left_out = +self._left_out
        if record := self.personal.record:
            self.personal_record, self.file_notes = record, tuple(map(one_line, record.notes))
        self.layout_note = ", ".join(f"{name}: {count:,} rows" for name, count in self._layouts.items())
        return self.make_split("train", list(train.values())), self.make_split("val", list(val.values()))

    def _read_files(self, option: str, skipped: list[str]) -> dict[str, T]:
        """Return different items by their keys; add to ``skipped`` what cannot be read. Raises ``UserError``."""
        path, key = getattr(self, option), f"data.{option}"
        files, reasons = find_texts(path, SUFFIXES, key)
        items = dict[str, T]()
        for file in files:
            for layout, item in read_each(file, self.read, reasons):
                self._layouts[layout] += 1
                if item is None:
                    continue
                if reason := self.skip_reason(item):
                    self._left_out[reason] += 1
                    continue
                self._left_out["copies"] += item.key in items
                items.setdefault(item.key, item)
        skipped += reasons
        if len(items) < (least := 1 if self.val_path else 2):
            name = self.item_name.removesuffix("s") if len(items) == 1 else self.item_name
            record = self.personal.record
            hint = str(record).capitalize() + "." if record and record.mode == "drop" else " ".join(reasons[:1])
            raise UserError(
                f"{key}={path}: it has {len(items)} {name} {self.condition}; "
                f"{least} {'is' if least == 1 else 'are'} needed. {hint}".rstrip()
            )
        return items
