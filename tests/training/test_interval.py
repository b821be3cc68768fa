import pytest

from genai.core.errors import UserError
from genai.training.interval import Interval


@pytest.mark.parametrize(
    ("value", "steps", "seconds"),
    [(200, 200, None), ("200", 200, None), ("60s", None, 60.0), (" 1.5s ", None, 1.5), ("2m", None, 120.0)],
)
def test_steps_and_seconds_are_read(value: int | str, steps: int | None, seconds: float | None) -> None:
    every = Interval.parse(value, "key")
    assert (every.steps, every.seconds) == (steps, seconds)


@pytest.mark.parametrize("value", [0, -5, "0s", "-1s", "", "s", "60 s", "1h", "1e3", 2.5, True, "²", "1s2s", "60S"])
def test_anything_else_is_refused_by_name(value: int | str) -> None:
    with pytest.raises(UserError, match=r"checkpoint_every=.*such as 200.*60s"):
        Interval.parse(value, "checkpoint_every")


def test_steps_are_due_at_their_multiples() -> None:
    every = Interval.parse(3, "key")
    every.start(now=0.0)
    assert [step for step in range(1, 10) if every.is_due(step, now=1e9)] == [3, 6, 9]


def test_seconds_are_due_one_interval_after_the_last_time() -> None:
    every = Interval.parse("10s", "key")
    every.start(now=100.0)
    assert [now for now in (101, 109, 110, 111, 119, 125, 134, 135) if every.is_due(1, now)] == [110, 125, 135]


@pytest.mark.parametrize(("interval", "first"), [("60s", 10), ("4s", 4)])
def test_the_first_time_can_come_sooner_but_never_later(interval: str, first: int) -> None:
    every = Interval.parse(interval, "key")
    every.start(now=0.0, first=10)
    assert not every.is_due(1, first - 0.1)
    assert every.is_due(1, first)
