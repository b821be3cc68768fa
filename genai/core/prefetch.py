"""A ``map`` that computes a few results ahead, in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def prefetch_map(function: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """Compute ``map(function, items)`` in order in ``threads`` threads, at most one result per thread ahead.

    So memory holds a few large pictures, not all of them, if the reader is slower than the threads.
    """
    if threads < 2:
        yield from map(function, items)
        return
    pool, pending = ThreadPoolExecutor(threads), deque[Future[B]]()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
