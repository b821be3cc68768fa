"""XMP packets (ISO 16684-1), and the places for them in files: PNG, JPEG, WebP, GIF, WAV, FLAC, Ogg, MP3, MP4.

Each function adds a part that decoders of pixels and samples pass over.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from html import escape, unescape
from itertools import islice

from genai.trust.label import comment
from genai.trust.ogg import add_comments

NAMESPACES = {
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "genai": "https://genai.invalid/xmp/1.0/",
}
PROPERTIES = {
    "DigitalSourceType": "Iptc4xmpExt",
    "CreatorTool": "xmp",
    "Model": "genai",
    "Checkpoint": "genai",
    "Voice": "genai",
    "Consent": "genai",
    "Recipe": "genai",
}
"""Properties of a packet, with the prefixes of their namespaces."""
MAX_PACKET = 60_000
"""Largest packet in bytes: a JPEG has room for 65,502."""
MAX_PACKETS = 64
"""Packets of a file that are looked at."""
_BEGIN, _END = b"<x:xmpmeta", b"</x:xmpmeta>"


def write_xmp(fields: Mapping[str, str]) -> bytes:
    """Return a packet with properties by their names in ``PROPERTIES``; the recipe is left out if it is too long."""
    prefixes = dict.fromkeys(PROPERTIES[name] for name in fields)
    spaces = " ".join(f'xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in prefixes)
    values = " ".join(f'{PROPERTIES[name]}:{name}="{escape(_plain(value))}"' for name, value in fields.items())
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {spaces} {values}/></rdf:RDF></x:xmpmeta>'
    ).encode()
    if len(packet) > MAX_PACKET and "Recipe" in fields:
        return write_xmp({name: value for name, value in fields.items() if name != "Recipe"})
    return packet


def read_xmp(content: bytes) -> dict[str, str]:
    """Return the properties of the first packet in a file that has one with ``DigitalSourceType``; empty: none has.

    Only what ``write_xmp`` and common tools write is found: attributes, and elements with a text.
    """
    for packet in islice(_packets(content), MAX_PACKETS):
        text = packet.decode("utf-8", "replace")
        fields = {name: value for name, prefix in PROPERTIES.items() if (value := _find(text, f"{prefix}:{name}"))}
        if "DigitalSourceType" in fields:
            return fields
    return {}


def embed_xmp(content: bytes, suffix: str, packet: bytes) -> bytes:
    """Return a file with the packet; as it is if its type has no place for one."""
    add = _PLACES.get(suffix.lower())
    return add(content, packet) if add else content


def _packets(content: bytes) -> Iterator[bytes]:
    """Yield what begins like a packet, up to its end or ``MAX_PACKET`` bytes."""
    start = content.find(_BEGIN)
    while start >= 0:
        end = content.find(_END, start, start + MAX_PACKET)
        yield content[start : end + len(_END)] if end >= 0 else b""
        start = content.find(_BEGIN, start + 1 if end < 0 else end)


def _find(text: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"|<{name}>([^<]*)</{name}>', text)
    return unescape(next(filter(None, found.groups()), "")) if found else ""


def _plain(text: str) -> str:
    """Return a text without characters that XML 1.0 does not have."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


# ------------------------------------------------------------------------------------------------- places in files


def _add_to_png(content: bytes, packet: bytes) -> bytes:
    """Add a chunk ``iTXt`` after the header (PNG, 11.3.3.4)."""
    body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]  # signature of 8 bytes, header of 25


def _add_to_jpeg(content: bytes, packet: bytes) -> bytes:
    """Add a segment APP1, after APP0 if there is one (XMP, part 3)."""
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet
    start = 2
    if content[2:4] == b"\xff\xe0":
        start += 2 + struct.unpack(">H", content[4:6])[0]
    return content[:start] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[start:]


