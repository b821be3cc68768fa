"""Files from strangers, damaged files, kills and full disks."""

import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai import checkpoints, runs
from genai.errors import Damaged, Failure, Mistake
from tests.conftest import ROOT, SMALL

GOOD: dict[str, Any] = {"genai": {"format": 1, "step": 1}, "state_dict": {"a": torch.arange(4000.0)}}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A real checkpoint."""
    folder = tmp_path_factory.mktemp("good")
    model = genai.fit(*SMALL, f"data.path={corpus}", f"runs={folder}", "steps=1")
    assert model.file
    return model.file


class Shell:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/genai-was-here",)


def rewritten(good: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    state = torch.load(good, weights_only=True)
    change(state)
    torch.save(state, path)
    return path


def zipped(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {"archive/data.pkl": pickled, "archive/version": b"3\n", **more}.items():
            archive.writestr(name, content)
    return path


def target(key: str, value: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        node = state["genai"][key]
        (node["network"] if key == "model" else node)["_target_"] = value

    return change


def huge(state: dict[str, Any]) -> None:
    state["genai"]["model"]["network"] |= {"width": 65_536, "layers": 512}


def bad_tokenizer(state: dict[str, Any]) -> None:
    state["genai"]["modality_state"] = {"kind": "bpe", "json": "{}"}


def bad_shape(state: dict[str, Any]) -> None:
    name = next(name for name in state["state_dict"] if name.startswith("method."))
    state["state_dict"][name] = torch.zeros(3)


def no_weights(state: dict[str, Any]) -> None:
    state["state_dict"] = {}


def other_format(state: dict[str, Any]) -> None:
    state["genai"]["format"] = 99


HOSTILE: dict[str, Callable[[Path, Path], Path]] = {
    "code in a torch file": lambda good, path: rewritten(good, path, lambda state: state.update(x=Shell())),
    "code in a bare pickle": lambda good, path: (path.write_bytes(pickle.dumps(Shell())), path)[1],
    "code in a legacy torch file": lambda good, path: (
        torch.save({"x": Shell()}, path, _use_new_zipfile_serialization=False),
        path,
    )[1],
    "code by a newer opcode": lambda good, path: zipped(path, pickle.dumps(Shell(), protocol=4)),
    "os.system as network": lambda good, path: rewritten(good, path, target("model", "os.system")),
    "torch.load as network": lambda good, path: rewritten(good, path, target("model", "torch.load")),
    "write_text as network": lambda good, path: rewritten(good, path, target("model", "genai.x.Path.write_text")),
    "Path as modality": lambda good, path: rewritten(good, path, target("modality", "genai.runs.Path")),
    "open as modality": lambda good, path: rewritten(good, path, target("modality", "builtins.open")),
    "a zip bomb": lambda good, path: zipped(
        path, b"\x80\x02}.", zipfile.ZIP_DEFLATED, **{"archive/data/0": bytes(300 * 2**20)}
    ),
    "a large pickle": lambda good, path: zipped(path, b"\x80\x02" + b"N0" * (20 * 2**20) + b"N."),
    "many instructions": lambda good, path: zipped(path, b"\x80\x02" + b"N0" * 3_000_000 + b"N."),
    "deep nesting": lambda good, path: zipped(path, b"\x80\x02" + b"(" * 200_000 + b"l" * 200_000 + b"."),
    "many parts": lambda good, path: zipped(path, b"\x80\x02}.", **{f"archive/{i}": b"" for i in range(110_000)}),
    "a huge network": lambda good, path: rewritten(good, path, huge),
    "a tokenizer of rubbish": lambda good, path: rewritten(good, path, bad_tokenizer),
    "a wrong shape": lambda good, path: rewritten(good, path, bad_shape),
    "no weights": lambda good, path: rewritten(good, path, no_weights),
    "another format": lambda good, path: rewritten(good, path, other_format),
    "a text": lambda good, path: (path.write_text("hello"), path)[1],
    "nothing": lambda good, path: (path.write_bytes(b""), path)[1],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_by_name_quickly_and_in_little_memory(kind: str, good: Path, tmp_path: Path) -> None:
    path = HOSTILE[kind](good, tmp_path / "hostile.ckpt")
    code = (
        "import resource, sys, time, torch, genai, genai.modalities.text, genai.methods.autoregressive\n"
        "before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()\n"
        "try: genai.load(sys.argv[1], device='cpu')\n"
        "except genai.errors.Mistake as mistake: print(mistake)\n"
        "else: sys.exit('it was loaded')\n"
        "used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024\n"
        "print(f'{used} MB {time.process_time() - began} s', file=sys.stderr)\n"
        "sys.exit(used > 200 or time.process_time() - began > 5)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
    assert "hostile.ckpt" in done.stdout or "refused" in done.stdout or "checkpoint" in done.stdout
    assert not Path("/tmp/genai-was-here").exists()


def test_a_storage_that_is_larger_than_its_record_is_refused(good: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts = {name: content[:16] if "/data/" in name else content for name, content in parts.items()}
    path = tmp_path / "short.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    with pytest.raises(Mistake):
        genai.load(path)


def test_save_and_load_are_inverse(tmp_path: Path) -> None:
    digest = checkpoints.save(GOOD, tmp_path / "last.ckpt")
    loaded = checkpoints.load(tmp_path / "last.ckpt")
    assert torch.equal(loaded["state_dict"]["a"], GOOD["state_dict"]["a"])
    assert loaded["genai"] == GOOD["genai"]
    assert (tmp_path / "last.ckpt.sha256").read_text() == f"{digest}  last.ckpt\n"


def test_one_flipped_bit_is_found_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.save(GOOD, path)
    content = path.read_bytes()
    draw = random.Random(0)
    for position in (0, len(content) - 1, *(draw.randrange(len(content)) for _ in range(20))):
        changed = bytearray(content)
        changed[position] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(Damaged, match=r"last\.ckpt is damaged"):
            checkpoints.load(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_passed_over_for_the_one_before(share: float, tmp_path: Path) -> None:
    run = runs.Run(tmp_path)
    for step in (1, 2):
        checkpoints.save({**GOOD, "genai": {"format": 1, "step": step}}, run.last)
    content = run.last.read_bytes()
    run.last.write_bytes(content[: int(len(content) * share)])
    file, state, notes = run.load("last")
    assert (file.name, state["genai"]["step"], len(notes)) == ("previous.ckpt", 1, 1)
    assert "last.ckpt is damaged" in notes[0]
    file.unlink()
    with pytest.raises(Damaged, match="no checkpoint is left"):
        run.load("last")


@pytest.mark.parametrize("moment", range(8))
def test_a_kill_at_any_rename_leaves_a_good_newest_checkpoint(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    for step in (1, 2):
        checkpoints.save({**GOOD, "genai": {"format": 1, "step": step}}, path)
    renames = iter(range(100))
    original = os.replace

    def replace(source: Path, goal: Path) -> None:
        if next(renames) == moment:
            raise KeyboardInterrupt
        original(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    try:
        checkpoints.save({**GOOD, "genai": {"format": 1, "step": 3}}, path)
    except KeyboardInterrupt:
        pass
    else:
        assert moment > 4  # so many renames there are
    monkeypatch.undo()
    assert checkpoints.load(path)["genai"]["step"] in (2, 3)
    assert checkpoints.load(tmp_path / "previous.ckpt")["genai"]["step"] in (1, 2)


def test_a_full_disk_names_path_and_bytes_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    checkpoints.save(GOOD, path)
    before = path.read_bytes()
    code = (
        "import resource, signal, sys, torch; from pathlib import Path; from genai import checkpoints, errors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: checkpoints.save({'genai': {'format': 1}, 'state_dict': {'a': torch.rand(10**6)}}, Path(sys.argv[1]))\n"
        "except errors.Failure as failure: print(failure)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert str(path) in done.stdout, done.stderr
    assert "bytes" in done.stdout
    assert path.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot save"):
        checkpoints.save(GOOD, tmp_path / "file" / "last.ckpt")


def test_no_address_is_ever_opened() -> None:
    with pytest.raises(Mistake, match="only files on this machine"):
        genai.load("http://localhost/a.ckpt")
