"""The worker: turns, a bounded queue, cancelling within a step."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genai.server.jobs import JobStore, SamplingJob
from genai.server.openai_errors import APIError
from genai.server.worker import Worker


def job(model: Any, n: int = 1, **options: Any) -> SamplingJob:
    return SamplingJob("m", model, ["a"] * n, list(range(n)), options)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(max_active=2, max_queue=2)
    worker.start()
    yield worker
    worker.close()


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_jobs_take_turns_and_give_what_they_give_alone(loaded: Callable[[str], Any], worker: Worker) -> None:
    jobs = [job(loaded("image"), n, steps=steps) for n, steps in ((1, 5), (3, 9), (2, 4))]
    for each in jobs:
        worker.submit(each)
    wait(lambda: all(each.is_over for each in jobs))
    for each, (n, steps) in zip(jobs, ((1, 5), (3, 9), (2, 4)), strict=True):
        expected = loaded("image").sample("a", n=n, steps=steps)
        assert [item.result.to_bytes() for item in each.items] == [x.to_bytes() for x in expected]


def test_a_full_queue_says_no_at_once(loaded: Callable[[str], Any], worker: Worker) -> None:
    jobs = [job(loaded("image"), steps=250) for _ in range(4)]
    for each in jobs:
        worker.submit(each)
    with pytest.raises(APIError, match="busy") as refused:
        worker.submit(job(loaded("image")))
    assert refused.value.status == 429 and refused.value.response().headers["retry-after"]
    for each in jobs:
        worker.cancel(each)
    wait(lambda: all(each.is_over for each in jobs) and not worker.has_jobs)
    assert {each.state for each in jobs} == {"canceled"}


def test_a_canceled_job_ends_within_a_step(loaded: Callable[[str], Any], worker: Worker) -> None:
    each = job(loaded("image"), steps=250)
    worker.submit(each)
    wait(lambda: each.progress > 0)
    worker.cancel(each)
    steps = worker.num_steps
    wait(lambda: each.is_over)
    assert worker.num_steps - steps <= 1


def test_a_job_that_waits_is_canceled_before_its_first_step(loaded: Callable[[str], Any], worker: Worker) -> None:
    jobs = [job(loaded("image"), steps=250) for _ in range(3)]
    for each in jobs:
        worker.submit(each)
    worker.cancel(jobs[2])
    wait(lambda: jobs[2].is_over)
    assert jobs[2].state == "canceled" and jobs[2].recipe is None and not jobs[0].is_over
    for each in jobs[:2]:
        worker.cancel(each)


def test_a_job_that_fails_leaves_others_alone(loaded: Callable[[str], Any], worker: Worker) -> None:
    bad, good = job(loaded("image"), mask="missing.png"), job(loaded("image"), steps=2)
    worker.submit(bad)
    worker.submit(good)
    wait(lambda: bad.is_over and good.is_over)
    assert bad.error and bad.error.status == 400 and good.state == "done"


def test_too_many_values_are_refused(loaded: Callable[[str], Any], worker: Worker) -> None:
    each = SamplingJob("m", loaded("image"), ["a"] * 3, [0, 1, 2], {"steps": 2}, max_values=2 * 3 * 16 * 16)
    worker.submit(each)
    wait(lambda: each.is_over)
    assert each.error and "2,304 values" in each.error.message


def test_old_jobs_are_forgotten(loaded: Callable[[str], Any]) -> None:
    store = JobStore(max_jobs=3)
    jobs = [job(loaded("image")) for _ in range(6)]
    for each in jobs:
        store.add(each)
        each.end("done")
    assert len(list(store)) <= 4 and jobs[-1] in list(store)
    with pytest.raises(APIError):
        store.find(jobs[0].id)
