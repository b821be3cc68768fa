"""Comments in Ogg files of Vorbis and Opus: the headers are written again, the sound is copied (RFC 3533)."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

HEADER = struct.Struct("<4sBBqIIIB")
"""Of a page: capture pattern, version, type, granule position, serial number, page number, checksum, segments."""
MAX_SEGMENT, MAX_SEGMENTS = 255, 255
CONTINUED = 1
COMMENT_STARTS = {b"\x01vorbis": (b"\x03vorbis", 3), b"OpusHead": (b"OpusTags", 2)}
"""By the start of the first packet: that of the packet with comments, and the number of packets with headers."""
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    kind: int
    granule: int
    serial: int
    number: int
    sizes: bytes
    body: bytes

    def to_bytes(self) -> bytes:
        """Return the page with its checksum."""
        fields = (b"OggS", 0, self.kind, self.granule, self.serial, self.number)
        content = HEADER.pack(*fields, 0, len(self.sizes)) + self.sizes + self.body
        return HEADER.pack(*fields, _checksum(content), len(self.sizes)) + self.sizes + self.body


def add_comments(content: bytes, comments: Sequence[bytes]) -> bytes:
    """Return a file with further comments, each after its length; as it is if it is no plain file of Vorbis or Opus."""
    try:
        pages = list(_pages(content))
        return _add_comments(pages, comments)
    except (ValueError, struct.error):
        return content


def _add_comments(pages: Sequence[_Page], comments: Sequence[bytes]) -> bytes:
    first = pages[0]
    if any(page.serial != first.serial for page in pages):
        raise ValueError("it has several streams")
    start, num_packets = next(
        (value for name, value in COMMENT_STARTS.items() if first.body.startswith(name)), (b"", 0)
    )
    if not num_packets:
        raise ValueError("it is no Vorbis or Opus")
    packets, count = _header_packets(pages, num_packets - 1)
    if not packets[0].startswith(start):
        raise ValueError("it has no comments")
    packets[0] = _with_comments(packets[0], len(start), comments)
    headers = _paginate(packets, first)
    rest = [replace(page, number=number) for number, page in enumerate(pages[1 + count :], 1 + len(headers))]
    return b"".join(page.to_bytes() for page in (first, *headers, *rest))


def _pages(content: bytes) -> Iterator[_Page]:
    place = 0
    while place < len(content):
        pattern, version, kind, granule, serial, number, _, count = HEADER.unpack_from(content, place)
        if pattern != b"OggS" or version:
            raise ValueError("it has something else between its pages")
        start = place + HEADER.size + count
        sizes = content[start - count : start]
        place = start + sum(sizes)
        if place > len(content):
            raise ValueError("it is cut short")
        yield _Page(kind, granule, serial, number, sizes, content[start:place])
    if not place:
        raise ValueError("it is empty")


def _header_packets(pages: Sequence[_Page], num_packets: int) -> tuple[list[bytes], int]:
    """Return the packets after the first page, and the number of their pages, after which sound begins."""
    packets, part, count = list[bytes](), b"", 0
    for page in pages[1:]:
        place, count = 0, count + 1
        for size in page.sizes:
            part, place = part + page.body[place : place + size], place + size
            if size < MAX_SEGMENT:
                packets.append(part)
                part = b""
        if len(packets) >= num_packets:
            break
    if len(packets) != num_packets or part:
        raise ValueError("its sound does not begin on a page of its own")
    return packets, count


def _with_comments(packet: bytes, start: int, comments: Sequence[bytes]) -> bytes:
    place = start + 4 + struct.unpack_from("<I", packet, start)[0]  # after the name of the encoder
    (count,) = struct.unpack_from("<I", packet, place)
    number = struct.pack("<I", count + len(comments))
    return packet[:place] + number + b"".join(comments) + packet[place + 4 :]


def _paginate(packets: Sequence[bytes], first: _Page) -> list[_Page]:
    """Return pages with the packets of headers, from page 1 on."""
    sizes: list[int] = []
    ends: set[int] = set()
    for packet in packets:
        sizes += [MAX_SEGMENT] * (len(packet) // MAX_SEGMENT) + [len(packet) % MAX_SEGMENT]
        ends.add(len(sizes))
    body, pages, place = b"".join(packets), list[_Page](), 0
    for start in range(0, len(sizes), MAX_SEGMENTS):
        own = bytes(sizes[start : start + MAX_SEGMENTS])
        stop = start + len(own)
        granule = 0 if any(start < end <= stop for end in ends) else -1  # -1: no packet ends on the page
        kind = CONTINUED if start and start not in ends else 0
        part = body[place : place + sum(own)]
        pages.append(_Page(kind, granule, first.serial, len(pages) + 1, own, part))
        place += len(part)
    return pages


def _checksum(content: bytes) -> int:
    """Return the CRC of Ogg: the polynomial of zlib, with the bits in the other order, and zeros around it."""
    checksum = zlib.crc32(content.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{checksum:032b}"[::-1], 2)
