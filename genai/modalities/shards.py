"""Packed data in shards: many packed data sets of a modality behind one index, of which a few are open at a time."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import torch
from annotated_types import Ge, Le
from pydantic import StringConstraints
from torch import Tensor

from genai.core.batch import Batch
from genai.core.cache import read_sums
from genai.core.data import Example, ItemRandom, PackedDataset, Split, packed_prompts
from genai.core.errors import UserError, short_text
from genai.core.shard_order import WINDOW, ShardOrder
from genai.modalities.base import Modality

MAX_OPEN = 2 * WINDOW
"""Shards that are open at the same time."""
PROMPT_SHARDS = 4
"""Shards whose prompts are listed."""


@dataclass(frozen=True)
class PackedFile:
    """A file of a shard: its name, size in bytes, and sha256."""

    name: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}\.\w{1,11}$")]
    size: Annotated[int, Ge(0)]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]

    @property
    def summary(self) -> str:
        """What it should be, for people."""
        return f"it should have {self.size:,} bytes with the sha256 {self.sha256}"


@dataclass(frozen=True)
class Shard:
    """A packed data set in files of the cache's format.

    Attributes:
        folder: its folder, below that of all shards.
        content_hash: that its split had when it was packed; it names the files.
        items: number of items.
        files: all but that of the sums.
    """

    folder: Annotated[str, StringConstraints(pattern="^part-[0-9a-f]{24}$")]
    content_hash: Annotated[str, StringConstraints(max_length=200)]
    items: Annotated[int, Ge(1), Le(2**40)]
    files: list[PackedFile]

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("a shard has no files")

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files)


def find_problem(folder: Path, shard: Shard) -> str:
    """Return what is wrong with the files of a shard, by their sizes and sums; "" if nothing is."""
    for file in shard.files:
        path = folder / file.name
        if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size:
            state = "damaged" if path.exists() else "missing"
            return f"{path} is {state}: {file.summary}. Copy it again, or repeat genai prepare."
    path = folder / shard.files[0].name
    try:
        sums = read_sums(path)
    except UserError as error:
        return str(error)
    wrong = next((file for file in shard.files if sums.get(file.name) != (file.size, file.sha256)), None)
    return f"{folder / wrong.name} is another file: {wrong.summary}." if wrong else ""


class ShardFolder:
    """Where shards are: a folder of this machine. ``remote_shards`` has one that is filled from elsewhere."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch_index(self, name: str) -> Path:
        """Return the path of the index."""
        return self.path / name

    def fetch(self, shard: Shard) -> Path:
        """Return the folder that has the files of a shard. Raises ``UserError`` naming one that is not there."""
        folder = self.path / shard.folder
        if problem := find_problem(folder, shard):
            raise UserError(problem)
        return folder

    def prefetch(self, shards: Sequence[Shard]) -> None:
        """Begin to fetch shards that are needed next."""


