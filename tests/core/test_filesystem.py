"""Names and files on systems that lack what a local POSIX file system has."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from filelock import FileLock, SoftFileLock, Timeout
from hypothesis import example, given
from hypothesis import strategies as st

from genai.core import filesystem
from genai.core.cache import cached_file
from genai.core.files import temporary_path, unique_folder, write_file
from genai.core.filesystem import (
    link_or_copy,
    lock_file,
    replace_file,
    safe_name,
    sort_paths,
    sync_file,
    sync_folder,
)
from tests.conftest import ROOT


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "RETRY_SECONDS", (0.0, 0.0))


def raises(error: type[OSError], number: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red circle", "a red circle"),
        ("12-00-00-text-gpt", "12-00-00-text-gpt"),
        ('a: b* c? "d" <e> |f|', "a- b- c- -d- -e- -f-"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ("C:\\x\ty\n", "C--x-y-"),
        ("CON", "_CON"),
        ("aux.txt", "_aux.txt"),
        ("nul .png", "_nul .png"),
        ("com1", "_com1"),
        ("LPT\u00b2", "_LPT\u00b2"),
        ("console", "console"),
        ("ends. . ", "ends"),
        ("...", "_"),
        ("", "_"),
        ("cafe\u0301", "caf\u00e9"),
        ("\udcff", "-"),
    ],
)
def test_a_name_holds_on_every_file_system(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text())
@example("\u00e9" * 200)
@example("a" * 149 + "\u00e9")
@example("a" * 149 + ".b")
def test_every_text_has_a_name_that_can_be_written_and_stays(text: str) -> None:
    name = safe_name(text)
    assert safe_name(name) == name
    assert 0 < len(name.encode()) <= 200 and not name.endswith((" ", ".")) and not PureWindowsPath(name).is_reserved()
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', name)


def test_names_that_differ_in_case_alone_get_two_folders_where_they_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.name.lower() in {entry.name.lower() for entry in path.parent.iterdir()}:
            raise FileExistsError(errno.EEXIST, "exists")
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    assert [unique_folder(tmp_path / name).name for name in ("Gpt", "gpt", "GPT")] == ["Gpt", "gpt-2", "GPT-3"]


def test_a_file_in_the_way_of_a_folder_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(FileExistsError):
        unique_folder(tmp_path / "x")


def test_paths_are_in_the_same_order_on_every_system() -> None:
    windows = [PureWindowsPath(name) for name in ("a\\b", "B", "a.b", "A\\c", "_x")]
    posix = [str(path) for path in sort_paths(Path(path.as_posix()) for path in windows)]
    assert [path.as_posix() for path in sort_paths(windows)] == posix == ["A/c", "B", "_x", "a/b", "a.b"]  # type: ignore[arg-type, type-var]


def test_processes_with_the_same_number_write_to_different_files(tmp_path: Path) -> None:
    names = {temporary_path(tmp_path / "x.ckpt").name for _ in range(3)}
    assert len(names) == 3 and all(name.startswith(".") and name.endswith(".tmp") for name in names)


def test_a_text_has_the_same_bytes_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "linesep", "\r\n")
    write_file(tmp_path / "a", "\u00e9\r\n\udcff\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\r\n\\udcff\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_being_read_is_replaced_a_moment_later(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"new")
    original, busy = os.replace, iter([True, True, False])
    denied = raises(PermissionError, errno.EACCES)
    monkeypatch.setattr(os, "replace", lambda *paths: denied() if next(busy) else original(*paths))
    replace_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"new"


def test_a_file_that_stays_in_use_is_an_error(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", raises(PermissionError, errno.EACCES))
    with pytest.raises(PermissionError):
        write_file(tmp_path / "a", "")
    assert not list(tmp_path.iterdir())


def test_a_cached_file_that_another_process_has_just_written_and_opened_is_taken(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cached_file(tmp_path / "x.u1", lambda temporary: temporary.write_text("content"))
    content = (sums := tmp_path / "x.u1.sums").read_bytes()
    sums.unlink()
    monkeypatch.setattr(os, "replace", raises(PermissionError, errno.EACCES))

    def write(temporary: Path) -> None:
        temporary.write_text("content")
        sums.write_bytes(content)

    assert cached_file(tmp_path / "x.u1", write) == entry
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.u1", "x.u1.sums"]


@pytest.mark.parametrize("links", ["refused", "missing", "there"])
def test_a_link_or_a_copy(links: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"content")
    if links == "refused":
        monkeypatch.setattr(os, "link", raises(OSError, errno.EPERM))
    elif links == "missing":
        monkeypatch.delattr(os, "link")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    assert os.path.samefile(tmp_path / "a", tmp_path / "b") == (links == "there")


def test_a_folder_that_cannot_be_synced_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(os.fstat(descriptor)))
    sync_folder(tmp_path)
    assert calls == [tmp_path.stat()]
    monkeypatch.setattr(os, "fsync", raises(OSError, errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "open", raises(PermissionError, errno.EACCES))
    sync_folder(tmp_path)


def test_a_file_system_without_fsync_is_no_error_and_a_full_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "a").open("wb") as file:
        monkeypatch.setattr(os, "fsync", raises(OSError, errno.ENOTSUP))
        sync_file(file)
        monkeypatch.setattr(os, "fsync", raises(OSError, errno.ENOSPC))
        with pytest.raises(OSError, match="No space"):
            sync_file(file)


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, ""), OSError(errno.ENOTSUP, ""), NotImplementedError()])
def test_a_file_system_without_locks_has_a_file_for_one(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(lock: Any, *_: Any, **__: Any) -> None:
        raise error

    original = SoftFileLock.acquire
    monkeypatch.setattr(FileLock, "acquire", acquire)
    monkeypatch.setattr(SoftFileLock, "acquire", original)
    lock = lock_file(tmp_path / ".lock")
    with pytest.raises(Timeout):
        lock_file(tmp_path / ".lock")
    lock.release()
    lock_file(tmp_path / ".lock").release()


def test_a_folder_that_cannot_be_written_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLock, "acquire", raises(OSError, errno.EROFS))
    with pytest.raises(OSError, match="Read-only"):
        lock_file(tmp_path / ".lock")


@pytest.mark.slow
def test_the_package_works_without_the_modules_of_posix(tmp_path: Path) -> None:
    """Windows has no fcntl and no resource, and its os and signal lack what is deleted here."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "sys.modules.update(fcntl=None, resource=None)\n"
        "for name in 'link fork sched_getaffinity getuid getpgid killpg setsid'.split(): delattr(os, name)\n"
        "del signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2\n"
        "import genai, torch\n"
        "from genai.core.device import num_cores, peak_memory_mb\n"
        "from genai.runs.checkpoint import save_checkpoint\n"
        "from genai.runs.run import create_run\n"
        "from genai.training.callbacks import TrainingLoop\n"
        "run = create_run(Path(sys.argv[1]), 'con: *')\n"
        "lock = run.lock()\n"
        "assert run.is_locked and num_cores() and peak_memory_mb(torch.device('cpu')) != 0\n"
        "for step in range(3): save_checkpoint({'genai': {'format': 1, 'step': step}, 'state_dict': {}}, run.last)\n"
        "lock.release()\n"
        "assert not run.is_locked and run.load('previous')[1]['genai']['step'] == 1\n"
        "loop = TrainingLoop.__new__(TrainingLoop)\n"
        "loop.handlers = {}\n"
        "loop.install_signal_handlers()\n"
        "assert len(loop.handlers) == 2\n"
        "print(run.folder.name)"
    )
    environment = {**os.environ, "USERNAME": "me", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip().endswith("-con- -"), done.stderr
