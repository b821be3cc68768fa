"""The secret key of watermarks, and the random numbers that it determines."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.core.files import make_folder, read_bytes, write_private_file
from genai.trust.certificates import certificate_folder

VARIABLE = "GENAI_WATERMARK_KEY"
"""Environment variable with the path of the key."""
FILE_NAME = "watermark.key"
NUM_BYTES = 32


@dataclass(frozen=True, repr=False)
class WatermarkKey:
    """A secret key.

    Attributes:
        secret: its bytes.
    """

    secret: bytes

    @property
    def name(self) -> str:
        """Start of its sha256, which tells nothing of the key."""
        return hashlib.sha256(self.secret).hexdigest()[:16]

    def random_bits(self, purpose: str, count: int, start: int = 0) -> NDArray[np.uint64]:
        """Return ``count`` random numbers of 64 bits, from number ``start`` on, the same ones for the same purpose."""
        seed = hashlib.blake2b(purpose.encode(), key=self.secret, digest_size=16).digest()
        block, rest = divmod(start, 4)  # Philox makes four numbers at once, in any order
        bits: NDArray[np.uint64] = Philox(key=int.from_bytes(seed, "little"), counter=block).random_raw(rest + count)
        return bits[rest:]

    def random_signs(self, purpose: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return -1 and 1, equally probable and independent, of this shape."""
        bits = self.random_bits(purpose, int(np.prod(shape))) >> np.uint64(63)
        return 1.0 - 2.0 * bits.astype(np.float64).reshape(shape)


def key_file() -> Path:
    """Return the file of the key: ``GENAI_WATERMARK_KEY``, else one beside the certificates of this machine."""
    path = os.environ.get(VARIABLE)
    return Path(path).expanduser() if path else certificate_folder() / FILE_NAME


def read_key() -> WatermarkKey:
    """Return the key; a new one is written if there is none. Raises ``UserError`` if that is impossible."""
    path = key_file()
    if not path.exists():
        _make_key(path)
    return _parse_key(read_bytes(path, "config"), str(path))


def find_key() -> WatermarkKey | None:
    """Return the key; ``None`` if there is none. Raises ``UserError`` if the one that is named cannot be read."""
    path = key_file()
    if not path.exists() and os.environ.get(VARIABLE):
        raise UserError(f"{VARIABLE}={path}: there is no such file.")
    return read_key() if path.exists() else None


def _make_key(path: Path) -> None:
    from filelock import FileLock

    try:
        make_folder(path.parent)
        with FileLock(path.parent / ".lock"):  # several processes may ask at once
            if not path.exists():
                write_private_file(path, secrets.token_hex(NUM_BYTES).encode() + b"\n")
    except OSError as error:
        raise UserError(f"cannot write the key of watermarks, {path}: {error.strerror}.") from error


@lru_cache(maxsize=4)
def _parse_key(content: bytes, path: str) -> WatermarkKey:
    try:
        secret = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != NUM_BYTES:
        raise UserError(f"{path} is no key of watermarks: it should have {2 * NUM_BYTES} hexadecimal digits.")
    return WatermarkKey(secret)


def key_name(options: Any) -> str:
    """Return the name of the key with which samples of these options are made; "" if they have no watermark."""
    return read_key().name if getattr(options, "watermark", False) else ""
