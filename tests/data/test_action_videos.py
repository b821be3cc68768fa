from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.action_videos import ActionVideos, class_prompt
from genai.media.clip import Clip


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that hold the number of their frames."""

    def read(path: Path, fps: float | None = None, short_side: int | None = None) -> Clip:
        if not (count := path.read_text()).isdigit():
            raise UserError(f"{path} is not a video that can be read.")
        return Clip(np.zeros((int(count), short_side or 8, short_side or 8, 3), np.uint8), fps or 25)

    monkeypatch.setattr(Clip, "read", read)


def ucf(root: Path) -> Path:
    """Two classes of four films: of fold 1 the first group is held out, of fold 2 the second."""
    films = [f"{kind}/v_{kind}_g{group:02}_c01.avi" for kind in ("ApplyEyeMakeup", "Archery") for group in range(1, 5)]
    for number, film in enumerate(films):
        (root / "UCF-101" / film).parent.mkdir(parents=True, exist_ok=True)
        (root / "UCF-101" / film).write_text(str(10 + number))
    (lists := root / "ucfTrainTestlist").mkdir()
    for fold in (1, 2):
        val_films = [film for film in films if f"_g{fold:02}_" in film]
        train_lines = [f"{film} 1" for film in films if film not in val_films]
        (lists / f"testlist{fold:02}.txt").write_text("\r\n".join(val_films) + "\r\n")
        (lists / f"trainlist{fold:02}.txt").write_text("\n".join(train_lines))
    return root / "UCF-101"


def hmdb(root: Path) -> Path:
    for number, (kind, film) in enumerate((kind, film) for kind in ("brush_hair", "wave") for film in "abcd"):
        (root / "hmdb51_org" / kind).mkdir(parents=True, exist_ok=True)
        (root / "hmdb51_org" / kind / f"{kind}_{film}.avi").write_text(str(10 + number))
    (lists := root / "testTrainMulti_7030_splits").mkdir()
    for kind in ("brush_hair", "wave"):
        lines = [f"{kind}_{film}.avi {tag} \n" for film, tag in zip("abcd", (1, 1, 2, 0), strict=True)]
        (lists / f"{kind}_test_split1.txt").write_text("".join(lines))
    return root / "hmdb51_org"


def texts(split: Split) -> list[str]:
    return sorted(example.prompt for example in split)


def test_ucf101_as_its_lists_divide_it(tmp_path: Path) -> None:
    root = ucf(tmp_path)
    source = ActionVideos("UCF101", str(root), fps=8, size=32)
    assert texts(source.train) == ["apply eye makeup"] * 3 + ["archery"] * 3
    assert texts(source.val) == ["apply eye makeup", "archery"]
    assert {(len(e.media.frames), e.media.frames.shape[1], e.media.fps) for e in source.val} == {
        (10, 32, 8),
        (14, 32, 8),
    }
    other = ActionVideos("UCF101", str(root), fold=2)
    assert sorted(len(example.media.frames) for example in other.val) == [11, 15]
    with pytest.raises(UserError, match=r"there is no trainlist03\.txt, which defines the splits of UCF101"):
        _ = ActionVideos("UCF101", str(root), fold=3).train


def test_hmdb51_as_its_lists_divide_it(tmp_path: Path) -> None:
    source = ActionVideos("HMDB51", str(hmdb(tmp_path)))
    assert texts(source.train) == ["brush hair"] * 2 + ["wave"] * 2
    assert texts(source.val) == ["brush hair", "wave"]
    assert source.skipped == ("2 films are in neither split of fold 1.",)


def test_films_that_are_not_there_and_damaged_ones_are_said(tmp_path: Path) -> None:
    root = ucf(tmp_path)
    (root / "Archery" / "v_Archery_g01_c01.avi").unlink()
    (root / "Archery" / "v_Archery_g02_c01.avi").write_text("RIFF")
    source = ActionVideos("UCF101", str(root))
    assert (len(source.train), len(source.val)) == (5, 1)
    assert "g02_c01.avi is not a video" in source.skipped[0]
    assert source.skipped[1:] == ("1 films of fold 1 are missing.",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lists": "nowhere"}, r"data\.lists=nowhere: there is no trainlist01\.txt"),
        ({"path": "nowhere"}, r"data\.path=nowhere: there is no such folder"),
        ({"path": ""}, "is empty: give a folder of films"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        _ = ActionVideos(**{"name": "UCF101", "path": str(ucf(tmp_path)), **change}).train


def test_films_of_another_set_are_said(tmp_path: Path) -> None:
    ucf(tmp_path)
    with pytest.raises(UserError, match=r"none of the 8 films in .*ucfTrainTestlist exists"):
        _ = ActionVideos("UCF101", str(hmdb(tmp_path)), str(tmp_path / "ucfTrainTestlist")).train


def test_classes_as_one_types_them() -> None:
    prompts = [class_prompt(name) for name in ("ApplyEyeMakeup", "TaiChi", "brush_hair", "YoYo", "CleanAndJerk")]
    assert prompts == ["apply eye makeup", "tai chi", "brush hair", "yo yo", "clean and jerk"]
