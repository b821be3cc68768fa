"""What is wrong with a machine, and what to do about it."""

import pytest

from genai.core import environment


@pytest.mark.parametrize(
    ("cuda", "is_available", "driver", "text", "fix"),
    [
        ("13.0", True, ("580.1", "13.0"), "CUDA 13.0; driver 580.1, for CUDA up to 13.0", ""),
        ("13.0", False, None, "no NVIDIA driver is here, so the CPU is used", ""),
        ("13.0", False, ("535.2", "12.2"), "for CUDA up to 12.2", "or install torch for CUDA 12.2"),
        ("12.8", False, ("580.1", "13.0"), "torch finds no GPU", "CUDA_VISIBLE_DEVICES"),
        (None, False, ("580.1", "13.0"), "without CUDA", "install torch with CUDA"),
        (None, False, None, "without CUDA; no NVIDIA driver", ""),
    ],
)
def test_torch_has_to_fit_the_driver(
    cuda: str | None, is_available: bool, driver: tuple[str, str] | None, text: str, fix: str
) -> None:
    check = environment._torch_check("2.14.1", cuda, is_available, driver)
    assert text in check.text and fix in check.fix and bool(check.fix) == bool(fix)


def test_packages_that_are_missing_or_old_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_requirements", lambda: ["numpy>=99", "nothing-of-this-name>=1", "rich>=13"])
    checks = {check.label: check for check in environment.packages()}
    assert checks["packages"].text == "1 of 3 are as needed" and not checks["packages"].fix
    assert checks["numpy"].text.endswith("is installed, >=99 is needed")
    assert checks["numpy"].fix.endswith("-m pip install 'numpy>=99'")
    assert checks["nothing-of-this-name"].text == "is missing"


@pytest.mark.parametrize(
    ("name", "value", "fix"), [("memory_bytes", 2**30, "smaller model"), ("MIN_DISK", 2**80, "prune")]
)
def test_too_little_memory_or_disk_space(name: str, value: int, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, name, (lambda: value) if name.islower() else value)
    assert any(fix in check.fix for check in (*environment.hardware(), *environment.disk_space()))


def test_the_requirements_of_genai_are_those_without_extras() -> None:
    names = " ".join(environment._requirements())
    assert "torch" in names and "pytest" not in names
