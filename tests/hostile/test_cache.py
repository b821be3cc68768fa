"""A damaged, full or missing cache: what does not fit is made again, and without a cache everything works."""

import errno
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genai.core import cache as cache_module
from genai.core.cache import cache_dir, cached_file, cached_json, read_cached_json, remove_cached_json
from genai.core.errors import RunError
from genai.data.text import TextFolder
from genai.modalities.text import Text
from tests.hostile.attempts import attempt

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each test looks at its folder anew."""
    functions = (cache_module._usable_folder, cache_module._temporary_folder, cache_module._print_fallback)
    for function in functions:
        function.cache_clear()
    yield
    for function in functions:
        function.cache_clear()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    monkeypatch.setenv("GENAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def truncated(path: Path) -> None:
    """Half of it, with whole numbers."""
    os.truncate(path, path.stat().st_size // 4 * 2)


def empty(path: Path) -> None:
    """Nothing."""
    os.truncate(path, 0)


def longer(path: Path) -> None:
    """Twice."""
    path.write_bytes(path.read_bytes() * 2)


def flipped(path: Path) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def zeroed(path: Path) -> None:
    """As after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def missing(path: Path) -> None:
    """It was deleted."""
    path.unlink()


def pipe(path: Path) -> None:
    """A pipe."""
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to a file that never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES = (truncated, empty, longer, flipped, zeroed, missing, pipe, endless)


def write_pair(path: Path) -> None:
    """An entry of two files."""
    path.write_bytes(b"0123456789abcdef")
    path.with_suffix(".json").write_text('{"a": 1}')


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["key.u1", "key.json", "key.u1.sums"])
def test_a_damaged_entry_is_made_again(
    name: str, damage: Callable[[Path], None], tmp_path: Path, capfd: Capture
) -> None:
    cached_file(tmp_path / "key.u1", write_pair, ".json")
    damage(tmp_path / name)
    calls = []

    def write(path: Path) -> None:
        calls.append(path)
        write_pair(path)

    answer = attempt(lambda: cached_file(tmp_path / "key.u1", write, ".json"), capfd)
    assert (
        answer.code == 0
        and len(calls) == 1
        and len(answer.lines) == (not (name.endswith("sums") and damage is missing))
    )
    assert (tmp_path / "key.u1").read_bytes() == b"0123456789abcdef"
    assert (tmp_path / "key.json").read_text() == '{"a": 1}'
    assert sorted(os.listdir(tmp_path)) == ["key.json", "key.u1", "key.u1.sums"]
    assert cached_file(tmp_path / "key.u1", write, ".json") == tmp_path / "key.u1" and len(calls) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_text_is_the_same_after_damage(
    damage: Callable[[Path], None], corpus: Path, own_cache: Path, capfd: Capture
) -> None:
    modality, source = Text("characters", None, 16), TextFolder(str(corpus))
    modality.fit(source.train, cache_dir())
    before = modality.pack(source.train, cache_dir()).tokens.tolist()
    damage(next(own_cache.glob("*.u2")))
    after: list[int] = []
    answer = attempt(lambda: after.extend(modality.pack(source.train, cache_dir()).tokens.tolist()), capfd)
    assert answer.code == 0 and after == before and "is made again" in answer.lines[0]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_value_is_not_read(damage: Callable[[Path], None], tmp_path: Path, capfd: Capture) -> None:
    cached_json(tmp_path / "a.json", lambda: {"x": 1})
    assert read_cached_json(tmp_path / "a.json") == {"x": 1}
    damage(tmp_path / "a.json")
    assert attempt(lambda: read_cached_json(tmp_path / "a.json"), capfd).code == 0
    assert read_cached_json(tmp_path / "a.json") is None
    remove_cached_json(tmp_path / "a.json")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "place", ["/proc/genai", "/dev/null/x", "{file}", "{file}/x", "{loop}", "a" * 300, "~nobody-here/x"]
)
def test_without_a_cache_everything_works(
    place: str, corpus: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENAI_CACHE", place.format(file=tmp_path / "file", loop=tmp_path / "loop"))
    answer = attempt(lambda: Text("characters", None, 16).pack(TextFolder(str(corpus)).train, cache_dir()), capfd)
    assert answer.code == 0 and len(answer.lines) == 1 and "is used instead" in answer.lines[0]
    shutil.rmtree(cache_dir())


def test_without_a_home_everything_works(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    monkeypatch.delenv("GENAI_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    folders: list[Path] = []
    assert attempt(lambda: folders.append(cache_dir()), capfd).code == 0
    assert folders[0].is_dir()
    shutil.rmtree(folders[0])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_on_a_full_disk_another_folder_is_used(number: int, tmp_path: Path, capfd: Capture) -> None:
    (place := tmp_path / "cache").mkdir()

    def write(path: Path) -> None:
        path.write_text("part")
        if path.parent == place:
            raise OSError(number, os.strerror(number))

    paths: list[Path] = []
    answer = attempt(lambda: paths.append(cached_file(place / "a.u1", write)), capfd)
    assert answer.code == 0 and paths[0].read_text() == "part" and os.listdir(place) == []
    assert os.strerror(number) in answer.lines[0]
    shutil.rmtree(paths[0].parent)


def test_where_no_disk_has_room_the_run_fails_with_path_and_bytes(tmp_path: Path, capfd: Capture) -> None:
    def write(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"No space left on device; [\d,]+ bytes are free there"):
        cached_file(tmp_path / "a.u1", write)


def test_an_error_of_the_data_is_not_one_of_the_cache(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        cached_json(tmp_path / "a.json", lambda: json.loads((tmp_path.parent / "nothing").read_text()))
    with pytest.raises(OSError, match="Input/output"):
        cached_file(tmp_path / "a.u1", lambda path: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))


@pytest.mark.skipif(sys.platform == "win32", reason="no process numbers to ask about")
def test_what_killed_processes_left_is_removed(own_cache: Path) -> None:
    own_cache.mkdir()
    host = cache_module._process_name().rpartition("-")[0]
    names = {
        f".making-{host}-99999999-key.u2": 120, f".making-{host}-{os.getpid()}-key.u2": 120,
        f".making-{host}-99999998-key.u2": 1, ".making-elsewhere-99999999-key.u2": 120,
        f".{'0' * 24}.123.u2": 90_000, ".new.9.u2": 5, ".bashrc": 10**8, ".profile.9.old": 10**8,
    }  # fmt: skip
    for name, age in names.items():
        (own_cache / name).touch()
        os.utime(own_cache / name, (time.time() - age,) * 2)
    (own_cache / "entry.u2").touch()
    cache_dir()
    left = set(os.listdir(own_cache))
    assert left == {"entry.u2", *list(names)[1:4], ".new.9.u2", ".bashrc", ".profile.9.old"}


def test_files_are_synced_before_they_get_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(number: int) -> None:
        if stat.S_ISREG(os.fstat(number).st_mode):
            events.append("sync")
        sync(number)

    def replace(old: Path, new: Path) -> None:
        events.append(Path(new).name)
        rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    cached_file(tmp_path / "key.u1", write_pair, ".json")
    assert events == ["sync", "sync", "key.u1", "key.json", "sync", "key.u1.sums"]
