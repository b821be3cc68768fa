"""A user's own pronunciations."""

from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.speech.lexicon import parse_phones, read_lexicon
from genai.speech.phones import Phone


def test_words_and_stress(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("# names\n\nGenAI\tdʒ ɛ n ˈeɪ aɪ\nO’Neill  oʊ ˈ n iː l\n", encoding="utf-8")
    lexicon = read_lexicon(path)
    assert list(lexicon) == ["genai", "o'neill"]
    assert lexicon["genai"] == (Phone("dʒ"), Phone("ɛ"), Phone("n"), Phone("eɪ", 1), Phone("aɪ"))
    assert lexicon["o'neill"] == (Phone("oʊ"), Phone("n"), Phone("iː", 1), Phone("l"))  # moved to the vowel


def test_stress_without_a_vowel_stays() -> None:
    assert parse_phones(["ˌn̩"]) == (Phone("n̩", 2),)
    assert parse_phones(["ˈs", "t"]) == (Phone("s"), Phone("t", 1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hello", "line 2: 'hello' has no phones"),
        ("r2d2 a", "line 2: 'r2d2' is no word"),
        ("one a", "line 2: 'one' is there a second time"),
        ("hello həloʊhəloʊhəloʊ", "line 2: .* is too long for a phone"),
        ("hello ˈ", "line 2: there is no phone"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(f"one w ˈʌ n\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"names\.txt, {message}"):
        read_lexicon(path)


def test_the_file_goes_through_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_lexicon(tmp_path / "nothing.txt")
    monkeypatch.setitem(read_lexicon.__globals__["read_text"].__globals__["MAX_BYTES"], "lexicon", 3)
    (tmp_path / "large.txt").write_text("word w\n")
    with pytest.raises(UserError, match="more than 3"):
        read_lexicon(tmp_path / "large.txt")
