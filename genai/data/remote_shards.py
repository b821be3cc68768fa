"""Shards on another machine, copied to the cache when they are needed, and a little before."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from genai.core.cache import MAX_SECONDS, cache_dir, cache_key
from genai.core.errors import UserError, short_text
from genai.core.files import MAX_BYTES, make_folder, temporary_path
from genai.core.filesystem import replace_file
from genai.modalities.shards import Shard, ShardFolder, find_problem

_PART = 2**20
"""Bytes that are copied at once."""


class RemoteShards(ShardFolder):
    """Shards below an address that fsspec opens. Copies are complete or not there.

    Args:
        address: of the folder.
        cache_gb: size of all copies in GB, from which the oldest are removed; ``None``: all are kept.

    Raises:
        UserError: the address cannot be used.
    """

    def __init__(self, address: str, cache_gb: float | None) -> None:
        if "::" in address:
            raise UserError(f"data.path={short_text(address)}: an address inside another one is not opened.")
        super().__init__(cache_dir() / f"{cache_key('shards', address)}.shards")
        self.address, self.max_bytes = address.rstrip("/"), None if cache_gb is None else cache_gb * 1e9
        self._requested: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_files"} | {"_requested": set()}

    @cached_property
    def _files(self) -> Any:
        """The file system of the address."""
        import fsspec

        try:
            return fsspec.filesystem(self.address.partition("://")[0])
        except (ValueError, ImportError) as error:
            raise UserError(f"data.path={short_text(self.address)}: {short_text(str(error))}") from error

    def fetch_index(self, name: str) -> Path:
        """Copy the index, each time, since it may have changed. Raises ``UserError``."""
        return self._copy(name, MAX_BYTES["index"])

    def fetch(self, shard: Shard) -> Path:
        """Return the folder that has copies of the files of a shard. Raises ``UserError`` if one cannot be copied."""
        folder = self.path / shard.folder
        if find_problem(folder, shard):
            with self._lock(shard):
                self._fetch(shard, folder)
        with suppress(OSError):
            os.utime(_sums(folder, shard))  # the oldest copies are removed first
        return folder

    def _lock(self, shard: Shard) -> Any:
        """Return a lock, so that of several processes one copies the shard, and the others find it."""
        from filelock import FileLock

        make_folder(self.path)
        return FileLock(self.path / f".{shard.files[0].name}.lock")

    def _fetch(self, shard: Shard, folder: Path) -> None:
        if find_problem(folder, shard):
            self._free_space(shard)
            for file in shard.files:
                self._copy(f"{shard.folder}/{file.name}", file.size)
            self._copy(f"{shard.folder}/{_sums(folder, shard).name}", MAX_BYTES["line"])
            if problem := find_problem(folder, shard):
                raise UserError(f"{self.address}: {problem}")

    def prefetch(self, shards: Sequence[Shard]) -> None:
        """Copy shards in a thread; an error shows when they are needed."""
        new = [shard for shard in shards if shard.files[0].name not in self._requested]
        self._requested = {shard.files[0].name for shard in shards}
        if new:
            threading.Thread(target=self._fetch_all, args=(new,), daemon=True).start()

    def _fetch_all(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            with suppress(UserError, OSError):
                self.fetch(shard)

    def _copy(self, name: str, max_bytes: int) -> Path:
        """Copy a file of at most ``max_bytes``. Raises ``UserError`` naming its address."""
        address, path = f"{self.address}/{name}", self.path / name
        temporary = temporary_path(path)
        try:
            make_folder(path.parent)
            with self._files.open(address, "rb") as source, temporary.open("xb") as copy:
                while part := source.read(_PART):
                    copy.write(part)
                    if copy.tell() > max_bytes:
                        raise UserError(f"{address} has more than the {max_bytes:,} bytes that it should have.")
            replace_file(temporary, path)
        except UserError:
            raise
        except Exception as error:  # each file system has errors of its own
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UserError(f"cannot copy {short_text(address)}: {short_text(reason)}.") from error
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def _free_space(self, shard: Shard) -> None:
        """Remove the oldest copies if a new shard does not fit into ``cache_gb``, but none that is needed now."""
        for file in self.path.glob("part-*/.*.tmp"):  # of a process that was killed
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > MAX_SECONDS:
                    file.unlink()
        if self.max_bytes is None:
            return
        copies = sorted((sums.stat().st_mtime, sums) for sums in self.path.glob("part-*/*.sums"))
        sizes = {sums: sum(file.stat().st_size for file in sums.parent.glob(f"{_stem(sums)}.*")) for _, sums in copies}
        num_bytes = sum(sizes.values()) + shard.num_bytes - self.max_bytes
        for _, sums in copies:
            if num_bytes <= 0:
                return
            if sums.stem in self._requested:
                continue
            num_bytes -= sizes[sums]
            for file in (sums, *sums.parent.glob(f"{_stem(sums)}.*")):  # what is not listed in sums is not used
                with suppress(OSError):  # Windows removes no file that is mapped
                    file.unlink()


def _sums(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.files[0].name}.sums"


def _stem(sums: Path) -> str:
    return sums.name.partition(".")[0]
