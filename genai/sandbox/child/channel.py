"""Frames over one descriptor: a kind of one byte, a length of four bytes, and JSON."""

import json
import os
from typing import Any

MAX_BYTES = 4 * 2**20
"""Longest frame."""


class Channel:
    """The child's end. An ended channel ends the process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, kind: bytes, value: Any) -> None:
        """Send plain values of JSON. Raises ``ValueError`` if they are too long."""
        content = json.dumps(value).encode()
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        rest = memoryview(kind + len(content).to_bytes(4, "big") + content)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def receive(self) -> Any:
        """Return the values of the next frame. Raises ``ValueError`` or ``RecursionError`` for no such JSON."""
        length = int.from_bytes(self._read(5)[1:], "big")
        return json.loads(self._read(length))

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            part = os.read(self.descriptor, min(count, 2**16))
            if not part:
                os._exit(0)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
