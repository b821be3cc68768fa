import pytest

from genai.core.device import DeviceConfig
from genai.core.limits import num_cores


@pytest.mark.parametrize(
    ("variable", "threads", "expected"),
    [
        ("1", None, 1),
        (" 1,4", None, 1),
        ("1", 2, 2),
        ("100000", None, num_cores()),
        ("", None, num_cores()),
        ("0", None, num_cores()),
        ("many", None, num_cores()),
    ],
)
def test_threads_are_those_of_the_variable_unless_a_number_is_given(
    variable: str, threads: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert DeviceConfig(accelerator="cpu", threads=threads).resolve().threads == expected
