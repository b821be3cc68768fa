"""Electric energy that a process uses: from counters of the CPU (RAPL) and the GPU (NVML), else estimated."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from genai.core.errors import UserError
from genai.core.place import find_place

CPU_POWER = 12.0
"""Watts of a busy core where there is no counter: "Any" in the table of CPUs of Green Algorithms (Lannelongue, Grealey
and Inouye, 2021, doi:10.1002/advs.202100707). Memory, disks, cooling and power supplies are not in it."""
CO2_VARIABLE = "GENAI_CO2_KG_PER_KWH"
CO2_KG_PER_KWH = 0.473
"""CO2e of a kWh, over the life cycle of power plants: world average of 2024 (Ember, Global Electricity Review 2025)."""
JOULES_PER_KWH = 3.6e6
RAPL_FOLDER = Path("/sys/class/powercap")
RAPL, NVML, ESTIMATED, NO_GPU = "rapl", "nvml", "estimated", "GPU not counted"


@dataclass(frozen=True)
class Energy:
    """Energy that was used, and what it is known from.

    Attributes:
        kwh: kilowatt hours.
        how: ``rapl`` (all of the machine's CPUs and their memory, other programs included), ``nvml`` (the GPU) or
            ``estimated`` (CPU seconds times ``CPU_POWER``); several are separated by commas.
        co2e_kg: CO2e in kg.
        kg_per_kwh: factor of the latest part of ``co2e_kg``.
    """

    kwh: float = 0.0
    how: str = ""
    co2e_kg: float = 0.0
    kg_per_kwh: float = 0.0

    def __add__(self, other: "Energy") -> "Energy":
        names = dict.fromkeys(filter(None, f"{self.how}, {other.how}".split(", ")))
        co2e = self.co2e_kg + other.co2e_kg
        return Energy(self.kwh + other.kwh, ", ".join(names), co2e, other.kg_per_kwh or self.kg_per_kwh)

    def __str__(self) -> str:
        """Amount for people: ``0.42 Wh, estimated``."""
        amount = f"{self.kwh:.3g} kWh" if self.kwh >= 1 else f"{self.kwh * 1000:.3g} Wh"
        return f"{amount}, {self.how}"


def energy_of(joules: float, how: str) -> Energy:
    """Return energy with its CO2e. Raises ``UserError`` as ``co2_factor``."""
    factor, kwh = co2_factor(), joules / JOULES_PER_KWH
    return Energy(kwh, how, kwh * factor, factor)


def co2_factor() -> float:
    """Return kg of CO2e for each kWh, ``CO2_VARIABLE`` or the default. Raises ``UserError`` if it is no number."""
    text = os.environ.get(CO2_VARIABLE) or str(CO2_KG_PER_KWH)
    with suppress(ValueError):
        if math.isfinite(factor := float(text)) and factor >= 0:
            return factor
    raise UserError(f"{CO2_VARIABLE}={text} should be a number of 0 or more.")


@dataclass
class EnergyCounter:
    """A counter in joules that begins again at ``max_joules``; ``total`` is what it counted since it was made."""

    read: Callable[[], float]
    max_joules: float = math.inf
    total: float = 0.0
    last: float = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.read()

    def update(self) -> None:
        """Add what was used since the last call, which has to be before the counter has begun again twice."""
        with suppress(OSError, ValueError):
            now = self.read()
            self.total += now - self.last + (self.max_joules if now < self.last else 0)
            self.last = now


class EnergyMeter:
    """Energy of this process since the meter was made.

    Of the processes of a machine only the first one counts what RAPL says, which is of all of them.

    Args:
        device: ``cpu``, ``cuda:0``, ...: that of the model.
    """

    def __init__(self, device: str) -> None:
        self._start = time.process_time()
        packages, gpus = list(rapl_counters()), list(_gpu_counters(device))
        self._counters = [*(packages if find_place().local_rank == 0 else []), *gpus]
        self._is_estimated = not packages
        gpu = NVML if gpus else "" if device == "cpu" else NO_GPU
        self.how = ", ".join(filter(None, (ESTIMATED if self._is_estimated else RAPL, gpu)))

    def joules(self) -> float:
        """Return the joules so far."""
        for counter in self._counters:
            counter.update()
        cpu = (time.process_time() - self._start) * CPU_POWER if self._is_estimated else 0.0
        return cpu + sum(counter.total for counter in self._counters)


def rapl_counters(folder: Path | None = None) -> Iterator[EnergyCounter]:
    """Yield a counter for each CPU package and its memory, if all may be read, which often only root may.

    Args:
        folder: of Linux's zones; ``None``: ``RAPL_FOLDER``.
    """
    for zone in sorted((folder or RAPL_FOLDER).glob("intel-rapl:*")):
        with suppress(OSError, ValueError):
            if (zone / "name").read_text(encoding="ascii").strip().startswith(("package", "dram")):
                read = partial(_read_joules, zone / "energy_uj")
                yield EnergyCounter(read, _read_joules(zone / "max_energy_range_uj"))


def _read_joules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


def _gpu_counters(device: str) -> Iterator[EnergyCounter]:
    """Yield the counter of a GPU of NVIDIA since Volta, if the package ``pynvml`` is installed."""
    if not device.startswith("cuda"):
        return
    with suppress(Exception):  # the errors of pynvml have no common base with those of a missing driver
        import pynvml
        import torch

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        yield EnergyCounter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000)
