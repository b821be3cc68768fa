"""Links in a stranger's folders: nothing is written through them, and nothing that they lead to is published."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.cli.compose import compose
from genai.commands.page import page
from genai.commands.train import fit
from genai.core.files import make_folder, write_file
from genai.inference.labels import NO_LABEL
from genai.media.picture import Picture
from genai.modalities.preview import Preview
from genai.runs.run import Run
from tests.hostile.attempts import attempt
from tests.hostile.test_side_files import make_sample

Trained = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]
SECRET = "the secret of the user"
PARTS = (
    "config.yaml", "record.json", "metrics.csv", ".lock", "checkpoints/last.ckpt", "checkpoints/best.ckpt",
    "checkpoints/previous.ckpt", "checkpoints/last.ckpt.sha256", "checkpoints/best.ckpt.sha256",
    "previews/00000007/000.txt", "previews/00000007/sheet.png", "previews/00000009/001.txt", "mlflow_run_id",
    "tensorboard/events.out.tfevents.1", "metrics.json",
)  # fmt: skip
FOLDERS = ("previews", "tensorboard", "checkpoints", "previews/00000007", "profile", "wandb")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """The folder of a small run, to change."""
    return Path(shutil.copytree(trained("text"), tmp_path / "run"))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user, outside of the run."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "profile").write_text(SECRET)
    return tmp_path / "home" / "profile"


@pytest.mark.parametrize("part", PARTS)
def test_a_run_with_a_link_that_leads_out_is_not_continued(part: str, run: Path, victim: Path, capfd: Capture) -> None:
    (run / part).parent.mkdir(parents=True, exist_ok=True)
    (run / part).unlink(missing_ok=True)
    (run / part).symlink_to(victim)
    answer = attempt(lambda: Run(run).check_links(), capfd)
    assert answer.code == 2 and part in answer.lines[-1]


@pytest.mark.parametrize("part", FOLDERS)
def test_a_run_with_a_linked_folder_is_not_continued(part: str, run: Path, victim: Path, capfd: Capture) -> None:
    shutil.rmtree(run / part, ignore_errors=True)
    (run / part).parent.mkdir(exist_ok=True)
    (run / part).symlink_to(victim.parent, target_is_directory=True)
    answer = attempt(lambda: Run(run).check_links(), capfd)
    assert answer.code == 2 and part in answer.lines[-1]


@pytest.mark.parametrize("part", ["checkpoints", "previews", "tensorboard"])
def test_a_run_with_a_file_in_the_place_of_a_folder_is_not_continued(part: str, run: Path, capfd: Capture) -> None:
    shutil.rmtree(run / part, ignore_errors=True)
    (run / part).touch()
    answer = attempt(lambda: Run(run).check_links(), capfd)
    assert answer.code == 2 and "should be a folder" in answer.lines[-1]


def test_links_inside_a_run_are_its_own_matter(run: Path) -> None:
    (run / "newest.ckpt").symlink_to("checkpoints/last.ckpt")
    Run(run).check_links()


def test_resume_asks_before_anything_is_written(run: Path, victim: Path, capfd: Capture) -> None:
    (run / "previews" / "00000007").mkdir(parents=True)
    (run / "previews" / "00000007" / "000.txt").symlink_to(victim)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    answer = attempt(lambda: fit(f"resume={run}", "steps=7"), capfd)
    assert answer.code == 2 and victim.read_text() == SECRET
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }


def test_a_file_that_is_written_replaces_a_link(tmp_path: Path, victim: Path) -> None:
    (place := tmp_path / "000.txt").symlink_to(victim)
    write_file(place, "new", tmp_path)
    assert victim.read_text() == SECRET and place.read_text() == "new" and not place.is_symlink()


@pytest.mark.parametrize("depth", range(3))
def test_nothing_is_written_below_a_linked_folder(depth: int, tmp_path: Path, victim: Path, capfd: Capture) -> None:
    (root := tmp_path / "run").mkdir()
    (root / "previews").symlink_to(victim.parent, target_is_directory=True)
    below = root.joinpath("previews", *"abc"[:depth])
    answer = attempt(lambda: (make_folder(below, root), write_file(below / "profile", "new", root)), capfd)
    assert answer.code == 2 and os.listdir(victim.parent) == ["profile"] and victim.read_text() == SECRET


def test_previews_are_not_written_through_links(tmp_path: Path, victim: Path, capfd: Capture) -> None:
    (tmp_path / "run" / "previews" / "00000001").mkdir(parents=True)
    (tmp_path / "run" / "previews" / "00000001" / "000.png").symlink_to(victim)
    import numpy as np

    picture = Picture(np.zeros((2, 2, 3), np.uint8))
    Preview().write(tmp_path / "run" / "previews" / "00000001", [("p", picture)], NO_LABEL.encode)
    assert victim.read_text() == SECRET
    (tmp_path / "run" / "previews" / "00000002").symlink_to(victim.parent, target_is_directory=True)
    answer = attempt(
        lambda: Preview().write(tmp_path / "run" / "previews" / "00000002", [("p", picture)], NO_LABEL.encode), capfd
    )
    assert answer.code == 2 and os.listdir(victim.parent) == ["profile"]


@pytest.mark.parametrize("name", ["000.txt", "000.json", "folder", "relative"])
def test_a_page_does_not_publish_what_links_lead_to(
    name: str, run: Path, victim: Path, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        make_sample(run, tmp_path / "samples" / "x", f"{number:03d}")
    samples = tmp_path / "samples" / "x"
    if name == "folder":
        make_sample(run, tmp_path / "elsewhere", "000")
        (tmp_path / "elsewhere" / "000.txt").write_text(SECRET)
        (tmp_path / "samples" / "y").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    else:
        file = samples / ("000.txt" if name == "relative" else name)
        file.unlink()
        file.symlink_to("../../home/profile" if name == "relative" else victim)
    answer = attempt(lambda: page(compose("page", [f"ckpt={run}"])), capfd)
    assert answer.code == 0 and SECRET not in (tmp_path / "page.html").read_text()
