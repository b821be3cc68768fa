"""Labels in any script."""

import pytest

from genai.media import labels
from genai.media.labels import label_font


def test_text_in_latin_script_is_drawn_with_the_font_of_pillow() -> None:
    font, text = label_font("a red circle,\n50 %", 10)
    assert (font.getname()[0], text) == ("Aileron", "a red circle,\n50 %")


def test_what_no_font_has_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_system_fonts", lambda size: [])
    assert label_font("a \u7ea2\n\u8272 b", 10)[1] == "a ?\n? b"


def test_a_font_of_the_system_draws_what_the_font_of_pillow_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    other = labels._default_font(11)
    monkeypatch.setattr(labels, "_system_fonts", lambda size: [other])
    monkeypatch.setattr(labels, "_has_glyph", lambda font, character: font is other or character.isascii())
    assert label_font("a \u7ea2", 10) == (other, "a \u7ea2")


def test_fonts_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "SYSTEM_FONTS", ("no-such-font.ttf",))
    assert labels._system_fonts.__wrapped__(10) == []
