"""Limits that the system keeps for a process: of memory, CPU time, files."""

from contextlib import suppress
from typing import Any

resource: Any = None  # on Windows, which has no such limits
with suppress(ImportError):
    import resource  # here, because the sandbox hides modules later


def limit_resource(name: str, limit: int, margin: int = 0) -> None:
    """Limit a resource of this process, which cannot raise it again. Windows has no limits; macOS keeps few.

    Args:
        name: such as ``AS`` for ``RLIMIT_AS``, of getrlimit(2).
        limit: its largest value; a smaller one stays.
        margin: by which it may be exceeded after a signal, such as SIGXCPU.
    """
    if resource is None:
        return
    kind = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(kind)[1]
    allowed = limit + margin if hard < 0 else min(limit + margin, hard)
    resource.setrlimit(kind, (min(limit, allowed), allowed))
