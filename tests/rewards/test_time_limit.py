"""Calls that take too long end."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from genai.rewards.time_limit import CallTimeout, call_within


def spin() -> None:
    while True:
        with suppress(Exception):  # a function that catches what it can
            time.sleep(0.001)


def match_for_ever() -> Any:
    return re.fullmatch(r"(a+)+b", "a" * 60)


@pytest.mark.parametrize("function", [spin, match_for_ever])
def test_a_call_that_hangs_is_ended(function: Any) -> None:
    start = time.monotonic()
    with pytest.raises(CallTimeout):
        call_within(0.2, function)
    assert time.monotonic() - start < 5


def test_results_and_errors_pass() -> None:
    assert call_within(5, lambda: 3) == 3
    with pytest.raises(KeyError):
        call_within(5, lambda: {}["a"])


def test_other_threads_have_a_limit_too() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(call_within, 5, lambda: 3).result() == 3
        with pytest.raises(CallTimeout):
            pool.submit(call_within, 0.1, lambda: time.sleep(1)).result()
        with pytest.raises(KeyError):
            pool.submit(call_within, 5, lambda: {}["a"]).result()
