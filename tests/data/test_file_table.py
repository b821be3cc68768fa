"""The table of files: what is read is what was written, by this version, or nothing."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genai.core import cache as cache_module
from genai.core.cache import is_cache_file
from genai.core.errors import RunError, UserError
from genai.data import file_table
from genai.data.file_table import FileInfo, FileTable
from tests.hostile.test_cache import DAMAGES

INFOS = {
    "a.png": FileInfo(content_hash="ab" * 32, thumbnail=bytes(range(192))),
    "folder/ü'; DROP TABLE files; --.mp4": FileInfo(content_hash="00" * 32, seconds=1.5, fps=25.0, cuts=[0.5, 1.0]),
    "not UTF-8 \udcff": FileInfo(error="cannot read not UTF-8 \udcff: 'quoted'."),
    "silent.wav": FileInfo(content_hash="ff" * 32, seconds=0.1, note="a note", is_silence=True),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a table is."""
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / f"{'0' * 24}.sqlite"


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for those without a cache."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(cache_module, "_temporary_folder", lambda: tmp_path / "temporary")
    cache_module._print_fallback.cache_clear()
    yield tmp_path / "temporary"
    cache_module._print_fallback.cache_clear()


def fill(path: Path, count: int = 0) -> dict[str, str]:
    """Write all of ``INFOS`` and ``count`` others; return their stamps."""
    infos = {**INFOS, **{f"{number:05}.png": FileInfo(thumbnail=bytes(192)) for number in range(count)}}
    with FileTable(path) as table:
        for number, (name, info) in enumerate(infos.items()):
            table.add(name, f"{number} 2 3", info)
    return {name: f"{number} 2 3" for number, name in enumerate(infos)}


def read(path: Path, stamps: dict[str, str]) -> dict[str, FileInfo]:
    with FileTable(path) as table:
        return table.read(stamps)


@pytest.mark.parametrize("count", [0, 496, 497, 1200])
def test_what_is_read_is_what_was_written(path: Path, count: int) -> None:
    stamps = fill(path, count)
    infos = read(path, stamps)
    assert {name: infos[name] for name in INFOS} == INFOS
    assert infos.keys() == stamps.keys()
    assert os.listdir(path.parent) == [path.name]


def test_a_file_with_another_stamp_and_one_that_is_new_are_not_known(path: Path) -> None:
    stamps = fill(path) | {"a.png": "9 2 3", "new.png": "1 2 3"}
    assert read(path, stamps).keys() == INFOS.keys() - {"a.png"}


def test_a_row_is_replaced(path: Path) -> None:
    stamps = fill(path)
    with FileTable(path) as table:
        table.add("a.png", "0 2 3", FileInfo(error="gone"))
    assert read(path, stamps) == INFOS | {"a.png": FileInfo(error="gone")}


def foreign_table(path: Path) -> None:
    """A database with another table."""
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE files (name TEXT)")
    connection.close()


def view(path: Path) -> None:
    """A view that computes what a table should hold."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE files")
        connection.execute("CREATE VIEW files AS SELECT 1, 2, 3, 4, 5, 6")
    connection.close()


def trigger(path: Path) -> None:
    """A program that runs when a row is added."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON files BEGIN DELETE FROM files; END")
    connection.close()


def changed_row(path: Path) -> None:
    """A row with another thumbnail, which SQLite does not notice."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE files SET thumbnail = zeroblob(192)")
    connection.close()


def other_type(path: Path) -> None:
    """A number where bytes should be."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE files SET details = 5")
    connection.close()


def folder(path: Path) -> None:
    """A folder."""
    path.unlink()
    path.mkdir()


NOT_NOTICED = {"empty", "longer", "missing"}
"""An empty file is a new database; SQLite ignores what follows the last page."""


