"""This machine: its packages, processors and disks, and what to do about what is wrong."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from genai.core.cache import cache_dir
from genai.core.limits import memory_bytes, num_cores
from genai.version import __version__

MIN_MEMORY, MIN_DISK = 2 * 2**30, 2 * 2**30
"""Bytes below which a small model may not train, and its cache and checkpoints may not fit."""
EXTRAS = {
    "pyarrow": "Parquet files (data=text_folder)",
    "pesq": "the metric pesq",
    "wandb": "logger=wandb",
    "mlflow": "logger=mlflow",
}
"""Optional packages, and what they are for."""


@dataclass(frozen=True)
class Check:
    """A line about this machine.

    Attributes:
        label, text: of the line.
        fix: what to do about it; "": nothing is wrong.
    """

    label: str
    text: str
    fix: str = ""


def check_machine() -> Iterator[Check]:
    """Yield all checks."""
    yield from packages()
    yield from hardware()
    yield from disk_space()


def report_lines(checks: Sequence[Check]) -> list[str]:
    """Return the lines after those of ``checks``: what is wrong, and what to do."""
    lines = []
    for check in checks:
        if check.fix:
            lines += [f"{'wrong':<10}{check.label}: {check.text}", f"{'do':<10}{check.fix}"]
    return lines or ["nothing is wrong"]


def packages() -> Iterator[Check]:
    """Yield Python, genai, and its packages that are missing or have another version than it needs."""
    yield Check("python", f"{platform.python_version()} in {sys.prefix}, {platform.platform()}")
    yield Check("genai", __version__)
    wrong = list(_wrong_packages())
    count = len(_requirements())
    yield Check("packages", f"{count - len(wrong)} of {count} are as needed")
    yield from wrong
    missing = [f"{name} ({use})" for name, use in EXTRAS.items() if _version(name) is None]
    if missing:
        yield Check("optional", f"not installed: {', '.join(missing)}")


def _requirements() -> list[str]:
    """Return the requirements of genai, such as ``torch<2.15,>=2.6``, without those of extras."""
    try:
        requirements = importlib.metadata.requires("genai") or []
    except PackageNotFoundError:
        return []
    return [line.partition(";")[0].strip() for line in requirements if "extra ==" not in line]


def _wrong_packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    for line in _requirements():
        requirement = Requirement(line)
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            text = "is missing" if version is None else f"{version} is installed, {requirement.specifier} is needed"
            yield Check(requirement.name, text, f"{sys.executable} -m pip install '{line}'")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except PackageNotFoundError:
        return None


def hardware() -> Iterator[Check]:
    """Yield cores, memory, and GPUs with the versions of CUDA of torch and of the driver."""
    threads = os.environ.get("OMP_NUM_THREADS")
    yield Check("cores", f"{num_cores()} of {os.cpu_count()}{f', OMP_NUM_THREADS={threads}' if threads else ''}")
    memory = memory_bytes()
    yield Check(
        "memory",
        f"{memory / 2**30:.1f} GiB",
        "" if memory >= MIN_MEMORY else "take a smaller model: model.network.width=, batch=, modality.size=",
    )
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check(
            "torch", f"cannot be imported ({error})", f"{sys.executable} -m pip install --force-reinstall torch"
        )
        return
    yield _torch_check(torch.__version__, torch.version.cuda, torch.cuda.is_available(), _driver())
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Check(f"gpu {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Check("gpu", "Apple MPS")


def _torch_check(version: str, cuda: str | None, is_available: bool, driver: tuple[str, str] | None) -> Check:
    """Compare the CUDA of torch with that of the driver.

    Args:
        version, cuda: of torch; ``None``: built without CUDA.
        is_available: whether torch can use a GPU.
        driver: its version, and the newest CUDA that it supports; ``None``: there is no NVIDIA driver.
    """
    text = f"{version}, {f'CUDA {cuda}' if cuda else 'without CUDA'}"
    if driver is None:
        return Check("torch", f"{text}; no NVIDIA driver is here, so the CPU is used" if not is_available else text)
    text += f"; driver {driver[0]}, for CUDA up to {driver[1]}"
    if is_available:
        return Check("torch", text)
    if cuda is None:
        return Check("torch", text, "install torch with CUDA: see https://pytorch.org/get-started/locally")
    if _numbers(cuda) > _numbers(driver[1]):
        fix = f"update the NVIDIA driver, or install torch for CUDA {driver[1]}: see https://pytorch.org/get-started/locally"
        return Check("torch", text, fix)
    return Check(
        "torch", f"{text}; torch finds no GPU", "see whether CUDA_VISIBLE_DEVICES hides it, or restart the machine"
    )


def _driver() -> tuple[str, str] | None:
    """Return the version of the NVIDIA driver and the newest CUDA that it supports; ``None``: there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        text = subprocess.run([program], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"Driver Version: *([\d.]+).*CUDA Version: *([\d.]+)", text)
    return (found[1], found[2]) if found else None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def disk_space() -> Iterator[Check]:
    """Yield the free room in the working folder and in that of the cache."""
    for label, folder in (("folder", Path.cwd()), ("cache", cache_dir())):
        free = shutil.disk_usage(folder).free
        size = f", {_size(folder) / 2**30:.2f} GiB used" if label == "cache" else ""
        can_write = os.access(folder, os.W_OK)
        fix = "" if can_write else f"take another folder, or make it writable: chmod u+w {folder}"
        if can_write and free < MIN_DISK:
            fix = "free some room: python -m genai history prune=true"
        text = f"{folder}{size}, {free / 2**30:.1f} GiB free{'' if can_write else ', cannot be written'}"
        yield Check(label, text, fix)


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder, without sub-folders."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file() and not file.is_symlink())
