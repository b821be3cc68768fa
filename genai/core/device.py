"""Which device, which precision, how many processes: chosen and checked before a trainer exists."""

import ctypes
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from genai.core.errors import UserError


@dataclass(frozen=True)
class DeviceConfig:
    """What a run computes on.

    Args:
        accelerator: ``auto`` takes CUDA, else MPS, else the CPU.
        devices: processes, one a device; ``auto`` is all of them.
        precision: ``auto`` is bf16 mixed precision on CUDA, float32 elsewhere.
        strategy: ``single``, ``ddp`` (replicas) or ``fsdp`` (shards, CUDA only).
        threads: CPU threads of a process; ``None``: all cores, shared out among the processes.
    """

    accelerator: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    devices: Annotated[int, Ge(1)] | Literal["auto"] = 1
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    threads: Annotated[int, Ge(1)] | None = None

    def resolve(self) -> "DeviceConfig":
        """With every ``auto`` and ``None`` decided. Raises ``UserError`` where the machine lacks what is asked for."""
        import torch

        if self.strategy == "fsdp" and not torch.cuda.is_available():
            raise UserError(
                "trainer=fsdp shards a model over GPUs, and torch finds none here. Use trainer=ddp or auto."
            )
        accelerator = select_device(self.accelerator)
        present = torch.cuda.device_count() if accelerator == "cuda" else 1 if accelerator == "mps" else cores()
        devices = self.devices
        if devices == "auto":
            devices = 1 if accelerator == "cpu" else present
        if devices > present:
            raise UserError(f"trainer.devices={devices}: this machine has {present} ({accelerator}).")
        if self.strategy == "single" and devices > 1:
            raise UserError(f"trainer.devices={devices} needs trainer=ddp or trainer=fsdp.")
        if self.strategy == "fsdp" and accelerator != "cuda":
            raise UserError(f"trainer=fsdp shards over GPUs; it does not run on '{accelerator}'. Use trainer=ddp.")
        precision = self.precision
        if precision == "auto":
            precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
        threads = self.threads or max(1, cores() // devices)
        return DeviceConfig(accelerator, devices, precision, self.strategy, threads)  # type: ignore[arg-type]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reuse_memory() -> None:
    """Let the process keep what large tensors leave behind: each step would ask the system for fresh pages otherwise,
    which took a fifth of a small model's step. For glibc's allocator; elsewhere nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3  # of mallopt(3)
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            allocator = ctypes.CDLL(None)
            allocator.mallopt(mmap_threshold, 1 << 25)
            allocator.mallopt(trim_threshold, 1 << 29)


def select_device(wanted: str = "auto") -> str:
    """``cuda``, ``mps`` or ``cpu``. Raises ``UserError`` where ``wanted`` is not there."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in present.items() if there)
    if not present[wanted]:
        reason = "torch finds no CUDA GPU" if wanted == "cuda" else "torch finds no Apple GPU"
        raise UserError(f"'{wanted}' was asked for, but {reason} here. Use auto or cpu.")
    return wanted
