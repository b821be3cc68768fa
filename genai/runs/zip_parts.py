"""The parts of a zip file as torch writes it: one directory, nothing compressed, nothing between the parts.

Python and torch look for the directory of a zip in different places, so one file can hold two, and a checker sees other
parts than the loader. Here a file passes only if every reader finds the same parts at the same places.
"""

import struct
import zipfile
from dataclasses import dataclass
from typing import Any, BinaryIO

from genai.core.errors import CorruptCheckpoint, short_repr

MAX_PARTS = 100_000
_END, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL")
_END_64, _LOCAL = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4s5H3L2H")
_NOT_ZIP = "is damaged, or not a checkpoint"
_BEGINNINGS = {b"": "is damaged: it is empty.", b"PK\3\4": "is damaged: its end is missing."}


@dataclass(frozen=True)
class Part:
    """Place of a part's content in the file, in bytes."""

    start: int
    size: int


def read_parts(file: BinaryIO) -> dict[str, Part]:
    """Return the parts by name, in the order of the file.

    Raises:
        CorruptCheckpoint: the message begins with a verb, "is damaged".
    """
    count, directory = read_end(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeError) as error:
        raise CorruptCheckpoint(f"{_NOT_ZIP} ({str(error)[:80]}).") from error
    if len(entries) != count:
        raise CorruptCheckpoint(f"is refused: {len(entries)} parts in a directory of {count}.")
    if len({entry.filename.lower() for entry in entries}) < count:  # torch takes DATA.PKL for data.pkl
        raise CorruptCheckpoint("is refused: two parts have one name.")
    entries.sort(key=lambda entry: entry.header_offset)
    starts = [*(entry.header_offset for entry in entries), directory]
    if starts[0] != 0:
        raise CorruptCheckpoint("is refused: it does not begin with a part.")
    parts = {}
    for entry, next_start in zip(entries, starts[1:], strict=True):
        parts[entry.filename] = part = _read_part(file, entry)
        if not _has_descriptor(file, entry, part, next_start - part.start - part.size):
            raise CorruptCheckpoint(f"is refused: something follows its part {short_repr(entry.filename)}.")
    return parts


def read_end(file: BinaryIO) -> tuple[int, int]:
    """Return the number of parts and the offset of the directory, about which all end records have to agree."""
    position = file.seek(0, 2) - _END.size
    signature, *disks, count, length, start, comment = _unpack(file, _END, position)
    if signature != b"PK\5\6" or comment:
        file.seek(0)
        raise CorruptCheckpoint(_BEGINNINGS.get(file.read(4), "is not a checkpoint."))
    consistent = disks == [0, 0, count]
    locator, *target = _unpack(file, _LOCATOR, position - _LOCATOR.size)
    if locator == b"PK\6\7":  # zip64
        position -= _LOCATOR.size + _END_64.size
        signature, size, _, _, *disks, count_64, length_64, start_64 = _unpack(file, _END_64, position)
        if (signature, size) != (b"PK\6\6", _END_64.size - 12) or target != [0, position, 1]:
            raise CorruptCheckpoint("is damaged: its zip64 record is not where its locator says.")
        short = (min(count_64, 0xFFFF), min(length_64, 0xFFFF_FFFF), min(start_64, 0xFFFF_FFFF))
        consistent = consistent and disks == [0, 0, count_64] and (count, length, start) == short
        count, length, start = count_64, length_64, start_64
    if not consistent or start + length != position:
        raise CorruptCheckpoint("is damaged: its directory is not where its end records say.")
    if count > MAX_PARTS:
        raise CorruptCheckpoint(f"is refused: {count:,} parts in one file.")
    return count, start


def _read_part(file: BinaryIO, entry: zipfile.ZipInfo) -> Part:
    """Return the place of a part, about which its own header and the directory have to agree."""
    name = entry.filename
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise CorruptCheckpoint("is refused: a compressed part, which can be a zip bomb.")
    header = _unpack(file, _LOCAL, entry.header_offset)
    stored_name = file.read(header[-2])
    sizes = header[7:9]  # 0 if they follow the part
    if (
        header[0] != b"PK\3\4"
        or stored_name != name.encode("utf-8", "surrogatepass")
        or name != entry.orig_filename
        or header[2] != entry.flag_bits
        or header[2] & 1
        or header[3] != entry.compress_type
        or sizes not in ((0, 0), (min(entry.file_size, 0xFFFF_FFFF),) * 2)
    ):
        raise CorruptCheckpoint(f"is refused: its part {short_repr(name)} has two descriptions that differ.")
    return Part(entry.header_offset + _LOCAL.size + header[-2] + header[-1], entry.file_size)


def _has_descriptor(file: BinaryIO, entry: zipfile.ZipInfo, part: Part, size: int) -> bool:
    """Return whether the ``size`` bytes after a part are nothing but its sum and sizes, if they follow at all."""
    if not entry.flag_bits & 8:
        return size == 0
    form = {16: "<4sLLL", 24: "<4sLQQ"}.get(size)
    file.seek(part.start + part.size)
    return form is not None and file.read(size) == struct.pack(form, b"PK\7\10", entry.CRC, part.size, part.size)


def _unpack(file: BinaryIO, form: struct.Struct, position: int) -> tuple[Any, ...]:
    """Return the record at ``position``; zeros if it is not inside the file."""
    file.seek(max(0, position))
    content = file.read(form.size)
    return form.unpack(content if position >= 0 and len(content) == form.size else bytes(form.size))
