from pathlib import Path

import pytest

import genai.core.energy as energy_module
from genai.core.energy import (
    CO2_KG_PER_KWH,
    CO2_VARIABLE,
    CPU_POWER,
    Energy,
    EnergyCounter,
    EnergyMeter,
    co2_factor,
    energy_of,
    rapl_counters,
)
from genai.core.errors import UserError


def make_zone(folder: Path, zone: str, name: str, microjoules: int) -> Path:
    (folder / zone).mkdir(parents=True)
    (folder / zone / "name").write_text(f"{name}\n")
    (folder / zone / "max_energy_range_uj").write_text("1000000000\n")
    (folder / zone / "energy_uj").write_text(f"{microjoules}\n")
    return folder / zone / "energy_uj"


def test_packages_and_memory_are_counted_and_begin_again(tmp_path: Path) -> None:
    package = make_zone(tmp_path, "intel-rapl:0", "package-0", 999_000_000)
    make_zone(tmp_path, "intel-rapl:0:0", "core", 5)
    memory = make_zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000)
    make_zone(tmp_path, "intel-rapl:1", "psys", 7)
    (make_zone(tmp_path, "intel-rapl:2", "package-1", 7)).unlink()  # may not be read
    counters = list(rapl_counters(tmp_path))
    package.write_text("2000000")
    memory.write_text("4000000")
    for counter in counters:
        counter.update()
    assert [counter.total for counter in counters] == pytest.approx([3, 3])


def test_a_counter_that_cannot_be_read_any_more_keeps_its_total() -> None:
    values = iter([1.0, 5.0])
    counter = EnergyCounter(lambda: next(values, None) or int("?"))
    counter.update()
    counter.update()
    assert counter.total == 4


def test_a_meter_reads_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_module, "RAPL_FOLDER", tmp_path)
    package = make_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = EnergyMeter("cpu")
    package.write_text("7000000")
    assert (meter.joules(), meter.how) == (7, "rapl")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    meter = EnergyMeter("cpu")  # the first process counts for all
    package.write_text("9000000")
    assert (meter.joules(), meter.how) == (0, "rapl")


def test_a_meter_estimates_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_module, "RAPL_FOLDER", tmp_path)
    seconds = iter([3.0, 5.0])
    monkeypatch.setattr("time.process_time", lambda: next(seconds))
    meter = EnergyMeter("cpu")
    assert (meter.joules(), meter.how) == (2 * CPU_POWER, "estimated")
    monkeypatch.undo()
    monkeypatch.setattr(energy_module, "RAPL_FOLDER", tmp_path)
    assert EnergyMeter("mps").how == "estimated, GPU not counted"


def test_co2_by_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CO2_VARIABLE, raising=False)
    assert energy_of(7.2e6, "rapl") == Energy(2, "rapl", 2 * CO2_KG_PER_KWH, CO2_KG_PER_KWH)
    monkeypatch.setenv(CO2_VARIABLE, "0.05")
    assert energy_of(7.2e6, "rapl").co2e_kg == pytest.approx(0.1)
    for text in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(CO2_VARIABLE, text)
        with pytest.raises(UserError, match=f"{CO2_VARIABLE}={text} should be a number of 0 or more"):
            co2_factor()


def test_energies_add_up() -> None:
    total = Energy() + Energy(1, "estimated", 0.5, 0.5) + Energy(2, "rapl, nvml", 0.2, 0.1) + Energy(0, "rapl", 0, 0.1)
    assert total == Energy(3, "estimated, rapl, nvml", 0.7, 0.1)
    assert str(total) == "3 kWh, estimated, rapl, nvml"
    assert str(Energy(0.0004217, "estimated")) == "0.422 Wh, estimated"
