"""Device, precision and number of processes, resolved and checked before the trainer is created."""

import ctypes
import math
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from genai.core.errors import UserError
from genai.core.limits import check_processes, num_cores
from genai.core.place import find_place

if TYPE_CHECKING:
    import torch

MAX_TIMEOUT = 10_000.0
Precision = Literal["auto", "32-true", "bf16-mixed"]


@dataclass(frozen=True)
class DeviceConfig:
    """Hardware settings of a run.

    Args:
        accelerator: ``auto`` selects CUDA, else MPS, else the CPU.
        devices: number of processes, one per device; ``auto``: all devices. A launcher such as torchrun decides alone.
        precision: ``auto`` is bf16 mixed precision on CUDA, float32 on MPS; on a CPU a probe of the network decides,
            see ``training.precision``.
        strategy: ``single``, ``ddp`` (replicas) or ``fsdp`` (shards, CUDA only). With a launcher ``single`` is ddp.
        threads: CPU threads per process; ``None``: the variable OMP_NUM_THREADS or, without it, all cores, divided
            among the processes.
        compile: whether torch.compile compiles the networks: faster steps after a start of up to a minute.
        timeout: minutes that processes wait for one that does not answer.
    """

    accelerator: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    devices: Annotated[int, Ge(1)] | Literal["auto"] = 1
    precision: Precision = "auto"
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    threads: Annotated[int, Ge(1)] | None = None
    compile: bool = False
    timeout: Annotated[float, Gt(0), Le(MAX_TIMEOUT)] = 10.0

    @property
    def num_processes(self) -> int:
        """Number of processes on all machines."""
        place = find_place()
        return place.world_size if place.is_launched else int(self.devices)

    def resolve(self) -> "DeviceConfig":
        """Replace every ``auto`` and ``None`` by a value, except the precision of a CPU.

        Raises:
            UserError: the machine lacks the hardware.
        """
        import torch

        if self.strategy == "fsdp" and not torch.cuda.is_available():
            raise UserError(
                "trainer=fsdp shards a model over GPUs, but torch finds none here. Use trainer=ddp or auto."
            )
        accelerator = select_device(self.accelerator)
        available = torch.cuda.device_count() if accelerator == "cuda" else 1 if accelerator == "mps" else num_cores()
        devices, strategy = self._devices(accelerator, available), self.strategy
        if find_place().is_launched and strategy == "single":
            strategy = "ddp"
        if self.strategy == "fsdp" and accelerator != "cuda":
            raise UserError(f"trainer=fsdp needs GPUs; it does not run on '{accelerator}'. Use trainer=ddp.")
        precision = self.precision
        if precision == "auto" and accelerator != "cpu":
            precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
        threads = self.threads or environment_threads() or _threads_of_process(devices)
        check_processes(threads, "trainer.threads")
        return DeviceConfig(accelerator, devices, precision, strategy, threads, self.compile, self.timeout)  # type: ignore[arg-type]

    def _devices(self, accelerator: str, available: int) -> int:
        """Return the number of devices from which the processes of this machine take one each.

        Raises:
            UserError: there are fewer.
        """
        place = find_place()
        if place.is_launched:
            if accelerator != "cuda" or available >= place.local_world_size:
                return place.local_world_size
            if available == 1:  # each process sees its own GPU, such as with SLURM's --gpus-per-task=1
                return 1
            raise UserError(f"{place.launcher} started {place.local_world_size} processes here, for {available} GPUs.")
        devices = self.devices
        if devices == "auto":
            devices = 1 if accelerator == "cpu" else available
        if devices > available:
            raise UserError(f"trainer.devices={devices}: this machine has {available} ({accelerator}).")
        if self.strategy == "single" and devices > 1:
            raise UserError(f"trainer.devices={devices} needs trainer=ddp or trainer=fsdp.")
        return devices


def _threads_of_process(devices: int) -> int:
    """Return the cores of this process. A launcher may have bound it to its own."""
    place = find_place()
    is_bound = num_cores() < (os.cpu_count() or 1)
    sharing = devices if not place.is_launched else 1 if is_bound else place.local_world_size
    return max(1, num_cores() // sharing)


def environment_threads() -> int | None:
    """Return the number in the variable OMP_NUM_THREADS, at most one per core; ``None`` if it holds none."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # further numbers are for nested loops
    return min(int(first), num_cores()) if first.isdecimal() and int(first) > 0 else None


def reuse_memory() -> None:
    """Make glibc's allocator keep the memory of freed large tensors; do nothing on other systems.

    Otherwise each step requests new pages from the system, which took a fifth of a small model's step.
    """
    trim_threshold, mmap_threshold = -1, -3  # parameters of mallopt(3)
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            allocator = ctypes.CDLL(None)
            allocator.mallopt(mmap_threshold, 1 << 25)
            allocator.mallopt(trim_threshold, 1 << 29)


def select_device(device: str = "auto") -> str:
    """Return ``cuda``, ``mps`` or ``cpu``; ``auto`` is the first available. Raises ``UserError`` if it is not."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_available in available.items() if is_available)
    if not available[device]:
        reason = "torch finds no CUDA GPU" if device == "cuda" else "torch finds no Apple GPU"
        raise UserError(f"'{device}' was requested, but {reason} here. Use auto or cpu.")
    return device


def peak_memory_mb(device: "torch.device") -> float:
    """Return the peak memory of the GPU or, without one, of this process; NaN if unknown."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
