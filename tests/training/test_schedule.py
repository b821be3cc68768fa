import json
from itertools import pairwise

import pytest

from genai.training.schedule import LOOK, LRSchedule, Schedule


def run(course: LRSchedule, step_seconds: float, first: float = 0.0, pause: float = 0.0) -> tuple[int, float, int]:
    """Steps and seconds that a run takes, and the step at which it begins to cool.

    Its first step is slower by ``first``, every 100th by ``pause``.
    """
    step, elapsed, began = 0, first, 0
    while course.total is None or step < course.total:
        step += 1
        elapsed += step_seconds + (pause if step % 100 == 0 else 0)
        course.look_at_clock(step, elapsed)
        began = began or step * (course.total is not None)
        assert step < 1_000_000
    return step, elapsed, began


def test_a_run_of_steps_warms_up_stays_and_cools_down() -> None:
    course = LRSchedule(Schedule(warmup=3, cooldown=0.5), total=20)
    factors = [course.factor(step) for step in range(21)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:11] == [1.0] * 7
    assert factors[11:] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert course.factor(25) == 0


@pytest.mark.parametrize(
    ("schedule", "total", "wanted"),
    [
        (Schedule(0, 0), 3, [1, 1, 1]),
        (Schedule(0, 1), 4, [1, 0.75, 0.5, 0.25]),
        (Schedule(0, 0.5), 1, [1]),
        (Schedule(9, 0), 2, [0.1, 0.2]),
        (Schedule(1, 1), 2, [0.5, 0.5]),
    ],
)
def test_factors_at_the_edges(schedule: Schedule, total: int, wanted: list[float]) -> None:
    assert [LRSchedule(schedule, total).factor(step) for step in range(total)] == pytest.approx(wanted)


@pytest.mark.parametrize("cooldown", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("step_seconds", [0.003, 0.05, 1.0])
def test_a_run_of_minutes_ends_with_its_time(cooldown: float, step_seconds: float) -> None:
    course = LRSchedule(Schedule(cooldown=cooldown), seconds=60)
    steps, elapsed, began = run(course, step_seconds)
    assert elapsed == pytest.approx(60, abs=2 * step_seconds + 0.5)
    assert began == pytest.approx(steps * max(LOOK, 1 - cooldown), abs=2)


@pytest.mark.parametrize(("first", "pause"), [(3.0, 0.0), (0.0, 0.5), (2.0, 1.0)])
def test_slow_starts_and_validations_are_part_of_the_time(first: float, pause: float) -> None:
    _, elapsed, _ = run(LRSchedule(Schedule(), seconds=60), 0.02, first, pause)
    assert 54 <= elapsed <= 63


def test_the_end_is_estimated_when_the_cool_down_is_due() -> None:
    course = LRSchedule(Schedule(warmup=0, cooldown=0.5), seconds=10)
    course.look_at_clock(0, 100.0)
    course.look_at_clock(49, 4.9)
    assert course.total is None
    assert course.factor(49) == 1
    course.look_at_clock(50, 5.0)
    assert (course.total, course.cooling_from) == (100, 50)
    assert [course.factor(step) for step in (50, 75, 99, 100)] == pytest.approx([1, 0.5, 0.02, 0])
    course.look_at_clock(60, 6.0)  # too early to look again
    assert course.total == 100
    course.look_at_clock(65, 6.5)
    assert (course.total, course.cooling_from, course.level) == (100, 65, pytest.approx(0.7))
    assert [course.factor(step) for step in (65, 82, 100)] == pytest.approx([0.7, 0.36, 0])


@pytest.mark.parametrize("slower", [0.4, 1, 2.5])
@pytest.mark.parametrize("cooldown", [0.5, 1.0])
def test_a_machine_that_changes_its_speed_hardly_changes_the_time(slower: float, cooldown: float) -> None:
    course, step, elapsed, factors = LRSchedule(Schedule(cooldown=cooldown), seconds=60), 0, 0.0, [1.0]
    while course.total is None or step < course.total:
        step, elapsed = step + 1, elapsed + 0.02 * (slower if elapsed > 20 else 1)
        course.look_at_clock(step, elapsed)
        factors.append(course.factor(step) if step > 20 else 1.0)
    assert 55 < elapsed < 66 and factors[-1] == 0
    falls = [before - after for before, after in pairwise(factors)]
    assert min(falls) >= 0 and max(falls[:-1]) < 0.05


def test_a_slow_second_step_does_not_shorten_a_run_that_only_cools_down() -> None:
    course = LRSchedule(Schedule(cooldown=1.0), seconds=60)
    course.look_at_clock(1, 1.0)
    course.look_at_clock(2, 2.0)
    assert course.total is None
    for step in range(3, 300):
        course.look_at_clock(step, 2.0 + 0.01 * step)
    assert course.total is not None and course.total > 2500


def test_a_preview_during_the_first_estimate_does_not_end_the_run() -> None:
    course, step, elapsed = LRSchedule(Schedule(cooldown=1.0), seconds=180), 0, 0.0
    while course.total is None or step < course.total:
        step, elapsed = step + 1, elapsed + (40 if step == 5 else 2)
        course.look_at_clock(step, elapsed)
    assert 165 < elapsed < 190


@pytest.mark.parametrize("slow", [0.5, 4.0, 30.0])
def test_steps_however_slow_come_to_an_end(slow: float) -> None:
    course, step = LRSchedule(Schedule(cooldown=1.0), seconds=6), 0
    while course.total is None or step < course.total:
        step += 1
        course.look_at_clock(step, slow * step)
        assert slow * step <= 6 + 3 * slow


def test_a_run_whose_time_is_over_makes_one_more_step() -> None:
    course = LRSchedule(Schedule(), seconds=1)
    course.look_at_clock(1, 30.0)
    assert course.total == 2


def test_a_run_of_steps_pays_no_heed_to_the_clock() -> None:
    course = LRSchedule(Schedule(), total=7)
    course.look_at_clock(3, 1e9)
    assert (course.total, course.cooling_from, course.estimate(3, 1e9)) == (7, None, 7)


def test_the_estimate_follows_the_speed() -> None:
    course = LRSchedule(Schedule(), seconds=10)
    assert course.estimate(0, 0.0) is None
    course.look_at_clock(1, 2.0)  # the first step is slow, and counts as time but not as speed
    assert course.estimate(1, 2.0) is None
    assert course.estimate(6, 3.0) == 6 + 7 * 5
    assert course.estimate(6, 4.5) == 6 + 11
    assert course.estimate(6, 60.0) == 7


@pytest.mark.parametrize("until", [10, 80])
def test_a_course_goes_on_from_its_state(until: int) -> None:
    """Before its end is estimated, and after."""
    whole, course = (LRSchedule(Schedule(cooldown=0.4), seconds=10) for _ in range(2))
    for step in range(1, until + 1):
        course.look_at_clock(step, step / 10)
    again = LRSchedule(Schedule(cooldown=0.4), **json.loads(json.dumps(course.state())))
    for step in range(1, 101):
        whole.look_at_clock(step, step / 10)
        if step > until:
            again.look_at_clock(step, step / 10)
    assert again.state() == whole.state()
    assert [again.factor(step) for step in range(101)] == [whole.factor(step) for step in range(101)]
