import json
from itertools import pairwise

import pytest

from genai.training.schedule import ESTIMATE_FRACTION, LRSchedule, Schedule


def run(lr_schedule: LRSchedule, step_seconds: float, first: float = 0.0, pause: float = 0.0) -> tuple[int, float, int]:
    """Steps and seconds that a run takes, and the step at which it begins to cool.

    Its first step is slower by ``first``, every 100th by ``pause``.
    """
    step, elapsed, began = 0, first, 0
    while lr_schedule.total is None or step < lr_schedule.total:
        step += 1
        elapsed += step_seconds + (pause if step % 100 == 0 else 0)
        lr_schedule.update_estimate(step, elapsed)
        began = began or step * (lr_schedule.total is not None)
        assert step < 1_000_000
    return step, elapsed, began


def test_a_run_of_steps_warms_up_stays_and_cools_down() -> None:
    lr_schedule = LRSchedule(Schedule(warmup=3, cooldown=0.5), total=20)
    factors = [lr_schedule.factor(step) for step in range(21)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:11] == [1.0] * 7
    assert factors[11:] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert lr_schedule.factor(25) == 0


@pytest.mark.parametrize(
    ("schedule", "total", "expected"),
    [
        (Schedule(0, 0), 3, [1, 1, 1]),
        (Schedule(0, 1), 4, [1, 0.75, 0.5, 0.25]),
        (Schedule(0, 0.5), 1, [1]),
        (Schedule(9, 0), 2, [0.1, 0.2]),
        (Schedule(1, 1), 2, [0.5, 0.5]),
        (Schedule(1, 1, peak=0.5), 2, [0.25, 0.25]),
    ],
)
def test_factors_at_the_edges(schedule: Schedule, total: int, expected: list[float]) -> None:
    assert [LRSchedule(schedule, total).factor(step) for step in range(total)] == pytest.approx(expected)