@pytest.mark.parametrize(
    "damage",
    [*DAMAGES, foreign_table, view, trigger, changed_row, other_type, folder],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_table_is_reset(
    damage: Callable[[Path], None], path: Path, temporary_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stamps = fill(path, 500)
    damage(path)
    infos = read(path, stamps)
    assert all(info == INFOS[name] for name, info in infos.items() if name in INFOS)
    lines = capfd.readouterr().err.splitlines()
    if damage.__name__ not in NOT_NOTICED | {"flipped"}:  # a bit may be one that nothing uses
        assert not infos and lines[0] == f"cache: {path.name} is damaged; it is made again."
    assert len(lines) <= 1 + (damage is folder)
    fill(path, 500)
    assert read(path, stamps).keys() == stamps.keys()
    assert len(os.listdir(path.parent)) == 1


@pytest.mark.parametrize("place", range(0, 12_000, 997))
def test_no_bit_changes_what_is_read(place: int, path: Path, temporary_folder: Path) -> None:
    stamps = fill(path, 20)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 4
    path.write_bytes(content)
    infos = read(path, stamps)
    assert all(info == INFOS.get(name, FileInfo(thumbnail=bytes(192))) for name, info in infos.items())
    fill(path, 20)
    assert read(path, stamps).keys() == stamps.keys()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_file_that_cannot_be_written_is_read(path: Path, temporary_folder: Path) -> None:
    stamps = fill(path)
    path.chmod(0o400)
    assert read(path, stamps) == INFOS
    fill(path)
    assert os.listdir(temporary_folder) == [path.name]


def test_without_room_another_folder_is_used(
    path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write = file_table._write_rows

    def full(connection: sqlite3.Connection, rows: list[file_table._Row]) -> None:
        ((_, _, file),) = connection.execute("PRAGMA database_list")
        connection.execute("PRAGMA max_page_count = 3" if file == str(path) else "PRAGMA max_page_count = 1000")
        write(connection, rows)

    monkeypatch.setattr(file_table, "_write_rows", full)
    with FileTable(path) as table:
        for number in range(200):
            table.add(str(number), "1 2 3", FileInfo(thumbnail=bytes(192)))
        table.write()
        assert len(table.read({str(number): "1 2 3" for number in range(200)})) == 200
        assert table.path.parent == temporary_folder
    (line,) = capfd.readouterr().err.splitlines()
    assert "database or disk is full" in line and "is used instead" in line


def test_where_no_folder_can_be_written_the_run_fails_in_one_line(
    path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: sqlite3.Connection, rows: list[file_table._Row]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(file_table, "_write_rows", full)
    with pytest.raises(RunError, match=r"cannot write in .*temporary: database or disk is full"):
        fill(path)


def test_a_table_that_is_damaged_again_and_again_is_given_up(
    path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    connect = file_table._connect

    def broken(place: Path) -> sqlite3.Connection:
        if place == path:
            raise UserError("it has other tables.")
        return connect(place)

    monkeypatch.setattr(file_table, "_connect", broken)
    fill(path)
    assert len(capfd.readouterr().err.splitlines()) == 2 and os.listdir(temporary_folder) == [path.name]


def test_rows_of_another_version_are_forgotten(path: Path, temporary_folder: Path) -> None:
    stamps = fill(path)
    blobs = (b"a.png", b"0 2 3", b"", b"", b'{"color": "red"}')
    with sqlite3.connect(path) as connection:
        connection.execute(file_table._INSERT, (*blobs, file_table._checksum(blobs)))
    connection.close()
    assert read(path, stamps) == {}


def test_a_locked_table_is_waited_for_and_then_left_alone(
    path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_table, "LOCK_SECONDS", 0.2)
    stamps = fill(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert read(path, stamps) == INFOS  # readers do not wait for the rows of others
    start = time.monotonic()
    with FileTable(path) as table:
        table.add("b.png", "1 2 3", FileInfo())
    assert 0.1 < time.monotonic() - start < 5
    other.execute("ROLLBACK")
    other.close()
    assert "database is locked" in capfd.readouterr().err
    assert read(path, stamps) == INFOS and os.listdir(temporary_folder) == [path.name]


WRITER = """
import sys, time
from pathlib import Path
from genai.data import file_table
file_table.WRITE_SECONDS = 0.01
with file_table.FileTable(Path(sys.argv[1])) as table:
    for number in range(int(sys.argv[3])):
        table.add(f"{sys.argv[2]}{number}", "1 2 3", file_table.FileInfo(thumbnail=bytes(192)))
        time.sleep(0.001)
"""


def test_processes_share_a_table(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, "200"]) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    stamps = {f"{name}{number}": "1 2 3" for name in "abc" for number in range(200)}
    assert read(path, stamps).keys() == stamps.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_killed_process_leaves_its_rows(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), "a", "100000"]) as writer:
        stamps = {f"a{number}": "1 2 3" for number in range(100_000)}
        start = time.monotonic()
        while not (path.exists() and path.stat().st_size > 50_000) and time.monotonic() - start < 60:
            time.sleep(0.05)
        writer.kill()
    infos = read(path, stamps)
    assert len(infos) > 100 and set(infos) == {f"a{number}" for number in range(len(infos))}


def test_the_files_of_a_table_are_known_to_be_of_the_cache(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm", ".sums"):
        (file := path.with_name(path.name + suffix)).touch()
        assert is_cache_file(file)
    for name in (f"{'0' * 24}.sqlite-old", "notes.sqlite-journal"):
        (path.parent / name).touch()
        assert not is_cache_file(path.parent / name)
