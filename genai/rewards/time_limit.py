"""Calls with a time limit."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class CallTimeout(BaseException):
    """A call took too long. It is no ``Exception``, so that the call does not catch it."""


def call_within(seconds: float, function: Callable[[], T]) -> T:
    """Call a function.

    In the main thread a timer interrupts it, where the system has one. Elsewhere it runs in a thread, which is left
    behind if it takes too long.

    Raises:
        CallTimeout: it takes more than ``seconds``.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _call_with_timer(seconds, function)
    return _call_in_thread(seconds, function)


def _call_with_timer(seconds: float, function: Callable[[], T]) -> T:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise CallTimeout

    handler = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def _call_in_thread(seconds: float, function: Callable[[], T]) -> T:
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # passed on below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise CallTimeout
    if errors:
        raise errors[0]
    result: T = results[0]
    return result