def _add_to_webp(content: bytes, packet: bytes) -> bytes:
    """Add a chunk ``XMP`` at the end; a simple file becomes an extended one (RFC 9649)."""
    chunks = content[12:]
    if chunks[:4] == b"VP8X":
        chunks = chunks[:8] + bytes([chunks[8] | 0x04]) + chunks[9:]
    else:
        has_alpha = chunks[:4] == b"VP8L" and bool(chunks[12] & 0x10)
        width, height = _webp_size(chunks)
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks = _riff_chunk(b"VP8X", bytes([0x04 | 0x10 * has_alpha, 0, 0, 0]) + size) + chunks
    body = b"WEBP" + chunks + _riff_chunk(b"XMP ", packet)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_size(chunks: bytes) -> tuple[int, int]:
    """Return width and height of a simple file."""
    if chunks[:4] == b"VP8L":
        bits = int.from_bytes(chunks[9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", chunks[14:18])
    return width & 0x3FFF, height & 0x3FFF


def _add_to_gif(content: bytes, packet: bytes) -> bytes:
    """Add an application extension before the trailer (XMP, part 3): the packet, and a ramp that ends it as blocks."""
    ramp = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    extension = b"\x21\xff\x0bXMP DataXMP" + packet + ramp
    return content[:-1] + extension + content[-1:]


def _add_to_wav(content: bytes, packet: bytes) -> bytes:
    """Add a list ``INFO`` and a chunk ``_PMX`` at the end (RIFF; XMP, part 3)."""
    chunks = wav_info(read_xmp(packet)) + _riff_chunk(b"_PMX", packet)
    body = content[8:] + b"\0" * (len(content) % 2) + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav_info(fields: Mapping[str, str]) -> bytes:
    """Return the chunk of a WAV with the properties that players show."""
    entries = _riff_text(b"ISFT", fields.get("CreatorTool", "")) + _riff_text(b"ICMT", comment(fields))
    return _riff_chunk(b"LIST", b"INFO" + entries)


def _riff_text(name: bytes, text: str) -> bytes:
    return _riff_chunk(name, text.encode() + b"\0")


def _riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _add_to_mp3(content: bytes, packet: bytes) -> bytes:
    """Add a frame ``PRIV`` to the tag ID3v2 at the beginning, which is made if there is none."""
    body = b"XMP\0" + packet
    if content[:3] == b"ID3" and content[3] in (3, 4):
        size = _synchsafe_value(content[6:10])
        length = struct.pack(">I", len(body)) if content[3] == 3 else _synchsafe(len(body))
        frames = b"PRIV" + length + b"\0\0" + body + content[10 : 10 + size]
        return content[:6] + _synchsafe(len(frames)) + frames + content[10 + size :]
    frame = b"PRIV" + _synchsafe(len(body)) + b"\0\0" + body
    return b"ID3\x04\0\0" + _synchsafe(len(frame)) + frame + content


def _add_to_flac(content: bytes, packet: bytes) -> bytes:
    """Add fields to the block of comments, which is made if there is none (RFC 9639, 8.6)."""
    comments = _vorbis_comments(packet)
    place, is_last = 4, False
    while not is_last:
        is_last, kind = bool(content[place] & 0x80), content[place] & 0x7F
        end = place + 4 + int.from_bytes(content[place + 1 : place + 4], "big")
        if kind == 4:
            vendor = 4 + struct.unpack("<I", content[place + 4 : place + 8])[0]
            body = content[place + 4 : end]
            count = struct.unpack("<I", body[vendor : vendor + 4])[0] + len(comments)
            body = body[:vendor] + struct.pack("<I", count) + body[vendor + 4 :] + b"".join(comments)
            return content[: place + 1] + len(body).to_bytes(3, "big") + body + content[end:]
        place = end
    body = struct.pack("<II", 0, len(comments)) + b"".join(comments)
    first, last = 8 + int.from_bytes(content[5:8], "big"), content[4] & 0x80
    block = bytes([4 | last]) + len(body).to_bytes(3, "big") + body
    return content[:4] + b"\0" + content[5:first] + block + content[first:]


def _add_to_ogg(content: bytes, packet: bytes) -> bytes:
    """Add comments to the second packet of a stream of Vorbis or Opus; other streams stay as they are."""
    return add_comments(content, _vorbis_comments(packet))


def _vorbis_comments(packet: bytes) -> list[bytes]:
    """Return comments, each after its length (Ogg Vorbis I, 5; RFC 7845, 5.2; RFC 9639, 8.6)."""
    fields = read_xmp(packet)
    texts = (f"SOFTWARE={fields.get('CreatorTool', '')}", f"COMMENT={comment(fields)}", f"XMP={packet.decode()}")
    return [struct.pack("<I", len(each)) + each for each in (text.encode() for text in texts)]


def _synchsafe(value: int) -> bytes:
    """Return 28 bits as four bytes of seven (ID3v2.4)."""
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))


def _synchsafe_value(content: bytes) -> int:
    return sum(byte << shift for byte, shift in zip(content, (21, 14, 7, 0), strict=True))


def _add_to_mp4(content: bytes, packet: bytes) -> bytes:
    """Add a box ``uuid`` at the end (XMP, part 3)."""
    body = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC") + packet
    return content + struct.pack(">I", len(body) + 8) + b"uuid" + body


_PLACES: dict[str, Callable[[bytes, bytes], bytes]] = {
    ".png": _add_to_png,
    ".jpg": _add_to_jpeg,
    ".jpeg": _add_to_jpeg,
    ".webp": _add_to_webp,
    ".gif": _add_to_gif,
    ".wav": _add_to_wav,
    ".flac": _add_to_flac,
    ".ogg": _add_to_ogg,
    ".mp3": _add_to_mp3,
    ".mp4": _add_to_mp4,
}
