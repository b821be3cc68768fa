"""The outline of a checkpoint's pickle: its plain values, and what it says about its tensors, without unpickling it.

Only the instructions that torch writes are followed. They build dictionaries, lists and tuples of plain values; a class
is a name, a tensor a ``TensorOutline``. Nothing is imported, called or hashed but texts and numbers.
"""

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai.core.errors import CorruptCheckpoint, UserError, short_repr
from genai.core.files import open_file
from genai.core.plain_data import check_tree
from genai.runs.zip_parts import Part, read_parts

MAX_PICKLE_BYTES = 32 * 2**20
MAX_INSTRUCTIONS = 800_000
"""torch takes 4 microseconds for each."""
MAX_TEXT = 16 * 2**20
MAX_SHARING = 4
"""How often the numbers of the file may be in a tensor, on average."""
ITEM_BYTES = {
    "Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexFloat": 8, "ComplexDouble": 16,
}  # fmt: skip
"""Bytes per element of a storage, by its type."""


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function that the pickle names."""

    name: str


@dataclass(frozen=True, eq=False)
class StorageOutline:
    """Numbers in a part of the file."""

    key: str
    type: str
    count: int


@dataclass(frozen=True, eq=False)
class TensorOutline:
    """A view of a storage; all sizes are in elements."""

    storage: StorageOutline
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def end(self) -> int:
        """Position in the storage after its last element."""
        steps = ((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return self.offset + (1 + sum(steps) if math.prod(self.shape) else 0)


class _OrderedDict(dict[Any, Any]):
    """Stands for ``OrderedDict``, which can have attributes, unlike a plain dictionary."""


TENSOR, ORDERED_DICT, SIZE = "torch._utils _rebuild_tensor_v2", "collections OrderedDict", "torch Size"
NAMES = {TENSOR, ORDERED_DICT, SIZE, *(f"torch {name}Storage" for name in ITEM_BYTES)}
"""All that a pickle may name."""


def check_torch_file(path: Path) -> None:
    """Check the parts of a file of ``torch.save`` and its pickle.

    Raises:
        CorruptCheckpoint: the message begins with a verb, "is damaged".
    """
    with open_file(path) as file:
        parts = read_parts(file)
        folder = next(iter(parts), "").partition("/")[0]
        pickles = [name for name in parts if name.lower().endswith(".pkl")]
        if pickles != [name := f"{folder}/data.pkl"] or parts[name].size > MAX_PICKLE_BYTES:
            raise CorruptCheckpoint("is refused: genai did not write it.")
        file.seek(parts[name].start)
        read_outline(file.read(parts[name].size), parts, folder)


def read_outline(content: bytes, parts: Mapping[str, Part], folder: str) -> Any:
    """Return the outline of a pickle.

    Args:
        content: the pickle.
        parts: of the file, by name.
        folder: the beginning of their names.

    Raises:
        CorruptCheckpoint: it names code, is no small tree, or a tensor is larger than its part of the file. The message
            begins with a verb, "is damaged".
    """
    reader = _Reader()
    try:
        outline = reader.read(content)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CorruptCheckpoint(f"is damaged: its pickle ends or breaks off ({type(error).__name__}).") from error
    try:
        check_tree(outline, "its plain data", max_text=MAX_TEXT, others=(TensorOutline,))
    except UserError as error:
        raise CorruptCheckpoint(f"is refused: {str(error).replace(' is refused: it', '')}") from error
    for storage in reader.storages.values():
        part = parts.get(f"{folder}/data/{storage.key}")
        if part is None or part.size != storage.count * ITEM_BYTES[storage.type]:
            size = "no part" if part is None else f"{part.size:,} bytes"
            raise CorruptCheckpoint(
                f"is damaged: {size} for the {storage.count:,} numbers of data/{short_repr(storage.key)}."
            )
    stored = sum(part.size for part in parts.values())
    if reader.tensor_bytes > MAX_SHARING * stored:  # views of one number, or many views of one storage
        raise CorruptCheckpoint(
            f"is refused: its tensors have {reader.tensor_bytes:,} bytes, in a file of {stored:,} bytes."
        )
    return outline


class _Reader:
    """Runs the instructions of a pickle on outlines."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, StorageOutline] = {}
        self.tensor_bytes = 0

    def read(self, content: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            name = opcode.name
            if count > MAX_INSTRUCTIONS:
                raise CorruptCheckpoint(f"is refused: more than {MAX_INSTRUCTIONS:,} instructions in its pickle.")
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _INSTRUCTIONS:
                _INSTRUCTIONS[name](self, argument)
            elif name not in ("PROTO", "STOP"):
                raise CorruptCheckpoint(f"is refused: its pickle has the instruction {name}, which can be code.")
        (result,) = self.stack
        return result

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def tuple(self, length: int | None) -> None:
        items = self.pop_mark() if length is None else [self.stack.pop() for _ in range(length)][::-1]
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError
        self.stack[-1].extend(items)

    def set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, _OrderedDict) or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            flat = key if isinstance(key, tuple) else (key,)
            if not all(isinstance(part, _PLAIN) for part in flat):  # a tuple of tuples can take forever to hash
                raise CorruptCheckpoint(f"is refused: {short_repr(key)} is no name of a value.")
            target[key] = value

    def name(self, name: str) -> None:
        if name not in NAMES:
            raise CorruptCheckpoint(f"is refused: it names {short_repr(name.replace(' ', '.'))}, which is code.")
        self.stack.append(Name(name))

    def storage(self, _: Any) -> None:
        kind, name, key, location, count = self.stack.pop()
        type_name = name.name.removeprefix("torch ").removesuffix("Storage")
        if kind != "storage" or type_name not in ITEM_BYTES or not isinstance(key, str) or type(count) is not int:
            raise TypeError
        storage = self.storages.setdefault(key, StorageOutline(key, type_name, count))
        if not isinstance(location, str) or (storage.type, storage.count) != (type_name, count):
            raise TypeError
        self.stack.append(storage)

    def call(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop().name
        if name == ORDERED_DICT and arguments == ():
            self.stack.append(_OrderedDict())
        elif name == SIZE:
            (sizes,) = arguments
            self.stack.append(_whole_numbers(sizes))
        elif name == TENSOR:
            self.stack.append(tensor := _tensor(*arguments))
            self.tensor_bytes += math.prod(tensor.shape) * ITEM_BYTES[tensor.storage.type]
        else:
            raise TypeError

    def build(self, _: Any) -> None:
        attributes = self.stack.pop()
        if type(self.stack[-1]) is not _OrderedDict or set(attributes) != {"_metadata"}:  # of a module's weights
            raise CorruptCheckpoint("is refused: its pickle sets attributes, which can be code.")


def _tensor(
    storage: StorageOutline, offset: int, shape: Any, strides: Any, requires_grad: bool, hooks: Any, *rest: Any
) -> TensorOutline:
    """Return the outline of a tensor from the arguments of ``torch._utils._rebuild_tensor_v2``."""
    outline = TensorOutline(storage, _whole_numbers((offset,))[0], _whole_numbers(shape), _whole_numbers(strides))
    if type(storage) is not StorageOutline or requires_grad is not False or hooks != {} or rest:
        raise CorruptCheckpoint("is refused: a tensor with gradients or hooks.")
    if len(outline.shape) > 64 or outline.end > storage.count:
        raise CorruptCheckpoint(f"is refused: a tensor reaches beyond its storage, data/{short_repr(storage.key)}.")
    return outline


def _whole_numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(value) is int and 0 <= value < 2**62 for value in values):
        raise TypeError
    return values


_PLAIN = (str, int, float, bool, type(None))
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_INSTRUCTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_LIST": lambda reader, _: reader.stack.append([]),
    "MARK": _Reader.mark,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "TUPLE": _Reader.tuple,
    "TUPLE1": lambda reader, _: reader.tuple(1),
    "TUPLE2": lambda reader, _: reader.tuple(2),
    "TUPLE3": lambda reader, _: reader.tuple(3),
    "APPEND": lambda reader, _: reader.append([reader.stack.pop()]),
    "APPENDS": lambda reader, _: reader.append(reader.pop_mark()),
    "SETITEM": lambda reader, _: reader.set([reader.stack.pop(), reader.stack.pop()][::-1]),
    "SETITEMS": lambda reader, _: reader.set(reader.pop_mark()),
    "GLOBAL": _Reader.name,
    "BINPERSID": _Reader.storage,
    "REDUCE": _Reader.call,
    "BUILD": _Reader.build,
}
