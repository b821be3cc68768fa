"""Zip files in which two readers could see different parts, and tensors that are larger than their parts."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import genai
from genai.runs.checkpoint import load_checkpoint, save_checkpoint
from genai.runs.zip_parts import read_parts
from tests.hostile.checkpoints import assert_refused

END, LOCATOR, RECORD = 22, 20, 56
"""Sizes of the records at the end of a file by torch, the last one first."""
File = bytearray
EMPTY = b"\x80\x02}."


def number(form: str, offset: int, value: int) -> Callable[[File], object]:
    """Set a number at ``offset`` from the end."""
    return lambda file: struct.pack_into(f"<{form}", file, len(file) + offset, value)


def entries(file: File) -> list[int]:
    """Positions of the entries of the directory."""
    position, end = struct.unpack_from("<Q", file, len(file) - END - LOCATOR - 8)[0], len(file) - END - LOCATOR - RECORD
    found = []
    while position < end:
        found.append(position)
        position += 46 + sum(struct.unpack_from("<3H", file, position + 28))
    return found


def entry(form: str, offset: int, value: int, name: bytes = b"data/3") -> Callable[[File], object]:
    """Set a number in the directory's entry of a part."""

    def change(file: File) -> None:
        position = next(p for p in entries(file) if name in file[p : p + 80])
        struct.pack_into(f"<{form}", file, position + offset, value)

    return change


def header(form: str, offset: int, value: int, name: bytes = b"archive/data/3") -> Callable[[File], object]:
    """Set a number in a part's own header."""
    return lambda file: struct.pack_into(f"<{form}", file, file.index(name) - 30 + offset, value)


def insert(file: File, position: int, content: bytes) -> None:
    """Insert bytes before the directory and tell the end records, but not the parts."""
    file[position:position] = content
    record = len(file) - END - LOCATOR - RECORD
    start = struct.unpack_from("<Q", file, record + 48)[0] + len(content)
    struct.pack_into("<Q", file, record + 48, start)
    struct.pack_into("<L", file, len(file) - 6, start)
    struct.pack_into("<Q", file, len(file) - END - 12, record)


def insert_between(file: File) -> None:
    """A hole of 100 bytes between two parts, about which the directory knows."""
    place = file.index(b"archive/data/3") - 30
    insert(file, place, bytes(100))
    for position in entries(file):
        offset = struct.unpack_from("<L", file, position + 42)[0]
        if offset >= place:
            struct.pack_into("<L", file, position + 42, offset + 100)


def second_directory(file: File) -> None:
    """Another directory, to which the locator leads; Python reads the record before the locator."""
    record = bytes(file[-END - LOCATOR - RECORD : -END - LOCATOR])
    place = len(file) - END - LOCATOR - RECORD
    file[place:place] = record
    struct.pack_into("<Q", file, len(file) - END - 12, place)


def swap(file: File) -> None:
    """Exchange the places of two parts of one size."""
    first, second = (next(p for p in entries(file) if name in file[p : p + 80]) for name in (b"data/3x", b"data/4x"))
    file[first + 42 : first + 46], file[second + 42 : second + 46] = (
        file[second + 42 : second + 46],
        file[first + 42 : first + 46],
    )


def rename(old: bytes, new: bytes, everywhere: bool = False) -> Callable[[File], object]:
    """Rename a part in the directory, or in its own header, too."""

    def change(file: File) -> None:
        assert len(old) == len(new)
        positions = [p for p in range(len(file)) if file.startswith(old, p)]
        for position in positions if everywhere else positions[-1:]:
            file[position : position + len(old)] = new

    return change


def without_an_entry(file: File) -> None:
    """One entry fewer in the directory: its part is hidden between the others."""
    position = next(p for p in entries(file) if b"data/3" in file[p : p + 80])
    size = 46 + sum(struct.unpack_from("<3H", file, position + 28))
    del file[position : position + size]
    record = len(file) - END - LOCATOR - RECORD
    count, length = struct.unpack_from("<2Q", file, record + 32)
    struct.pack_into("<3Q", file, record + 24, count - 1, count - 1, length - size)
    struct.pack_into("<2HL", file, len(file) - 14, count - 1, count - 1, length - size)
    struct.pack_into("<Q", file, len(file) - END - 12, record)


