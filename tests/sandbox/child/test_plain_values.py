"""Values keep their types between processes, and nothing else crosses."""

import math
from collections import Counter, OrderedDict, namedtuple
from typing import Any

import pytest

from genai.sandbox.child.plain_values import MAX_VALUES, decode, encode

VALUES: list[Any] = [
    None, True, False, 0, -1, 10**40, 1.5, -0.0, math.inf, "", "é\ud800\0", b"\0\xff", 1 + 2j, range(1, 9, 3),
    [], [1, [2, []]], (), (1,), ((), []), set(), pytest.param({1, "a"}, id="a set"), frozenset({(1, 2)}),
    {}, {1: "a", (2, None): [b"x"]}, {"dict": {}, "set": []},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    import json

    again = decode(json.loads(json.dumps(encode(value))))
    assert repr(again) == repr(value) and type(again) is type(value)


def test_a_derived_class_becomes_its_base() -> None:
    class Equal(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    point = namedtuple("point", "x")(1)
    values = [Equal(0), Counter("aab"), OrderedDict(a=1), point, bytearray(b"x"), True]
    again = decode(encode(values))
    assert again == [0, {"a": 2, "b": 1}, {"a": 1}, (1,), b"x", True]
    assert [type(value) for value in again] == [int, dict, dict, tuple, bytes, bool]


def test_an_iterator_becomes_its_items() -> None:
    again = decode(encode(x * x for x in range(4)))
    assert next(again) == 0 and list(again) == [1, 4, 9]
    for value in (iter(int, 1), [0] * MAX_VALUES, {i: [(i,)] for i in range(MAX_VALUES // 3)}):
        with pytest.raises(ValueError, match="more than 200,000 values"):
            encode(value)


def test_other_values_are_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for value in (object(), len, int, {1: object()}, {}.keys(), NotImplemented):
        with pytest.raises(TypeError, match="a value of type"):
            encode(value)
    with pytest.raises(RecursionError):
        encode(cycle)


@pytest.mark.parametrize(
    "tree", [{}, {"eval": [1]}, {"a": 1, "b": 2}, {"bytes": "xy"}, {"set": [[]]}, {"dict": [1]}, {"range": [1, 2, 0]}]
)
def test_other_trees_are_refused(tree: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(tree)
