"""Packets of XMP: written, read, and found in the files of others."""

import struct

from genai.trust.xmp import MAX_PACKET, embed_xmp, read_xmp, write_xmp

FIELDS = {"DigitalSourceType": "http://x/y", "CreatorTool": "genai 1", "Recipe": '{"prompt":"<a> & \\"b\\" é"}'}


def test_what_is_written_is_read() -> None:
    assert read_xmp(b"x" + write_xmp(FIELDS) + b"y") == FIELDS


def test_a_long_recipe_is_left_out() -> None:
    packet = write_xmp({**FIELDS, "Recipe": "x" * 70_000})
    assert len(packet) < MAX_PACKET and read_xmp(packet) == {k: v for k, v in FIELDS.items() if k != "Recipe"}


def test_control_characters_are_left_out() -> None:
    assert read_xmp(write_xmp({**FIELDS, "Model": "a\0b\x1b[0m\ud800"}))["Model"] == "ab[0m"


def test_elements_are_read_too() -> None:
    text = "<x:xmpmeta><Iptc4xmpExt:DigitalSourceType>http://a/b</Iptc4xmpExt:DigitalSourceType></x:xmpmeta>"
    assert read_xmp(text.encode()) == {"DigitalSourceType": "http://a/b"}


def test_a_packet_without_the_field_is_passed_over() -> None:
    other = write_xmp({"CreatorTool": "camera"})
    assert read_xmp(other) == {} and read_xmp(other + write_xmp(FIELDS)) == FIELDS
    assert read_xmp(b"<x:xmpmeta" * 100_000) == {}


def test_a_tag_of_id3_keeps_its_frames() -> None:
    frame = b"TIT2" + struct.pack(">I", 3) + b"\0\0" + b"\0hi"
    content = b"ID3\x03\0\0" + bytes([0, 0, 0, len(frame)]) + frame + b"\xff\xfbsound"
    result = embed_xmp(content, ".mp3", write_xmp(FIELDS))
    assert frame in result and result.endswith(b"\xff\xfbsound") and read_xmp(result) == FIELDS
    assert read_xmp(embed_xmp(b"\xff\xfbsound", ".mp3", write_xmp(FIELDS))) == FIELDS


def test_other_files_stay_as_they_are() -> None:
    assert embed_xmp(b"text", ".txt", write_xmp(FIELDS)) == b"text"