@pytest.mark.parametrize("cooldown", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("step_seconds", [0.003, 0.05, 1.0])
def test_a_run_of_minutes_ends_with_its_time(cooldown: float, step_seconds: float) -> None:
    lr_schedule = LRSchedule(Schedule(cooldown=cooldown), seconds=60)
    steps, elapsed, began = run(lr_schedule, step_seconds)
    assert elapsed == pytest.approx(60, abs=2 * step_seconds + 0.5)
    assert began == pytest.approx(steps * max(ESTIMATE_FRACTION, 1 - cooldown), abs=2)


@pytest.mark.parametrize(("first", "pause"), [(3.0, 0.0), (0.0, 0.5), (2.0, 1.0)])
def test_slow_starts_and_validations_are_part_of_the_time(first: float, pause: float) -> None:
    _, elapsed, _ = run(LRSchedule(Schedule(), seconds=60), 0.02, first, pause)
    assert 54 <= elapsed <= 63


def test_the_end_is_estimated_when_the_cool_down_is_due() -> None:
    lr_schedule = LRSchedule(Schedule(warmup=0, cooldown=0.5), seconds=10)
    lr_schedule.update_estimate(0, 100.0)
    lr_schedule.update_estimate(49, 4.9)
    assert lr_schedule.total is None
    assert lr_schedule.factor(49) == 1
    lr_schedule.update_estimate(50, 5.0)
    assert (lr_schedule.total, lr_schedule.cooldown_start) == (100, 50)
    assert [lr_schedule.factor(step) for step in (50, 75, 99, 100)] == pytest.approx([1, 0.5, 0.02, 0])
    lr_schedule.update_estimate(60, 6.0)  # too early to look again
    assert lr_schedule.total == 100
    lr_schedule.update_estimate(65, 6.5)
    assert (lr_schedule.total, lr_schedule.cooldown_start, lr_schedule.cooldown_factor) == (100, 65, pytest.approx(0.7))
    assert [lr_schedule.factor(step) for step in (65, 82, 100)] == pytest.approx([0.7, 0.36, 0])


@pytest.mark.parametrize("slower", [0.4, 1, 2.5])
@pytest.mark.parametrize("cooldown", [0.5, 1.0])
def test_a_machine_that_changes_its_speed_hardly_changes_the_time(slower: float, cooldown: float) -> None:
    lr_schedule, step, elapsed, factors = LRSchedule(Schedule(cooldown=cooldown), seconds=60), 0, 0.0, [1.0]
    while lr_schedule.total is None or step < lr_schedule.total:
        step, elapsed = step + 1, elapsed + 0.02 * (slower if elapsed > 20 else 1)
        lr_schedule.update_estimate(step, elapsed)
        factors.append(lr_schedule.factor(step) if step > 20 else 1.0)
    assert 55 < elapsed < 66 and factors[-1] == 0
    falls = [before - after for before, after in pairwise(factors)]
    assert min(falls) >= 0 and max(falls[:-1]) < 0.05


def test_a_slow_second_step_does_not_shorten_a_run_that_only_cools_down() -> None:
    lr_schedule = LRSchedule(Schedule(cooldown=1.0), seconds=60)
    lr_schedule.update_estimate(1, 1.0)
    lr_schedule.update_estimate(2, 2.0)
    assert lr_schedule.total is None
    for step in range(3, 300):
        lr_schedule.update_estimate(step, 2.0 + 0.01 * step)
    assert lr_schedule.total is not None and lr_schedule.total > 2500


def test_a_preview_during_the_first_estimate_does_not_end_the_run() -> None:
    lr_schedule, step, elapsed = LRSchedule(Schedule(cooldown=1.0), seconds=180), 0, 0.0
    while lr_schedule.total is None or step < lr_schedule.total:
        step, elapsed = step + 1, elapsed + (40 if step == 5 else 2)
        lr_schedule.update_estimate(step, elapsed)
    assert 165 < elapsed < 190


@pytest.mark.parametrize("slow", [0.5, 4.0, 30.0])
def test_steps_however_slow_come_to_an_end(slow: float) -> None:
    lr_schedule, step = LRSchedule(Schedule(cooldown=1.0), seconds=6), 0
    while lr_schedule.total is None or step < lr_schedule.total:
        step += 1
        lr_schedule.update_estimate(step, slow * step)
        assert slow * step <= 6 + 3 * slow


def test_a_run_whose_time_is_over_makes_one_more_step() -> None:
    lr_schedule = LRSchedule(Schedule(), seconds=1)
    lr_schedule.update_estimate(1, 30.0)
    assert lr_schedule.total == 2


def test_a_run_of_steps_pays_no_heed_to_the_clock() -> None:
    lr_schedule = LRSchedule(Schedule(), total=7)
    lr_schedule.update_estimate(3, 1e9)
    assert (lr_schedule.total, lr_schedule.cooldown_start, lr_schedule.estimate(3, 1e9)) == (7, None, 7)


def test_the_estimate_follows_the_speed() -> None:
    lr_schedule = LRSchedule(Schedule(), seconds=10)
    assert lr_schedule.estimate(0, 0.0) is None
    lr_schedule.update_estimate(1, 2.0)  # the first step is slow, and counts as time but not as speed
    assert lr_schedule.estimate(1, 2.0) is None
    assert lr_schedule.estimate(6, 3.0) == 6 + 7 * 5
    assert lr_schedule.estimate(6, 4.5) == 6 + 11
    assert lr_schedule.estimate(6, 60.0) == 7


@pytest.mark.parametrize("until", [10, 80])
def test_a_schedule_continues_from_its_state(until: int) -> None:
    """Before its end is estimated, and after."""
    whole, lr_schedule = (LRSchedule(Schedule(cooldown=0.4), seconds=10) for _ in range(2))
    for step in range(1, until + 1):
        lr_schedule.update_estimate(step, step / 10)
    again = LRSchedule.from_state(Schedule(cooldown=0.4), json.loads(json.dumps(lr_schedule.state())))
    for step in range(1, 101):
        whole.update_estimate(step, step / 10)
        if step > until:
            again.update_estimate(step, step / 10)
    assert again.state() == whole.state()
    assert [again.factor(step) for step in range(101)] == [whole.factor(step) for step in range(101)]
