"""Run folders: which is newest, which is free."""

import threading
import time
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.core.files import file_hash, temporary_path
from genai.runs.checkpoint import save_checkpoint
from genai.runs.run import Run, all_runs, create_run, find_run, latest_run, latest_run_per_modality


def new_run(root: Path, started: str, modality: str, checkpoint: bool = True, finished: bool = True) -> Run:
    run = create_run(root, f"{modality}-x")
    run.write_record(started=started, modality=modality, finished=f"{started}:30" if finished else None, steps=12)
    if checkpoint:
        save_checkpoint({"genai": {"format": 1}, "state_dict": {}}, run.last)
    return run


def test_the_newest_run_with_a_checkpoint_is_taken(tmp_path: Path) -> None:
    new_run(tmp_path, "2026-01-01T00", "text")
    image = new_run(tmp_path, "2026-01-03T00", "image")
    text = new_run(tmp_path, "2026-01-02T00", "text")
    new_run(tmp_path, "2026-01-04T00", "text", checkpoint=False)
    assert latest_run(tmp_path) == image
    assert latest_run(tmp_path, "text") == text
    with pytest.raises(UserError, match="no audio run with a checkpoint"):
        latest_run(tmp_path, "audio")


def test_the_newest_of_each_modality_in_the_order_of_their_start(tmp_path: Path) -> None:
    text = new_run(tmp_path, "2026-01-03T00", "text")
    image = new_run(tmp_path, "2026-01-02T00", "image")
    new_run(tmp_path, "2026-01-01T00", "text")
    new_run(tmp_path, "2026-01-04T00", "image", checkpoint=False)
    assert latest_run_per_modality(tmp_path) == [image, text]
    with pytest.raises(UserError, match="no run with a checkpoint"):
        latest_run_per_modality(tmp_path / "nowhere")


def test_the_newest_run_that_ended_by_itself_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended_last = new_run(tmp_path, "2026-01-01T00", "text")
    ended_last.write_record(finished="2026-01-09T00")
    new_run(tmp_path, "2026-01-02T00", "text")
    assert latest_run(tmp_path) == ended_last and capsys.readouterr().err == ""
    aborted = new_run(tmp_path, "2026-01-03T00", "text", finished=False)
    aborted.write_record(total_steps=300)
    assert latest_run(tmp_path) == ended_last
    line = f"{aborted.folder} is newer, but unfinished (12 of 300 steps); ckpt= would take it\n"
    assert capsys.readouterr().err == line
    assert latest_run_per_modality(tmp_path) == [ended_last] and capsys.readouterr().err == line


def test_a_run_that_was_extended_and_stopped_is_newer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extended = new_run(tmp_path, "2026-01-01T00", "text", finished=False)
    ended = new_run(tmp_path, "2026-01-02T00", "text")
    assert latest_run(tmp_path) == ended and capsys.readouterr().err == ""
    extended.write_record(resumed=["2026-01-03T00"])
    assert latest_run(tmp_path) == ended and str(extended.folder) in capsys.readouterr().err


def test_without_a_finished_run_the_newest_is_taken_and_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_run(tmp_path, "2026-01-01T00", "text", finished=False)
    newest = new_run(tmp_path, "2026-01-02T00", "text", finished=False)
    assert latest_run(tmp_path) == newest
    assert capsys.readouterr().err == f"{newest.folder} is unfinished (12 steps)\n"


@pytest.mark.parametrize("place", ["", "run", "a/run", "a/b/run", "a/b/c/run"])
def test_runs_that_were_moved_are_found(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    target = tmp_path / "moved" / place
    target.parent.mkdir(parents=True, exist_ok=True)
    new_run(tmp_path / "runs", "2026-01-01T00", "text").folder.rename(target)
    assert [run.folder for run in all_runs(tmp_path / "moved")] == [target]
    assert latest_run(Path("~/moved")).folder == target


def test_folders_that_cannot_be_runs_are_not_searched(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026-01-01T00", "text")
    for folder in (run.folder / "previews", tmp_path / ".hidden"):
        folder.mkdir()
        (folder / "record.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert next(all_runs(tmp_path)) == run
    with pytest.raises(UserError, match=r"is not a run folder. It contains \d+ runs?, such as .*-text-x"):
        find_run(run.folder.parent)


def test_a_run_knows_the_hashes_of_its_checkpoints(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    assert run.checkpoint_hashes == {file_hash(run.last)}
    assert create_run(tmp_path, "x").checkpoint_hashes == set()


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    assert len({create_run(tmp_path, "x").folder for _ in range(5)}) == 5


def test_the_folder_of_another_run_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    first, second = (create_run(tmp_path, "x", tmp_path / "0") for _ in range(2))
    assert first.folder == second.folder == tmp_path / "0"  # nothing is there yet
    first.write_record(seed=1)
    assert create_run(tmp_path, "x", tmp_path / "0").folder == tmp_path / "0-2"


def test_a_group_member_of_any_name_makes_one_folder(tmp_path: Path) -> None:
    folder = create_run(tmp_path, "text-mine/net: *").folder
    assert folder.parent.parent == tmp_path and folder.name.endswith("-text-mine-net- -")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    left = [temporary_path(path) for path in (run.record_file, run.last)]
    for path in left:
        path.touch()
    run.remove_temporary_files()
    assert not any(path.exists() for path in left) and run.last.exists()


def test_a_run_is_found_by_its_folder_or_a_file_in_it(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    assert find_run(run.folder) == find_run(run.last) == run
    with pytest.raises(UserError, match="Did you mean"):
        find_run(f"{run.folder}x")


def test_a_record_keeps_file_names_that_are_no_utf8(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    run.write_record(overrides=["data.path=\udcff \u00e9\n"])
    assert run.record.overrides == ["data.path=\udcff \u00e9\n"]


def test_an_empty_folder_has_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run with a checkpoint"):
        latest_run(tmp_path / "nowhere")


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    lock = run.lock()
    assert run.is_locked
    with pytest.raises(UserError, match="is being trained by another process"):
        run.lock()
    lock.release()
    assert not run.is_locked


def test_a_lock_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    is_held = threading.Event()

    def hold() -> None:
        lock = run.lock()
        is_held.set()
        time.sleep(0.2)
        lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    assert run.is_locked
    assert not run.is_active(5)
    thread.join()


@pytest.mark.parametrize("content", [b"", b"{", b"5", b"null", b"[1]", b"\xff"])
def test_a_damaged_record_is_named(content: bytes, tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    (run.folder / "record.json").write_bytes(content)
    with pytest.raises(UserError, match=r"record\.json"):
        _ = run.record


def test_a_damaged_record_does_not_hide_the_other_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = new_run(tmp_path, "2026-01-01", "text"), new_run(tmp_path, "2026-01-02", "text")
    (bad.folder / "record.json").write_text("{")
    assert list(all_runs(tmp_path)) == [good] and latest_run(tmp_path) == good
    assert str(bad.folder) in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ['{"overrides": 5}', '{"steps": "many"}', '{"data": []}', '{"best": {"step": 1}}', "[" * 100_000]
)
def test_a_record_of_nonsense_is_named(content: str, tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    (run.folder / "record.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot read .*record\.json"):
        _ = run.record
    assert list(all_runs(tmp_path)) == []
