"""Arrays from untrusted NumPy files (``.npz`` and ``.npy``), read without unpickling."""

import zipfile
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from genai.core.errors import UserError, did_you_mean, join_names, short_repr
from genai.core.files import check_file
from genai.core.limits import memory_bytes
from genai.core.terminal import printable

MAX_ARRAY_BYTES = min(8 * 2**30, memory_bytes() // 2)
"""Largest array that is read from an ``.npz`` into memory, in bytes; an ``.npy`` is memory-mapped and has no limit."""
LARGE_BYTES, MAX_COMPRESSION = 2**28, 500
"""A larger array that is packed by more than this factor is taken for a decompression bomb."""


class NumpyFiles:
    """Arrays by name: those in an ``.npz``, or the ``.npy`` files of a folder by their stems.

    Args:
        path: an ``.npz``, a folder, or an ``.npy``, which stands for its folder.

    Raises:
        UserError: the path does not exist or is of another type.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise UserError("data.path= is empty: give an .npz, an .npy, or a folder of .npy files.")
        self.path = Path(path).expanduser()
        if self.path.exists() and not self.path.is_dir():
            check_file(self.path)
        if not self.path.exists():
            raise UserError(f"data.path={printable(path)} does not exist.")
        if self.path.is_file() and self.path.suffix not in (".npy", ".npz"):
            raise UserError(f"data.path={printable(path)}: it should be an .npz, an .npy, or a folder of .npy files.")

    @cached_property
    def names(self) -> list[str]:
        """Names of all arrays."""
        if self.path.suffix == ".npz":
            with self._catch_errors(""), zipfile.ZipFile(self.path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        return sorted(printable(file.stem) for file in self._folder.glob("*.npy"))

    @property
    def default_name(self) -> str | None:
        """Name of the array that is used by default: the one of an ``.npy`` path, or the only one."""
        if self.path.suffix == ".npy":
            return self.path.stem
        return self.names[0] if len(self.names) == 1 else None

    def read(self, name: str, argument: str) -> NDArray[Any]:
        """Read the array ``name``, which is the value of ``argument``.

        Raises:
            UserError: the array does not exist, holds Python objects, is too large, damaged or cut short.
        """
        if name not in self.names:
            names = join_names(map(short_repr, self.names[:20]))
            raise UserError(
                f"data.{argument}={short_repr(name)}: {self.path} has no such array.{did_you_mean(name, self.names)} "
                f"There are: {names}."
            )
        with self._catch_errors(name):
            if self.path.suffix != ".npz":
                return npy.open_memmap(check_file(self._folder / f"{name}.npy"), mode="r")
            with zipfile.ZipFile(self.path) as archive:
                member = name if name in archive.namelist() else f"{name}.npy"
                info = archive.getinfo(member)
                if info.file_size > max(LARGE_BYTES, MAX_COMPRESSION * info.compress_size):
                    raise UserError(
                        f"'{name}' in {self.path} has {info.file_size:,} bytes, packed into {info.compress_size:,}, "
                        "like a bomb: save it as an .npy."
                    )
                with archive.open(member) as file:
                    self._check_size(name, file)
                with archive.open(member) as file:
                    return npy.read_array(file, allow_pickle=False)

    def _check_size(self, name: str, file: IO[bytes]) -> None:
        """Check the size in the header before memory is allocated."""
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size > MAX_ARRAY_BYTES:
            raise UserError(
                f"'{name}' in {self.path} has {size / 2**30:.0f} GiB, more than {MAX_ARRAY_BYTES // 2**30}, the limit "
                f"for an .npz: save it as an .npy."
            )

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _catch_errors(self, name: str) -> "_ErrorTranslator":
        return _ErrorTranslator(f"'{name}' in {self.path}" if name else str(self.path))


class _ErrorTranslator:
    """Context manager that turns errors of NumPy and zipfile into a ``UserError`` about ``source``."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, ValueError) and ("bject arrays" in str(error) or "ython objects" in str(error)):
            raise UserError(
                f"{self.source} holds Python objects, which are not read because they can run code."
            ) from error
        if isinstance(error, Exception) and not isinstance(error, UserError):  # a damaged header can cause any error
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"{self.source} cannot be read: {reason[:200].rstrip('.')}.") from error
