from genai.trust.scripts import count_scripts


def test_letters_by_writing_system() -> None:
    assert count_scripts("abc é привет 漢字 ひら 123 !?") == {"Latin": 4, "Cyrillic": 6, "CJK": 2, "Hiragana": 2}
    assert count_scripts("µ한") == {"other": 1, "Hangul": 1}
    assert count_scripts("12 + 3") == {}
