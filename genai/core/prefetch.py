"""Work done a little ahead of where it is wanted, in threads, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(work: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """``map(work, items)``, made by ``threads`` threads that are never further ahead than one result each.

    So memory holds a few large pictures, not all of them, where the reader is slower than the threads.
    """
    if threads < 2:
        yield from map(work, items)
        return
    pool, waiting = ThreadPoolExecutor(threads), deque[Future[B]]()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