class ShardedDataset:
    """A ``PackedDataset`` of many.

    Args:
        place: where the shards are.
        shards: in the order in which their items are numbered.
        modality: that packed them.
    """

    def __init__(self, place: ShardFolder, shards: Sequence[Shard], modality: Modality) -> None:
        self.place, self.shards, self.modality = place, shards, modality
        self.counts = np.array([shard.items for shard in shards], np.int64)
        self.ends = self.counts.cumsum()
        self._open: OrderedDict[int, PackedDataset] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # a worker process opens them by itself

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def prompts(self) -> list[str]:
        """The prompts of the first ``PROMPT_SHARDS`` shards: enough to know what can be asked for."""
        shards = range(min(PROMPT_SHARDS, len(self.shards)))
        return [prompt for number in shards for prompt in packed_prompts(self._shard(number))]

    def item_prompts(self, indices: Sequence[int]) -> list[str]:
        """Return the prompts of items of any shards; "" for items without. Their tensors are not read."""
        numbers = np.searchsorted(self.ends, indices, side="right")
        prompts = [""] * len(indices)
        for number in np.unique(numbers).tolist():
            if known := packed_prompts(self._shard(number)):
                start = int(self.ends[number] - self.counts[number])
                for row in np.flatnonzero(numbers == number).tolist():
                    prompts[row] = known[indices[row] - start]
        return prompts

    def order(self, seed: int) -> ShardOrder:
        """Return the order of the items in training."""
        return ShardOrder(self.counts, seed)

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Begin to fetch the shards with these numbers."""
        self.place.prefetch([self.shards[number] for number in numbers])

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return items ``indices`` as one packed data set would."""
        numbers = np.searchsorted(self.ends, indices, side="right")
        parts, rows = list[Batch](), list[int]()
        for number in dict.fromkeys(numbers.tolist()):
            selected = np.flatnonzero(numbers == number).tolist()
            start = int(self.ends[number] - self.counts[number])
            local = [indices[row] - start for row in selected]
            part_random = random and random.select(selected)
            with _name_file(self._path(number)):
                parts.append(self._shard(number).batch(local, part_random))
            rows += selected
        return _join(parts, rows) if len(parts) > 1 else parts[0]

    def _path(self, number: int) -> Path:
        """Return the path of the first file of a shard."""
        shard = self.shards[number]
        return self.place.path / shard.folder / shard.files[0].name

    def _shard(self, number: int) -> PackedDataset:
        """Return an open shard. Raises ``UserError`` naming the file of one that is missing or damaged."""
        packed = self._open.pop(number, None)
        if packed is None:
            shard = self.shards[number]
            folder = self.place.fetch(shard)
            packed = self.modality.pack(_packed_split(shard, folder), folder)
            if len(packed) != shard.items:
                raise UserError(f"{self._path(number)} has {len(packed):,} items, not {shard.items:,}.")
            if not all(isinstance(prompt, str) for prompt in packed_prompts(packed)):
                raise UserError(f"{self._path(number)}: its prompts are not texts.")
        self._open[number] = packed
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return packed


@contextmanager
def _name_file(path: Path) -> Iterator[None]:
    """Turn errors of a file whose sums fit, but which no modality has written, into a ``UserError``."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{path}, or a file beside it, is not what it should be ({short_text(str(error))}).") from error


def _packed_split(shard: Shard, folder: Path) -> Split:
    """Return the split that a shard was packed from, without its examples: ``Modality.pack`` finds its files."""

    def load(index: int) -> NoReturn:
        file = shard.files[0]
        raise UserError(
            f"{folder / file.name} is damaged, or of other settings: {file.summary}. Copy it again, or delete {folder} "
            "and repeat genai prepare."
        )

    return _PackedSplit("shard", shard.items, load, shard.content_hash)


class _PackedSplit(Split):
    """A split whose first example can be asked for its type, and none be read."""

    def __getitem__(self, index: int) -> Example:
        return Example(None)


def _join(parts: Sequence[Batch], rows: Sequence[int]) -> Batch:
    """Join batches of the same type and kind; row ``i`` of them all becomes row ``rows[i]``."""
    order = torch.tensor(rows).argsort()
    values: dict[str, Any] = {}
    for field in fields(parts[0]):
        columns = [getattr(part, field.name) for part in parts]
        if all(column is None for column in columns):
            values[field.name] = None
        elif isinstance(columns[0], str):
            values[field.name] = columns[0]
        elif isinstance(columns[0], list):
            flat = [value for column in columns for value in column]
            values[field.name] = [flat[row] for row in order.tolist()] if flat else []
        else:
            values[field.name] = torch.cat(_fill(columns, parts))[order]
    return type(parts[0])(**values)


def _fill(columns: Sequence[Tensor | None], parts: Sequence[Batch]) -> list[Tensor]:
    """Replace ``None``, which means that all targets of a part are valid, by ones."""
    known = next(column for column in columns if column is not None)
    return [
        known.new_ones(len(part), *known.shape[1:]) if column is None else column
        for column, part in zip(columns, parts, strict=True)
    ]


def item_tensor(batch: Batch) -> Tensor:
    """Return the first item of a batch as the tensor that ``Modality.decode`` takes: without padding."""
    x = batch.x[0]
    if x.ndim == 1 and not x.is_floating_point():  # a sequence of classes, of which the first only predicts the second
        x = x[1:]
    return x if batch.valid is None else x[batch.valid[0]]


def decode_item(modality: Modality, packed: PackedDataset, index: int) -> Any:
    """Return the media of an item."""
    return modality.decode(item_tensor(packed.batch([index], None)))
