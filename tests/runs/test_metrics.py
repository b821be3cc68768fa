"""Reading a file of numbers that grows, and choosing rows of a long one."""

import math
import os
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.runs.metrics import MetricsReader, spread_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,val_loss\n1,3.5,\n2,2.5,2.75\n3,1.5,")
    return path


def test_only_whole_lines_are_read_and_each_once(file: Path) -> None:
    reader = MetricsReader(file)
    reader.update()
    assert reader.columns == ["step", "loss", "val_loss"] and list(reader.values["loss"]) == [3.5, 2.5]
    with file.open("a") as more:
        more.write("\n4,0.5,0.25\n5,")
    reader.update()
    reader.update()
    assert list(reader.values["step"]) == [1, 2, 3, 4] and reader.last("val_loss") == 0.25
    assert math.isnan(reader.values["val_loss"][0]) and reader.last("none") is None


def test_a_new_column_is_read_from_the_start(file: Path) -> None:
    reader = MetricsReader(file)
    reader.update()
    new = file.with_name("new")
    new.write_text("step,loss,val_loss,speed\n1,3.5,,\n2,2.5,2.75,\n3,1,,7\n")
    os.replace(new, file)
    reader.update()
    assert list(reader.values["step"]) == [1, 2, 3] and reader.last("speed") == 7
    file.unlink()
    reader.update()
    assert reader.columns == [] and reader.last("step") is None


def test_lines_that_are_none_are_left_out(file: Path) -> None:
    file.write_text("step,loss\n1,nan\nx,1\n2\n3,1e99\n4,inf\n5,text\n6,2,3\n" + "9" * 30 + ",1\n7,0.5\n")
    reader = MetricsReader(file)
    reader.update()
    assert list(reader.values["step"]) == [1, 3, 4, 5, 7] and reader.last("loss") == 0.5
    file.write_text("loss\n1\n")
    with pytest.raises(UserError, match="no column step"):
        reader.update()


def test_columns_and_numbers_are_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(",".join(["step", *(f"c{number}" for number in range(200))]) + "\n")
    with pytest.raises(UserError, match="more than 200 columns"):
        MetricsReader(file).update()
    monkeypatch.setattr("genai.runs.metrics.MAX_NUMBERS", 6)
    file.write_text("step,loss\n1,1\n2,1\n3,1\n4,1\n")
    reader = MetricsReader(file)
    with pytest.raises(UserError, match="more than 6 numbers"):
        reader.update()
    assert list(reader.values["step"]) == [1, 2, 3]


def test_chosen_rows_have_the_ends_and_the_extremes() -> None:
    steps = [float(row) for row in range(5000)]
    values = [math.sin(row / 300) for row in range(5000)]
    values[1234], values[4321] = 9.0, -9.0
    few = [math.nan if row % 100 else float(row) for row in range(5000)]
    rows = spread_rows([steps, values, few], 0, 1000)
    assert len(rows) <= 1000 and rows == sorted(set(rows)) and {0, 4999, 1234, 4321} <= set(rows)
    assert sum(not math.isnan(few[row]) for row in rows) == 50
    many = [[float((row * number) % 997) for row in range(5000)] for number in range(1, 200)]
    rows = spread_rows(many, 0, 100)
    assert len(rows) == len(set(rows)) == 100 and rows[0] == 0 and rows[-1] == 4999
    assert spread_rows([steps], 4998, 1000) == [4998, 4999] and spread_rows([], 0, 10) == []