CHANGES: dict[str, Callable[[File], object]] = {
    "two directories": second_directory,
    "a comment": lambda file: (number("H", -2, 4)(file), file.extend(b"note")),
    "bytes after the end": lambda file: file.extend(b"\0"),
    "another zip after the end": lambda file: file.extend(zip_of(EMPTY)),
    "bytes before the start": lambda file: file.__setitem__(slice(0, 0), b"#!/bin/sh\n"),
    "a hole between two parts": insert_between,
    "a hole before the directory": lambda file: insert(file, entries(file)[0], bytes(100)),
    "another count": number("H", -12, 5),
    "another count on this disk": number("H", -14, 5),
    "a second disk": number("H", -18, 1),
    "another length": number("L", -10, 5),
    "another start": number("L", -6, 5),
    "a saturated start": number("L", -6, 0xFFFF_FFFF),
    "another count of 64 bits": number("Q", -END - LOCATOR - 24, 5),
    "a huge count": lambda file: [number("Q", -END - LOCATOR - at, 2**60)(file) for at in (24, 32)],
    "another start of 64 bits": number("Q", -END - LOCATOR - 8, 5),
    "a longer record": number("Q", -END - LOCATOR - RECORD + 4, 60),
    "a locator to elsewhere": number("Q", -END - 12, 0),
    "a locator to a second disk": number("L", -END - 4, 2),
    "no locator": number("L", -END - LOCATOR, 0),
    "no record": number("L", -END - LOCATOR - RECORD, 0),
    "compressed in the directory": entry("H", 10, 8),
    "compressed in the header": header("H", 8, 8),
    "encrypted in the directory": entry("H", 8, 0x809),
    "encrypted in the header": header("H", 6, 0x809),
    "a larger part": lambda file: [entry("L", at, 9_999_999)(file) for at in (20, 24)],
    "a part that is four bytes larger": lambda file: [entry("L", at, 3076)(file) for at in (20, 24)],
    "a part that is four bytes smaller": lambda file: [entry("L", at, 3068)(file) for at in (20, 24)],
    "a size in the header": header("L", 18, 7),
    "a longer name in the header": header("H", 26, 15),
    "a longer field in the header": header("H", 28, 20_000),
    "a shifted part": header("H", 28, 8),
    "a part shifted by eight": header("H", 28, 12),
    "another size after a part": lambda file: file.__setitem__(file.index(b"PK\7\10") + 8, 1),
    "another sum after a part": lambda file: file.__setitem__(file.index(b"PK\7\10") + 4, 1),
    "a part from elsewhere": entry("L", 42, 64),
    "a part beyond the file": entry("L", 42, 0xFFFF_FFF0),
    "another name in the header": rename(b"archive/data/3", b"archive/data/x"),
    "a name that has a twin": rename(b"archive/data/13", b"archive/data/12", True),
    "a name that has a twin in capitals": rename(b"archive/version", b"archive/DATA/3x"[:15], True),
    "a name with a zero": rename(b"archive/data/13", b"archive/data\x0013", True),
    "a part without an entry": without_an_entry,
    "a part that is missing": rename(b"archive/data/13", b"archive/data/zz", True),
    "no pickle": rename(b"archive/data.pkl", b"archive/data.pki", True),
    "only the end": lambda file: file.__delitem__(slice(0, len(file) - END)),
    "only the records": lambda file: file.__delitem__(slice(0, len(file) - END - LOCATOR - RECORD)),
    "an end without a file": lambda file: file.__delitem__(slice(0, len(file) - 10)),
}


