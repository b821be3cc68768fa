"""What a training run would read: counts, sizes, prompts, unusable files, and a few items as the model sees them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, track_progress
from genai.core.data import Source, Split
from genai.core.errors import UserError, short_text
from genai.core.files import make_folder, write_file
from genai.inference.known_prompts import LISTED_PROMPTS, count_prompts
from genai.modalities.base import Modality
from genai.modalities.optional import target_parts
from genai.training.targets import mark_targets

MAX_ITEMS = 200
"""Items that are loaded to learn their sizes and, where the source does not list them, prompts."""
MAX_LISTED = 20
"""Unusable files that are named."""
NUM_DECODED = 3
"""Items that are shown as the model sees them."""


@dataclass(frozen=True)
class DataReport:
    """A report on ``source`` as data for ``modality``, which is fitted to them if it needs it."""

    source: Source
    modality: Modality
    needs_fit: bool = True

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield (label, text), a line each. Raises ``UserError`` if nothing can be used."""
        source = self.source
        yield "data", source.description
        yield "splits", f"{len(source.train):,} items to train on, {len(source.val):,} held out"
        if source.layout_note:
            yield "layout", source.layout_note
        yield "sizes", self._sizes()
        if self.needs_fit:
            self.modality.fit_split(source.train, cache_dir())
        yield "seen as", "; ".join(filter(None, (self.modality.description, self.modality.fitting)))
        for item in self._items[:: max(1, len(self._items) // NUM_DECODED)][:NUM_DECODED]:
            if parts := target_parts(self.modality, item.media):
                yield "learned", mark_targets(parts)
        if prompts := self._prompts(source.train):
            yield "prompts", prompts
        for label, lines in (("not used", source.skipped), ("note", source.file_notes)):
            yield from ((label, line) for line in lines[:MAX_LISTED])
            if len(lines) > MAX_LISTED:
                yield label, f"{len(lines) - MAX_LISTED:,} more"

    @cached_property
    def _items(self) -> list[Any]:
        """Training items at even distances."""
        split = self.source.train
        count = min(len(split), MAX_ITEMS)
        indices = (index * len(split) // count for index in range(count))
        return [split[index] for index in track_progress(indices, "reading", count)]

    def _sizes(self) -> str:
        """Return the smallest, the largest and the median size."""
        sizes = Counter(str(getattr(item.media, "summary", type(item.media).__name__)) for item in self._items)
        if len(sizes) == 1:
            return f"all {next(iter(sizes))}"
        ordered = sorted(sizes.elements(), key=_numbers)
        return f"from {ordered[0]} to {ordered[-1]}, median {ordered[len(ordered) // 2]}{self._item_count}"

    @property
    def _item_count(self) -> str:
        """Say how many items were loaded, if not all."""
        return f" (of {len(self._items):,} items)" if len(self._items) < len(self.source.train) else ""

    def _prompts(self, split: Split) -> str:
        prompts = [item.prompt for item in self._items] if split.prompts is None else split.prompts
        known, missing = count_prompts(prompts), sum(not prompt for prompt in prompts)
        if not known.count:
            return "" if split.prompts is None else "none: the model will generate without a prompt"
        names = ", ".join(short_text(prompt) for prompt in known.prompts[:LISTED_PROMPTS])
        more = ", ..." * (known.count > LISTED_PROMPTS)
        without = f"; {missing:,} items without" if missing else ""
        count = self._item_count if split.prompts is None else ""
        return f"{known.count:,} different{count}: {names}{more}{without}"

    def write_items(self, folder: Path) -> list[Any]:
        """Write a few training items as the model sees them, after ``rows``. Raises ``UserError``."""
        try:
            make_folder(folder)
        except OSError as error:
            raise UserError(f"cannot create the folder out={folder}: {error.strerror}.") from error
        for file in folder.glob("[0-9][0-9][0-9].*"):  # of the command before
            file.unlink()
        step = max(1, len(self._items) // NUM_DECODED)
        items = [self.modality.decode(self.modality.encode(item.media)) for item in self._items[::step][:NUM_DECODED]]
        for index, media in enumerate(items):
            write_file(folder / f"check-{index:03d}{media.suffix}", media.to_bytes())  # a name that data hardly have
        return items


def _numbers(text: str) -> tuple[float, ...]:
    """Return the numbers in a size, by which sizes are ordered."""
    words = (word.replace(",", "") for word in text.split())
    return tuple(float(word) for word in words if word.replace(".", "", 1).isdecimal())
