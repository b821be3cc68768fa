"""The split of the sums in benchmarks/rewards.py."""

from importlib import import_module

import pytest

from tests.conftest import ROOT


def test_a_sum_is_held_out_in_both_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = import_module("rewards")
    held_out, train = benchmark.split_pairs()
    unordered = {frozenset(pair) for pair in held_out}
    assert len(unordered) == len(held_out) == benchmark.NUM_PAIRS
    assert not unordered & {frozenset(pair) for pair in train}
    assert any(a > b for a, b in held_out) and any(a < b for a, b in held_out)
    assert len(train) == len(set(train)) == 90 * 90 - sum(len(pair) for pair in unordered)
