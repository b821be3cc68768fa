"""Seconds to the end of a run, from times that are made up."""

import math

import numpy as np
import pytest
import torch

from genai.core.batch import Batch
from genai.training.interval import Interval
from genai.training.time_left import MEMORY_SECONDS, KindSpeed, Pause, Speed, seconds_left

VALIDATION = Pause(Interval(steps=10), 5.0)
PREVIEW = Pause(Interval(seconds=60.0), 15.0)


@pytest.mark.parametrize(
    ("step", "total", "pauses", "expected"),
    [
        (0, 100, [], 200.0),
        (60, 100, [], 80.0),
        (100, 100, [VALIDATION], 0.0),
        (120, 100, [], 0.0),
        (0, 100, [VALIDATION], 200.0 + 10 * 5),
        (10, 100, [VALIDATION], 180.0 + 9 * 5),
        (99, 105, [VALIDATION], 12.0 + 2 * 5),  # after steps 100 and 105
        (0, 100, [PREVIEW], (200.0 + 15) / 0.75),  # 45 of 60 seconds are left for steps
        (0, 10, [Pause(Interval(seconds=60.0), 600.0)], (20.0 + 600) / 0.1),
    ],
)
def test_steps_to_come_and_the_pauses_between_them(step: int, total: int, pauses: list[Pause], expected: float) -> None:
    assert seconds_left(step, total, 77.0, None, 2.0, pauses) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "total", "elapsed", "expected"),
    [
        (11, None, 220.0, 80.0),
        (11, 32, 220.0, 80.0),  # whatever the speed so far: the clock ends the run
        (0, None, 0.0, 300.0),
        (20, None, 301.0, 0.0),
        (30, 32, 310.0, 4.0),  # over time, but for two steps
        (32, 32, 290.0, 0.0),
    ],
)
def test_a_run_of_minutes_ends_with_its_time(step: int, total: int | None, elapsed: float, expected: float) -> None:
    assert seconds_left(step, total, elapsed, 300.0, 2.0, [VALIDATION] if total is None else []) == expected


def test_a_run_that_was_finished_and_is_given_more_minutes_knows_what_is_left() -> None:
    assert seconds_left(144, None, 300.0, 1200.0, math.nan, []) == 900.0


def test_without_a_speed_nothing_is_known() -> None:
    assert math.isnan(seconds_left(0, 10, 0.0, None, math.nan, []))
    assert math.isnan(Speed().seconds_per_step) and math.isnan(Speed().examples_per_second)
    assert Speed().report() == {}


def batch(size: int, kind: str = "samples") -> Batch:
    return Batch(torch.zeros(size), kind=kind)


def test_the_speed_is_that_of_recent_steps_without_the_first() -> None:
    speed = Speed()
    speed.add([batch(4)], 50.0)
    assert speed.seconds_per_step == 50.0
    speed.add([batch(4)], 1.0)
    assert speed.seconds_per_step == 1.0 and speed.examples_per_second == 4.0
    for _ in range(200):
        speed.add([batch(4)], 1.0)
    assert speed.seconds_per_step == pytest.approx(1.0)
    speed.add([batch(4)], 10.0)  # one slow step does not double the time
    assert 1.0 < speed.seconds_per_step < 1.5
    for _ in range(200):
        speed.add([batch(4)], 2.0)
    assert speed.seconds_per_step == pytest.approx(2.0, rel=0.01)


def test_many_quick_steps_are_as_smooth_as_few_slow_ones() -> None:
    speed = Speed()
    for _ in range(10_000):
        speed.add([batch(1)], 0.001)
    for _ in range(50):
        speed.add([batch(1)], 0.01)
    assert speed.seconds_per_step < 0.002


def test_a_report_is_the_average_since_the_last_one() -> None:
    speed = KindSpeed()
    assert speed.report() is None
    for seconds in (1.0, 3.0):
        speed.add(8, seconds)
    assert speed.report() == 4.0
    assert speed.report() is None
    speed.add(8, 4.0)
    assert speed.report() == 2.0


def test_clips_and_single_frames_are_counted_apart_and_the_time_left_does_not_swing() -> None:
    """A step on single frames takes a tenth of that on clips; which comes is random."""
    speed, random = Speed(), np.random.default_rng(0)
    reports, seconds_per_step = list[dict[str, float]](), list[float]()
    for step in range(1, 1001):
        if random.random() < 0.4:
            speed.add([batch(128, "single_frames")], 0.07)
        else:
            speed.add([batch(8)], 0.7)
        if step % 10 == 0:
            reports.append(speed.report())
            seconds_per_step.append(speed.seconds_per_step)
    for report in reports:
        for name, value in {"samples_per_s": 8 / 0.7, "single_frames_per_s": 128 / 0.07}.items():
            assert report.get(name, value) == pytest.approx(value)
    assert sum("samples_per_s" in report for report in reports) >= len(reports) - 1
    assert speed.examples_per_second == pytest.approx(8 / 0.7)
    assert seconds_per_step[20:] == pytest.approx([0.6 * 0.7 + 0.4 * 0.07] * 80, rel=0.12)
    assert MEMORY_SECONDS < 1000 * 0.4


def test_examples_of_all_processes_count_and_virtual_ranks_share_a_step() -> None:
    speed = Speed()
    speed.add([batch(8)], 2.0, processes=4)
    assert speed.report() == {"samples_per_s": 16.0}
    speed.add([batch(8), batch(8), batch(16, "sparse_clips"), batch(8)], 4.0)
    assert speed.report() == {"samples_per_s": 8.0, "sparse_clips_per_s": 16.0}
