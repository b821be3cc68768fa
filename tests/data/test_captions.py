from pathlib import Path

import pytest

from genai.data.captions import describe_prompts, name_caption, read_captions


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("red_ball_01.png", "red ball"),
        ("red ball-2.png", "red ball"),
        ("red_ball (3).png", "red ball"),
        ("C4.wav", "C4"),
        ("A#0.wav", "A#0"),
        ("piano_C4_12.wav", "piano C4"),
        ("0001.png", "0001"),
        ("_01.png", "01"),
        ("dr. who.v2.png", "dr. who.v2"),
    ],
)
def test_the_name_of_a_file_as_a_caption(name: str, caption: str) -> None:
    assert name_caption(Path(name)) == caption


@pytest.mark.parametrize(
    ("prompts", "description"),
    [
        (["", ""], "no captions found: nothing to ask for"),
        (["a", "a"], "1 prompt"),
        (["a", ""], "1 prompt (1 without)"),
        (["a", "b", "", ""], "2 different prompts (2 without)"),
    ],
)
def test_prompts_are_counted(prompts: list[str], description: str) -> None:
    assert describe_prompts(prompts) == description


def test_a_table_of_another_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "captions.csv").write_text("file_name,text\na.png,red\n")
    files = sorted(tmp_path.iterdir())
    (note,) = read_captions(files, [tmp_path / "a.png"], "pictures").notes
    assert note.endswith("captions.csv is not read: a table of captions is called metadata.csv.")
