"""A table of runs, what differs between two, and what can be deleted."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.core.cache import cache_dir
from genai.core.filesystem import lock_file
from genai.runs.checkpoint_files import read_hashes
from genai.runs.run import Run
from tests.conftest import copy_run

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, the second without a checkpoint, and an empty cache."""
    copy_run(trained("text"), tmp_path / "runs", "12:00:00")
    aborted = copy_run(trained("text"), tmp_path / "runs", "13:00:00")
    for file in (aborted / "checkpoints").iterdir():
        file.unlink()
    Run(aborted).write_record(seed=5, finished=None, best=None, steps=0)
    (aborted / "config.yaml").write_text((aborted / "config.yaml").read_text().replace("seed: 0", "seed: 5"))
    monkeypatch.setenv("GENAI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    cache_dir()
    return tmp_path


@pytest.fixture
def run(inside: Command, place: Path) -> Command:
    return lambda *words: inside("history", *words, cwd=place)


def folder(place: Path, time: str) -> Path:
    (found,) = (place / "runs").glob(f"*/{time}-*")
    return found


def test_the_table_has_the_newest_run_first(run: Command, place: Path) -> None:
    lines = run().stdout.splitlines()
    assert lines[0].split() == ["run", "steps", "minutes", "val_loss", "MB", "state", "data"]
    assert "13-00-00" in lines[1] and "  no checkpoint  " in lines[1]
    assert (
        "12-00-00" in lines[2]
        and "  finished  " in lines[2]
        and f"{Run(folder(place, '12-00-00')).record.best.val_loss:.4f}" in lines[2]
    )  # type: ignore[union-attr]
    lock = lock_file(folder(place, "13-00-00") / ".lock")
    assert "  running  " in run().stdout.splitlines()[1]
    lock.release()


def test_no_runs_are_said(run: Command) -> None:
    assert run("runs=nowhere").stdout.startswith("no runs are in nowhere/")


def test_what_differs_between_two_runs(run: Command, place: Path) -> None:
    done = run("compare=12-00-00,13-00-00")
    rows = {line.split("  ")[0]: line.split()[-2:] for line in done.stdout.splitlines()}
    assert rows["seed"] == ["0", "5"] and rows["steps done"] == ["6", "0"] and rows["best val_loss"][1] == "-"
    assert "modality.block" not in rows
    assert run(f"compare={folder(place, '12-00-00')},13-00-00").stdout == done.stdout


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("compare=a", "give two runs, as compare=A,B"),
        ("compare=-00-,13", "2 runs have this in their name"),
        ("compare=14-00,13", "0 runs have this in their name"),
        ("prune=[run]", "Did you mean 'runs'? There are: runs, samples, cache, leftovers"),
    ],
)
def test_a_mistake_is_exit_code_2(word: str, message: str, run: Command) -> None:
    done = run(word, "yes=true")
    assert done.returncode == 2 and message in done.stderr


def test_only_what_is_of_no_use_is_deleted_and_only_with_yes(run: Command, place: Path) -> None:
    kept = folder(place, "12-00-00")
    (kept / "checkpoints" / ".last.ckpt.tmp").write_text("half")
    cache = cache_dir()
    for name in ("0" * 24 + ".u1", "0" * 24 + ".u1.sums", "notes.txt", "photo.json"):
        (cache / name).write_text("x")
    (cache / ("1" * 24 + ".shards") / "part-1").mkdir(parents=True)
    (cache / ("1" * 24 + ".shards") / "part-1" / "x.u1").write_text("x")
    (cache / "mine.shards").mkdir()
    for name, digest in (("old", "1" * 64), ("new", next(iter(Run(kept).checkpoint_hashes)))):
        (place / "samples" / name).mkdir(parents=True)
        (place / "samples" / name / "000.txt").write_text("x")
        (place / "samples" / name / "000.json").write_text(f'{{"checkpoint_sha256": "{digest}"}}')
    (place / "samples" / "mine").mkdir()
    (place / "samples" / "mine" / "000.json").write_text('{"a": 1}')
    outside = place / "precious"
    outside.mkdir()
    os.symlink(outside, folder(place, "13-00-00") / "previews" / "link")
    before = sorted(place.rglob("*"))
    shown = run("prune=true").stdout
    assert [line.split()[0] for line in shown.splitlines()[:-1]] == ["runs", "samples", "cache", "leftovers"]
    assert shown.splitlines()[-1].endswith("MB can be freed: add yes=true") and sorted(place.rglob("*")) == before
    assert "are freed" in run("prune=true", "yes=true").stdout
    assert not list((place / "runs").glob("*/13-00-00-*")) and not (place / "samples" / "old").exists()
    assert {file.name for file in cache.iterdir()} == {"notes.txt", "photo.json", "mine.shards"}
    assert (place / "samples" / "new" / "000.txt").exists() and (place / "samples" / "mine" / "000.json").exists()
    assert outside.exists() and Run(kept).has_checkpoint and not (kept / "checkpoints" / ".last.ckpt.tmp").exists()
    assert "0.0 MB can be freed\n" in run("prune=true").stdout


