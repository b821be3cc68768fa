"""Run folders: which is newest, which is free."""

from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.core.files import temporary_path
from genai.runs.checkpoint import file_hash, save_checkpoint
from genai.runs.run import Run, all_runs, create_run, find_run, latest_run, latest_run_per_modality


def new_run(root: Path, started: str, modality: str, checkpoint: bool = True) -> Run:
    run = create_run(root, f"{modality}-x")
    run.write_record(started=started, modality=modality)
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


def test_a_run_knows_the_hashes_of_its_checkpoints(tmp_path: Path) -> None:
    run = new_run(tmp_path, "2026", "text")
    assert run.checkpoint_hashes == {file_hash(run.last)}
    assert create_run(tmp_path, "x").checkpoint_hashes == set()


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    assert len({create_run(tmp_path, "x").folder for _ in range(5)}) == 5


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