def zip_of(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", CHANGES)
def test_a_file_that_two_readers_could_read_differently_is_refused(kind: str, good: Path, tmp_path: Path) -> None:
    content = File(good.read_bytes())
    CHANGES[kind](content)
    assert content != good.read_bytes()
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt is (refused|damaged|not a checkpoint)", tmp_path)


# --------------------------------------------------------------------------------------------- tensors and their parts


def pickled(replace: dict[bytes, bytes]) -> Callable[[Path, Path], None]:
    """Write the parts of a file anew, with other bytes in its pickle."""

    def write(good: Path, path: Path) -> None:
        with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as other:
            for name in archive.namelist():
                content = archive.read(name)
                for old, new in replace.items() if name.endswith(".pkl") else ():
                    assert old in content
                    content = content.replace(old, new, 1)
                other.writestr(name, content)

    return write


def resized(size: int) -> Callable[[Path, Path], None]:
    """Write the parts of a file anew, one of them with another size."""

    def write(good: Path, path: Path) -> None:
        with zipfile.ZipFile(good) as archive, zipfile.ZipFile(path, "w") as other:
            for name in archive.namelist():
                content = archive.read(name)
                other.writestr(name, (content * 2)[: len(content) + size] if name.endswith("data/0") else content)

    return write


NUMBERS = (293 * 16).to_bytes(2, "little")  # of the first tensor, the embedding
TENSORS: dict[str, Callable[[Path, Path], None]] = {
    "a part that is shorter than its tensor": resized(-4),
    "a part that is longer than its tensor": resized(4),
    "a part of nothing": resized(-293 * 16 * 4),
    "more numbers": pickled({b"cpuq\rM" + NUMBERS: b"cpuq\rM" + (293 * 16 + 1).to_bytes(2, "little")}),
    "fewer numbers": pickled({b"cpuq\rM" + NUMBERS: b"cpuq\rM" + (293 * 16 - 1).to_bytes(2, "little")}),
    "numbers of another size": pickled({b"torch\nFloatStorage": b"torch\nDoubleStorage"}),
    "numbers of another name": pickled({b"torch\nFloatStorage": b"torch\nQUInt8Storage"}),
    "more rows": pickled({b"M%\x01K\x10": b"M&\x01K\x10"}),
    "longer steps": pickled({b"K\x10K\x01": b"K\x11K\x01"}),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_fills_its_part_of_the_file(kind: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    TENSORS[kind](good, path)
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt is (refused|damaged|not a checkpoint)", tmp_path)


@pytest.mark.parametrize("change", ["two directories", "a shifted part", "a part that is four bytes larger"])
def test_a_run_does_not_continue_from_it(
    change: str, stranger: Path, resume: Callable[[Path], object], tmp_path: Path
) -> None:
    path = stranger / "checkpoints" / "last.ckpt"
    content = File(path.read_bytes())
    CHANGES[change](content)
    path.write_bytes(content)
    path.with_name("last.ckpt.sha256").unlink(missing_ok=True)
    assert_refused(lambda: resume(stranger), r"last\.ckpt is (refused|damaged|not a checkpoint)", tmp_path)


def test_what_torch_writes_is_read(tmp_path: Path) -> None:
    base = torch.arange(24.0)
    tensors = {
        "empty": torch.zeros(0, 3), "scalar": torch.tensor(3.5), "view": base[4:16].view(3, 4), "bool": base > 3,
        "turned": base.view(4, 6).T, "bfloat16": base.bfloat16(), "half": base.half(), "double": base.double(),
        "long": base.long(), "int8": base.char(), "uint8": base.byte(), "int16": base.short(), "int32": base.int(),
        "expanded": base.expand(3, 24),
    }  # fmt: skip
    state = {"genai": {"format": 1, "step": 1}, "state_dict": tensors}
    paths = [tmp_path / name for name in ("last.ckpt", "größe 1.ckpt", "x.pt")]
    save_checkpoint(state, paths[0])
    for path in paths[1:]:
        torch.save(state, path)
    for path in paths:
        loaded = load_checkpoint(path)["state_dict"]
        assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


@pytest.mark.slow
@pytest.mark.slow
def test_a_file_of_more_than_four_gigabytes_is_read(tmp_path: Path) -> None:
    """Its sizes and places have 64 bits, in the directory and in fields of the headers."""
    large = torch.zeros(2**32 + 8, dtype=torch.uint8)
    large[-1] = 7
    path = tmp_path / "large.pt"
    torch.save({"genai": {"format": 1, "step": 1}, "state_dict": {"a": large, "b": torch.ones(3)}}, path)
    try:
        with path.open("rb") as file:
            assert read_parts(file)[f"{path.stem}/data/0"].size == len(large)
        loaded = load_checkpoint(path)["state_dict"]
        assert loaded["a"][-1] == 7 and loaded["b"].sum() == 3
    finally:
        path.unlink()
