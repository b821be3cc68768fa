"""Arrays of a stranger's NumPy files: ``.npz`` and ``.npy``, of which nothing is unpickled and little is believed."""

import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from genai.core.errors import UserError, did_you_mean, join_names, short_repr
from genai.data.captions import printable

LARGEST = 8 * 2**30
"""Bytes of one array in an ``.npz``, which is read into memory; an ``.npy`` is mapped, and may have any size."""


class NumpyFiles:
    """Arrays by name: those in an ``.npz``; the ``.npy`` files of a folder by their stems.

    Args:
        path: an ``.npz``; a folder; or an ``.npy``, which stands for its folder.

    Raises:
        UserError: there is nothing of the kind.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise UserError("data.path= is empty: give an .npz, an .npy, or a folder of .npy files.")
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise UserError(f"data.path={printable(path)} is not there.")
        if self.path.is_file() and self.path.suffix not in (".npy", ".npz"):
            raise UserError(f"data.path={printable(path)}: it should be an .npz, an .npy, or a folder of .npy files.")

    @cached_property
    def names(self) -> list[str]:
        """Of all arrays that are there."""
        if self.path.suffix == ".npz":
            with self._guarded(""), zipfile.ZipFile(self.path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        return sorted(printable(file.stem) for file in self._folder.glob("*.npy"))

    @property
    def usual(self) -> str | None:
        """The array that is meant where none is named: the file's own, or the only one."""
        if self.path.suffix == ".npy":
            return self.path.stem
        return self.names[0] if len(self.names) == 1 else None

    def read(self, name: str, argument: str) -> NDArray[Any]:
        """The array ``name``, which a user named as ``argument``.

        Raises:
            UserError: there is none; it holds Python objects, is too large, damaged or cut short.
        """
        if name not in self.names:
            there = join_names(map(short_repr, self.names[:20]))
            raise UserError(
                f"data.{argument}={short_repr(name)}: {self.path} has no such array.{did_you_mean(name, self.names)} "
                f"There are: {there}."
            )
        with self._guarded(name):
            if self.path.suffix != ".npz":
                return npy.open_memmap(self._folder / f"{name}.npy", mode="r")
            with zipfile.ZipFile(self.path) as archive:
                member = name if name in archive.namelist() else f"{name}.npy"
                with archive.open(member) as file:
                    self._check(name, file)
                with archive.open(member) as file:
                    return npy.read_array(file, allow_pickle=False)

    def _check(self, name: str, file: IO[bytes]) -> None:
        """Of its header, before memory is asked for."""
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size > LARGEST:
            raise UserError(
                f"'{name}' in {self.path} has {size / 2**30:.0f} GiB, more than {LARGEST // 2**30}, which are read "
                f"from an .npz: save it as an .npy."
            )

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _guarded(self, name: str) -> "_Guarded":
        return _Guarded(f"'{name}' in {self.path}" if name else str(self.path))


class _Guarded:
    """Within it, what NumPy and zipfile raise on a bad file is a ``UserError`` about ``what``."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        if isinstance(error, ValueError) and ("bject arrays" in str(error) or "ython objects" in str(error)):
            raise UserError(
                f"{self.what} holds Python objects, which are not read: they could run a program."
            ) from error
        bad = (OSError, ValueError, TypeError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
        if isinstance(error, bad):
            raise UserError(f"{self.what} cannot be read: {str(error)[:200].rstrip('.')}.") from error
