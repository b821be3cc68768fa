from typing import Any

import pytest

from genai.core.personal_record import PersonalRecord, join_records


def test_records_of_parts_are_added() -> None:
    first = PersonalRecord("mask", "caption", 2, {"mail": 3}, {"mail": ["a", "b"]})
    second = PersonalRecord("mask", "caption", 1, {"mail": 1, "ip": 1}, {"mail": ["b", "c", "d"], "ip": ["x"]})
    joined = join_records([None, first, second])
    assert str(joined) == "personal data (4 mail, 1 ip) in 3 captions, masked"
    assert joined and joined.notes == ["personal data, mail: such as a, b, c", "personal data, ip: such as x"]
    assert join_records([None]) is None and str(PersonalRecord("drop")) == "no personal data found"


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "publish"},
        {"mode": "mask", "counts": {str(number): 1 for number in range(21)}},
        {"mode": "mask", "examples": {"mail": ["a"] * 200}},
        {"mode": "mask", "examples": {"mail": ["a" * 501]}},
    ],
)
def test_a_record_of_a_stranger_is_small(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="personal"):
        PersonalRecord(**values)
