from pathlib import Path

from genai.trust.notices import MAX_LINES, find_notices


def test_notices_of_a_folder_and_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "License").write_text("CC BY 4.0\n")
    (tmp_path / "consent.yaml").write_text("speaker: agreed on 2026-01-01\n")
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "ai.txt").write_text("\n".join(f"line {number}" for number in range(MAX_LINES + 5)))
    notices = find_notices(tmp_path)
    assert [notice.name for notice in notices] == ["License", "ai.txt", "consent.yaml"]
    assert notices[0].text == "CC BY 4.0"
    assert notices[1].text.endswith(f"line {MAX_LINES - 1}\n...")
    assert find_notices(tmp_path / "a.txt") == notices
    assert find_notices(tmp_path / "missing") == []