def test_one_kind_can_be_chosen(run: Command, place: Path) -> None:
    (cache_dir() / ("0" * 24 + ".u1")).write_text("x")
    assert run("prune=[cache]", "yes=true").returncode == 0
    assert folder(place, "13-00-00").exists() and not list(cache_dir().iterdir())


def test_nothing_of_a_run_that_goes_on_is_deleted(run: Command, place: Path) -> None:
    (cache_dir() / ("0" * 24 + ".u1")).write_text("x")
    lock = lock_file(folder(place, "13-00-00") / ".lock")
    assert run("prune=true").stdout == "0.0 MB can be freed\n"
    lock.release()


def test_a_linked_run_is_left_alone(run: Command, place: Path) -> None:
    elsewhere = place / "elsewhere"
    folder(place, "13-00-00").rename(elsewhere)
    (place / "runs" / "2026-01-30" / "link").symlink_to(elsewhere)
    assert "elsewhere" not in run("prune=[runs]", "yes=true").stdout and elsewhere.exists()


def sample_folder(place: Path, name: str, checkpoint: Path | str = "", digest: str = "1" * 64) -> Path:
    folder = place / "samples" / name
    folder.mkdir(parents=True)
    (folder / "000.txt").write_text("x")
    (folder / "000.json").write_text(json.dumps({"checkpoint": str(checkpoint), "checkpoint_sha256": digest}))
    return folder


@pytest.mark.parametrize("name", ["photo.png", "001.json", "000-best.txt", "notes"])
def test_a_folder_of_samples_with_something_else_is_left_alone(name: str, run: Command, place: Path) -> None:
    folder = sample_folder(place, "old")
    (folder / name).mkdir() if name == "notes" else (folder / name).write_text("{}")
    assert "samples" not in run("prune=[samples]", "yes=true").stdout and (folder / "000.txt").exists()


def test_samples_of_models_elsewhere_are_left_alone(run: Command, place: Path) -> None:
    checkpoint = Run(folder(place, "12-00-00")).best
    digest = read_hashes(checkpoint)[0]
    (place / "weights.safetensors").write_text("x")
    kept = [
        sample_folder(place, "run", checkpoint, digest),
        sample_folder(place, "other", place / "weights.safetensors"),
    ]
    sample_folder(place, "old", checkpoint)
    assert "0.0 MB are freed" in run("runs=nowhere", "prune=[samples]", "yes=true").stdout
    assert [path.exists() for path in kept] == [True, True] and not (place / "samples" / "old").exists()


def test_samples_of_linked_runs_are_left_alone(run: Command, place: Path) -> None:
    digest = next(iter(Run(folder(place, "12-00-00")).checkpoint_hashes))
    old = sample_folder(place, "old", "/moved", digest)
    folder(place, "12-00-00").rename(place / "elsewhere")
    (place / "runs" / "link").symlink_to(place / "elsewhere")
    assert run("prune=[samples]", "yes=true").returncode == 0 and old.exists()


@pytest.mark.parametrize("name", ["notes.md", "checkpoints/best.pt", "data"])
def test_a_run_with_something_else_is_left_alone(name: str, run: Command, place: Path) -> None:
    path = folder(place, "13-00-00") / name
    path.mkdir() if name == "data" else path.write_text("x")
    assert run("prune=[runs]", "yes=true").returncode == 0 and path.exists()


def test_a_folder_that_only_has_a_record_is_no_run(run: Command, place: Path) -> None:
    (place / "project").mkdir()
    (place / "project" / "record.json").write_text('{"title": "mine"}')
    assert run("runs=.", "prune=[runs]", "yes=true").returncode == 0 and (place / "project").exists()
