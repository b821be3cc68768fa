import threading
import time
from collections.abc import Iterator

import pytest

from genai.core.prefetch import prefetch_map


@pytest.mark.parametrize("threads", [1, 4])
def test_results_come_in_order(threads: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number < 2 else 0)
        return number * number

    assert list(prefetch_map(slow_at_first, range(20), threads)) == [number * number for number in range(20)]


def test_no_more_is_made_than_will_soon_be_read() -> None:
    started: list[int] = []
    before = threading.active_count()
    results = prefetch_map(lambda number: started.append(number) or number, range(1000), 3)  # type: ignore[func-returns-value]
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    assert len(started) <= 9
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_comes_where_its_result_would_have_been() -> None:
    def work(number: int) -> float:
        return 1 / (number - 2)

    results: Iterator[float] = prefetch_map(work, range(10), 2)
    assert [next(results), next(results)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
