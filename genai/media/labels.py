"""Fonts for labels in any script: Pillow's own, or one of the system for characters that Pillow's font lacks."""

from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont

SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "DroidSansFallbackFull.ttf",
    "wqy-microhei.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Nirmala.ttf",
    "segoeui.ttf",
    "seguiemj.ttf",
)
"""Files of common fonts of Linux, macOS and Windows, those with many scripts first."""
_NO_CHARACTER = "\U0010ffff"
"""Has no glyph in any font, so it is drawn as a font draws what it lacks."""


def label_font(text: str, size: float) -> tuple[Font, str]:
    """Return a font that can draw ``text``, and the text to draw.

    Where no font has all characters, it is the font that has most, with question marks for the others.
    """
    characters = sorted({character for character in text if not character.isspace()})
    default = _default_font(size)
    if all(_has_glyph(default, character) for character in characters):
        return default, text
    fonts = [default, *_system_fonts(size)]
    counts = [sum(_has_glyph(font, character) for character in characters) for font in fonts]
    font = fonts[counts.index(max(counts))]
    return font, "".join(c if c.isspace() or _has_glyph(font, c) else "?" for c in text)


@cache
def _default_font(size: float) -> Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, Font), "Pillow is built without FreeType"
    return font


@cache
def _system_fonts(size: float) -> list[Font]:
    """Return those of ``SYSTEM_FONTS`` that are installed."""
    fonts = []
    for name in SYSTEM_FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return fonts


@cache
def _has_glyph(font: Font, character: str) -> bool:
    """Return whether the font draws the character in its own way."""
    masks = [font.getmask(text) for text in (character, _NO_CHARACTER)]
    return (masks[0].size, bytes(masks[0])) != (masks[1].size, bytes(masks[1]))
