"""Numbers and tables of Markdown."""

import pytest

from genai.report.markdown import format_interval, format_number, markdown_table


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.625, 0.0856, "0.62 ± 0.17"), (38.1875, 1.4895, "38.2 ± 2.9"), (12345.6, 1000, "12,346 ± 1,960"),
        (1.0, 0.0, "1 ± 0"), (3.69146, None, "3.691"), (None, None, ""), (195_948, None, "195,948"),
        (1e300, 1e300, "1e+300 ± 1.96e+300"), (0.5, 5e-12, "0.50000000 ± 0.00000000"),
    ],
)  # fmt: skip
def test_an_interval_has_1_96_standard_errors_in_two_digits(value: float, error: float, text: str) -> None:
    assert format_interval(value, error) == text


def test_numbers_have_four_digits() -> None:
    assert [format_number(x) for x in (0.123456, 40.1034, 123456.7, 1e20)] == ["0.1235", "40.1", "123,457", "1e+20"]


def test_a_table_has_its_lines() -> None:
    assert list(markdown_table(("", "a"), [("b", "c")])) == ["| | a |", "|---|---|", "| b | c |"]
