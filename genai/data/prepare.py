"""Preparing data for training: examples become shards of tensors, in several processes."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from genai.core.cache import cache_dir, cache_key
from genai.core.data import IterableSource, Partition, Source
from genai.core.errors import RunError, UserError
from genai.core.files import make_folder
from genai.core.filesystem import lock_file
from genai.core.progress import ProgressBar
from genai.data.partition_writer import DataNodes, PartitionWriter
from genai.data.prepared import INDEX, Prepared, PreparedIndex
from genai.modalities.base import Modality

LOCK, LOCK_INTERVAL = ".lock", 1.0
"""Name of a file, and seconds between attempts to get it."""


def prepare_source(source: IterableSource, nodes: DataNodes, state: Mapping[str, Any] | None = None) -> Prepared:
    """Return a source with splits, which are prepared in the cache if they are not there yet.

    Args:
        source: the data.
        nodes: what the config says of them, and of the modality.
        state: of the modality; ``None``: it is fitted to the data.

    Raises:
        UserError: the data cannot be used.
    """
    stamps = [partition.stamp for partition in source.partitions()]
    for folder_state in (None, state):  # the state is mostly the one that the data themselves give
        folder = cache_dir() / f"{cache_key('prepared', asdict(nodes), folder_state, stamps)}.shards"
        if (folder / INDEX).exists():
            prepared = Prepared(str(folder))
            if state is None or prepared.index.state == json.loads(json.dumps(state)):
                return prepared
    prepare(nodes, folder, 1, state, wait=True)
    return Prepared(str(folder))


def prepare(
    nodes: DataNodes,
    folder: Path,
    processes: int = 1,
    state: Mapping[str, Any] | None = None,
    wait: bool = False,
) -> PreparedIndex:
    """Prepare data in a folder, or go on where an earlier call was stopped.

    Args:
        nodes: the data and the modality.
        folder: where ``genai.data.prepared.Prepared`` finds them.
        processes: number of processes.
        state: of the modality; ``None``: it is fitted to the data.
        wait: whether to wait for another call that prepares the folder.

    Raises:
        UserError: the data cannot be used, the folder has others, or another call prepares it.
        RunError: the disk is full.
    """
    source, modality = nodes.build()
    _check_source(source, modality)
    writer = PartitionWriter(nodes, folder, source, modality)
    partitions = source.partitions()
    with _lock_folder(folder, wait):
        writer.restore_or_fit(partitions, state)
        if not (folder / INDEX).exists():  # else its shards can be read until there is a new one
            writer.remove_unused(partitions)
        pending = [number for number, partition in enumerate(partitions) if writer.record(partition) is None]
        if pending:
            _prepare_partitions(writer, partitions, pending, min(processes, len(pending)))
        before = writer.index_folders()
        index = writer.write_index(partitions)
        writer.remove_unused(partitions, before)  # a training may be reading those of the index before
        return index


def _check_source(source: Source, modality: Modality) -> None:
    """Raise ``UserError`` for data of which shards cannot be opened again by the modality alone."""
    if source.media is not modality.media:
        raise UserError(f"data of type {source.media.__name__} are not prepared: train on them as they are.")
    splits = () if isinstance(source, IterableSource) else (source.train, source.val)
    if any(split.unmasked_weight is not None or split.weights or split.tag_dropout for split in splits):
        raise UserError(
            "masks, data.weights= and data.tag_dropout= do not fit into prepared data: train on the folder as it is."
        )
    if type(modality).__module__.partition(".")[0] != "genai":
        raise UserError(
            f"{type(modality).__name__} is of a plugin, whose data are not prepared: train on them as they are."
        )


@contextmanager
def _lock_folder(folder: Path, wait: bool) -> Iterator[None]:
    """Lock a folder, which is created. Raises ``UserError`` if another process has it and ``wait`` is not given."""
    from filelock import Timeout

    is_new = not folder.exists()
    make_folder(folder)
    for number in count():
        try:
            lock = lock_file(folder / LOCK)
            break
        except Timeout:
            if not wait:
                raise UserError(f"{folder} is being prepared by another process.") from None
            if number == 0:
                print(f"waiting for another process, which prepares {folder}", file=sys.stderr, flush=True)
            time.sleep(LOCK_INTERVAL)
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / LOCK).unlink()
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


def _prepare_partitions(
    writer: "PartitionWriter", partitions: Sequence[Partition], pending: Sequence[int], processes: int
) -> None:
    """Prepare the partitions with the numbers ``pending``. One process shows its progress within a partition."""
    if processes == 1:
        for number in pending:
            writer.write_partition(partitions[number])
        return
    arguments = json.dumps([asdict(writer.nodes), str(writer.folder)])
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin_process)
    try:
        with ProgressBar("preparing partitions", len(pending)) as bar:
            for future in as_completed([pool.submit(_prepare_in_process, arguments, number) for number in pending]):
                future.result()
                bar.step()
    except BrokenProcessPool as error:
        raise RunError(
            "a process that prepares data was killed; is the memory full? The same words go on, perhaps with fewer "
            "processes=."
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):  # after an error or Ctrl-C, those that still work
            process.terminate()


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    torch.set_num_threads(1)
    os.environ["TTY_COMPATIBLE"] = "0"  # only the first process shows progress


@lru_cache(maxsize=1)
def _build_in_process(arguments: str) -> tuple[PartitionWriter, Sequence[Partition]]:
    nodes, folder = json.loads(arguments)
    data_nodes = DataNodes(**nodes)
    source, modality = data_nodes.build()
    writer, partitions = PartitionWriter(data_nodes, Path(folder), source, modality), source.partitions()
    writer.restore_or_fit(partitions)
    return writer, partitions


def _prepare_in_process(arguments: str, number: int) -> None:
    """Prepare one partition in a process of its own."""
    writer, partitions = _build_in_process(arguments)
    writer.write_partition(partitions[number])
