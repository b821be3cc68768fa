"""Which processes are missing when the others wait for them in vain, and one message about it."""

import time
from contextlib import suppress

from torch import distributed

from genai.core.errors import RunError

MAX_SECONDS = 6.0
"""Time that the others get to notice the same; they wait in the same operation."""
INTERVAL_SECONDS = 0.2
WAIT, FAILED = "wait", "failed"
"""Ends of a process: it waited for another one, or it failed by itself and says why."""


def is_group_error(error: BaseException) -> bool:
    """Return whether an operation of all processes has failed, because one of them is missing."""
    if not distributed.is_available() or not distributed.is_initialized():
        return False
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def set_exit_state(state: str) -> None:
    """Tell the other processes how this one ends; do nothing if there are none."""
    if distributed.is_available() and distributed.is_initialized():
        with suppress(RuntimeError):  # the store is gone with the process that had it
            _store().compare_set(_key(distributed.get_rank()), "", state)  # the first one counts


def missing_rank_error(error: BaseException, timeout: float, hint: str) -> BaseException:
    """Return the error with which this process ends, after an operation of all has failed.

    Args:
        error: of the operation.
        timeout: minutes that this process waited at most.
        hint: how to go on.

    Returns:
        One process, the lowest of those that waited, has a ``RunError`` that names the missing ones. The others end
        without a word, and so do all if one has failed by itself.
    """
    set_exit_state(WAIT)
    rank, last = distributed.get_rank(), distributed.get_world_size() - 1
    try:
        states = _exit_states()
    except RuntimeError:  # the store is gone with the process that had it
        states = {other: None if other == 0 else WAIT for other in range(last + 1)}
    if FAILED in states.values() or rank != min(each for each, state in states.items() if state == WAIT):
        return SystemExit(1)
    missing = [str(each) for each, state in states.items() if state is None]
    ranks = f"process{'es' * (len(missing) > 1)} {' and '.join(missing) or '?'} of 0 to {last}"
    if "timed out" in str(error).lower():
        return RunError(f"{ranks} did not answer for {timeout:g} minutes (trainer.timeout).\n{hint}".rstrip())
    return RunError(f"{ranks} ended without an error message: killed, or its machine is gone.\n{hint}".rstrip())


def _exit_states() -> dict[int, str | None]:
    """Return how each process ends, by its rank; ``None``: it says nothing. Raises ``RuntimeError`` without a store."""
    own, states = distributed.get_rank(), dict[int, str | None]()
    deadline = time.monotonic() + MAX_SECONDS
    while True:
        for rank in range(distributed.get_world_size()):
            states[rank] = WAIT if rank == own else None
            if rank != own and _store().check([_key(rank)]):
                states[rank] = _store().get(_key(rank)).decode()
        if None not in states.values() or time.monotonic() > deadline:
            return states
        time.sleep(INTERVAL_SECONDS)


def _store() -> distributed.Store:
    return distributed.distributed_c10d._get_default_store()


def _key(rank: int) -> str:
    return f"genai/exit/{rank}"
