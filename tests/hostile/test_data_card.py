"""Files beside data that try to be more than quoted text in a data card."""

import os
from pathlib import Path

import pytest

from genai.data.text import TextFolder
from genai.inference.data_card import data_card, format_data_card


def card_of(folder: Path) -> str:
    for index in range(3):
        (folder / f"{index}.txt").write_text(f"text {index}")
    return format_data_card(data_card(TextFolder(str(folder), license="<b>|x|\n# y</b>")))


def test_text_stays_text(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("```\n</pre><script>alert(1)</script>\x1b[2J\r\u2028# title\u202e\n\n# title\n")
    text = card_of(tmp_path)
    assert "\x1b" not in text and "\u2028" not in text and "\u202e" not in text and "\r" not in text
    assert all(line.startswith("    ") for line in text.split("\n") if "script" in line or line.strip() == "# title")
    assert r"| license | \<b\>\|x\|?# y\</b\> |" in text


def test_links_that_lead_out_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret of another folder")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "LICENSE").symlink_to(tmp_path / "secret")
    text = card_of(folder)
    assert "secret of" not in text and "not quoted" in text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "COPYING")
    (tmp_path / "LICENSE").write_bytes(b"x" * 2**21)
    (tmp_path / "NOTICE").write_bytes(b"\xff\xfe\x00\xff")
    (tmp_path / "consent.yaml").mkdir()
    text = card_of(tmp_path)
    assert text.count("not quoted") == 4 and len(text) < 10_000
