import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.data.weighted_split import is_near, select_by_weight


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_neither_split_is_empty_and_none_is_farther_than_by_count(weights: list[float], fraction: float) -> None:
    by_key = dict(enumerate(weights))
    selection = select_by_weight(by_key, fraction, {0})
    assert 0 < len(selection) < len(weights)
    target = fraction * sum(weights)
    assert abs(sum(by_key[key] for key in selection) - target) <= abs(weights[0] - target) + 1e-6


@pytest.mark.parametrize(
    ("weights", "by_count", "selection"),
    [
        ([3600, 1], {0}, {1}),
        ([3600, 1], {1}, {1}),
        ([10, 10.2, 10.4], {2}, {2}),  # nothing is much nearer
        ([10, 11, 6], {1}, {2}),
        ([50, 10, 9, 12, 9, 10], {0}, {1}),
        ([1.0] * 10, {4}, {4}),
    ],
)
def test_items_are_weighed_where_their_number_is_far_from_the_fraction(
    weights: list[float], by_count: set[int], selection: set[int]
) -> None:
    assert select_by_weight(dict(enumerate(weights)), 0.1, by_count) == selection


def test_near_is_half_to_one_and_a_half_of_the_fraction() -> None:
    weights = {"a": 4, "b": 5, "c": 15, "d": 16, "rest": 60}
    assert [is_near({key}, weights, 0.1) for key in weights] == [False, True, True, False, False]
