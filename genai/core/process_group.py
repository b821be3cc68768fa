"""What the processes of a launcher do together: they meet, decide once, share work, and end together."""

import os
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import torch
from torch import distributed

from genai.core.errors import RUN_ERROR, USER_ERROR, RunError, UserError
from genai.core.filesystem import FULL_DISK
from genai.core.missing_ranks import FAILED, is_group_error, missing_rank_error, set_exit_state
from genai.core.place import Place, restart_count

T = TypeVar("T")
SETUP_TIMEOUT = timedelta(days=1)
"""Time that one process may work, such as pack data, while the others wait for it."""
FIRST_PORT, NUM_PORTS = 15_000, 10_000
"""Ports that are taken by the number of a job, where the launcher names none."""
LOCAL_ADDRESS = "127.0.0.1"
JOIN_SECONDS, JOIN_INTERVAL = 600.0, 0.05
"""Time that processes wait for the last one to come."""
END_SECONDS = 2.0
"""Time that the first process stays after a failure."""


@contextmanager
def process_group(place: Place) -> Iterator[None]:
    """Let the processes of a launcher meet, and part at the end. Lightning takes the group that exists.

    Raises:
        UserError: the first machine is not known.
        RunError: the others do not come.
    """
    if not place.is_launched or distributed.is_initialized():
        yield
        return
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _main_address(place)
    os.environ.setdefault("MASTER_PORT", str(_main_port()))
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, world_size = next(distributed.rendezvous("env://", place.rank, place.world_size))
        store = distributed.PrefixStore(_group_prefix(store, place), store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=SETUP_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RunError(f"process {place.rank} of {place.world_size} cannot meet the others at {address}.") from error
    _share_restart_count(place)
    try:
        yield
    except BaseException as error:
        if _exit_code(error):
            set_exit_state(FAILED)
            if place.is_first and place.launcher != "torchrun":  # it has the store, in which the others look
                time.sleep(END_SECONDS)
        raise
    finally:
        distributed.destroy_process_group()


def _group_prefix(store: distributed.Store, place: Place) -> str:
    """Return a prefix for the keys of this group, the same in all processes.

    The store of torchrun outlives the processes, so it has the addresses of those that failed before. The first process
    opens a new group; each other one leaves its token in the newest, until it finds that the first has seen it.

    Raises:
        RuntimeError: the others do not come.
    """
    token, deadline = uuid4().hex, time.monotonic() + JOIN_SECONDS
    number = store.add("genai/groups", int(place.is_first))
    others = range(1, place.world_size)
    while time.monotonic() < deadline:
        prefix = f"genai/{number}"
        if place.is_first:
            keys = [f"{prefix}/token/{rank}" for rank in others]
            if store.check(keys):
                store.set(f"{prefix}/tokens", " ".join(store.get(key).decode() for key in keys))
                return prefix
        else:
            store.set(f"{prefix}/token/{place.rank}", token)
            if store.check([f"{prefix}/tokens"]) and token in store.get(f"{prefix}/tokens").decode().split():
                return prefix
        time.sleep(JOIN_INTERVAL)
        number = number if place.is_first else store.add("genai/groups", 0)
    raise RuntimeError("the processes do not meet")


def _share_restart_count(place: Place) -> None:
    """Let all processes know of a restart; torchrun counts on each machine alone."""
    if place.launcher == "torchrun":
        counts: list[Any] = [None] * place.world_size
        distributed.all_gather_object(counts, restart_count())
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(max(counts))


def _main_address(place: Place) -> str:
    """Return the address of the first machine. Raises ``UserError`` if it is not known."""
    if place.nodes == 1:
        return LOCAL_ADDRESS
    if place.launcher == "srun":
        nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or ""
        with suppress(OSError, subprocess.CalledProcessError, IndexError):
            command = ["scontrol", "show", "hostnames", nodes]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    if place.launcher == "jsrun" and (file := os.environ.get("LSB_DJOB_RANKFILE")):
        hosts = list(dict.fromkeys(Path(file).read_text(encoding="utf-8").split()))
        return hosts[min(1, len(hosts) - 1)]  # the first one only starts the job
    raise UserError(f"{place.launcher} on {place.nodes} machines: set MASTER_ADDR to the name of the first one.")


def _main_port() -> int:
    """Return a port that all processes of a job find alone."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE", "LSB_JOBID")
    return FIRST_PORT + zlib.crc32(" ".join(os.environ.get(name, "") for name in names).encode()) % NUM_PORTS


def run_on_main(place: Place, function: Callable[[], T]) -> T:
    """Return what the first process decides, in all of them.

    What it raises ends all: the first process says why, the others end with the same code and say nothing.
    """
    if not place.is_launched:
        return function()
    answer: list[Any] = [None]
    failure: BaseException | None = None
    if place.is_first:
        try:
            answer = [(None, function())]
        except BaseException as error:
            failure, answer = error, [(_exit_code(error), None)]
    distributed.broadcast_object_list(answer, 0)
    if failure is not None:
        raise failure
    code, value = answer[0]
    if code is not None:
        raise SystemExit(code)
    return value


def run_local_main_first(place: Place, work: Callable[[], T]) -> T:
    """Do the same work in all processes: first one of each machine, so that the others find what it has cached.

    What one raises ends all: the lowest one of those that failed says why, the others end with its code.
    """
    if not place.is_launched:
        return work()
    result: T | None = None
    failure: BaseException | None = None
    for is_leader in (True, False):
        if (place.local_rank == 0) == is_leader:
            try:
                result = work()
            except BaseException as error:
                failure = error
        codes: list[Any] = [None] * place.world_size
        distributed.all_gather_object(codes, None if failure is None else _exit_code(failure))
        first = next((rank for rank, code in enumerate(codes) if code is not None), None)
        if first is not None:
            if failure is not None and first == place.rank:
                raise failure
            raise SystemExit(codes[first])
    return result  # type: ignore[return-value]


def reduce_max(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the largest values of all processes, if there are several."""
    if not distributed.is_available() or not distributed.is_initialized():
        return list(values)
    reduced = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(reduced, distributed.ReduceOp.MAX)
    return [float(value) for value in reduced]


def gather_shares(place: Place, share: Sequence[T]) -> list[T]:
    """Return the items of all processes in order, in all of them; each has every ``world_size``-th one (``shares``)."""
    if not place.is_launched:
        return list(share)
    parts: list[Any] = [None] * place.world_size
    try:
        distributed.all_gather_object(parts, list(share))
    except RuntimeError as error:
        if is_group_error(error):
            raise missing_rank_error(
                error, SETUP_TIMEOUT.total_seconds() / 60, "The command can be repeated."
            ) from error
        raise
    return [parts[number % place.world_size][number // place.world_size] for number in range(sum(map(len, parts)))]


def share_of(place: Place, items: Sequence[T]) -> Sequence[T]:
    """Return the items of this process: every ``world_size``-th one."""
    return items[place.rank :: place.world_size] if place.is_launched else items


@contextmanager
def only_first_prints(place: Place) -> Iterator[None]:
    """Discard what other processes than the first print."""
    if place.is_first:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as null, redirect_stdout(null), redirect_stderr(null):
        yield


def set_group_timeout(timeout: timedelta) -> None:
    """Let processes wait so long for one that does not answer."""
    set_timeout = getattr(distributed, "set_timeout", None) or distributed.distributed_c10d._set_pg_timeout
    set_timeout(timeout)


def _exit_code(error: BaseException) -> int:
    """Return the code with which a command ends after an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    is_path = isinstance(error, OSError) and error.filename is not None and error.errno not in FULL_DISK
    return USER_ERROR if is_path or isinstance(error, UserError) else RUN_ERROR
