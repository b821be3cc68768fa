"""Limits of this machine, memory and cores, for what a request would take."""

import os
from functools import cache
from pathlib import Path

from genai.core.errors import UserError

MAX_SAMPLES = 10_000
"""More samples than these are made only with ``yes=true``."""
VALUE_BYTES = 16
"""Memory that sampling takes at least for each value of a sample: its noise, its state, and two copies."""
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def num_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def memory_bytes() -> int:
    """Return the memory that this process may use, in bytes; 16 GiB if the system does not tell."""
    sizes = [2**34]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in map(Path, _CGROUP_LIMITS):  # of a container
        if file.is_file() and (text := file.read_text(encoding="ascii").strip()).isdecimal():
            sizes.append(int(text))
    return min(sizes)


def check_memory(num_bytes: float, cause: str) -> None:
    """Raise ``UserError`` if ``cause``, such as ``batch=64``, takes more memory than this machine has."""
    if num_bytes > memory_bytes():
        raise UserError(
            f"{cause} needs about {num_bytes / 2**30:,.0f} GiB of memory; this machine has "
            f"{memory_bytes() / 2**30:,.0f} GiB."
        )


def check_processes(count: int, option: str) -> None:
    """Raise ``UserError`` if ``option`` starts many more threads or processes than this machine has cores."""
    limit = max(16, 4 * num_cores())
    if count > limit:
        raise UserError(f"{option}={count:,}: this machine has {num_cores()} cores; at most {limit} are allowed here.")


def check_batch(count: int, values: int) -> None:
    """Raise ``UserError`` if a batch of ``count`` samples of ``values`` values each does not fit into the memory."""
    check_memory(VALUE_BYTES * count * values, f"a batch of {count:,} samples of {values:,} values")


def check_samples(count: int, option: str, yes: bool) -> None:
    """Raise ``UserError`` for more than ``MAX_SAMPLES`` samples that are not confirmed by ``yes``."""
    if count > MAX_SAMPLES and not yes:
        raise UserError(f"{option} makes {count:,} samples, more than {MAX_SAMPLES:,}: add yes=true if you mean it.")
    check_memory(count * 200, option)  # a prompt, a seed and a name each
