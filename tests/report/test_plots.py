"""The losses of a run as lines on an SVG."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.report.plots import HEIGHT, LEFT, MAX_POINTS, RIGHT, WIDTH, line_chart, line_classes, read_losses


def places(svg: str, name: str) -> list[tuple[float, float]]:
    line = ET.fromstring(svg).find(f".//g[@class='{name}']/polyline")
    assert line is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def labels(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter("text")]


def test_losses_are_read_where_they_were_logged(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,lr,val_loss\n1,2.5,0.1,\n10,nan,0.1,\n20,1.5,0.1,1.75\n")
    assert read_losses(tmp_path / "metrics.csv") == {"training": [(1, 2.5), (20, 1.5)], "validation": [(20, 1.75)]}
    assert read_losses(tmp_path / "none.csv") == {}
    (tmp_path / "two.csv").write_text("step,generator_loss,discriminator_loss,generator_lr\n1,2.5,0.5,0.1\n")
    assert read_losses(tmp_path / "two.csv") == {"generator": [(1, 2.5)], "discriminator": [(1, 0.5)]}
    (tmp_path / "other.csv").write_text("step,lr\n1,2\n")
    assert read_losses(tmp_path / "other.csv") == {}


def test_lines_of_other_networks_are_numbered_classes() -> None:
    assert line_classes(["critic", "training", "<b>", "validation"]) == {
        "critic": "network-1",
        "training": "training",
        "<b>": "network-2",
        "validation": "validation",
    }
    assert places(line_chart({"critic": [(0, 3.0), (50, 2.5)]}, "step", "loss"), "network-1")


@pytest.mark.parametrize("content", [b"step,loss\n1,much\n", b"loss\n1\n", b"step,loss\nx,1\n", b"\xff\xff"])
def test_losses_that_cannot_be_read_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*metrics\.csv"):
        read_losses(tmp_path / "metrics.csv")


def test_long_lines_keep_their_means(tmp_path: Path) -> None:
    rows = [f"{step},{step % 2 + 1}" for step in range(1, 10_001)]
    (tmp_path / "metrics.csv").write_text("step,loss\n" + "\n".join(rows))
    line = read_losses(tmp_path / "metrics.csv")["training"]
    assert len(line) == MAX_POINTS
    assert sum(value for _, value in line) / MAX_POINTS == pytest.approx(1.5, abs=0.01)


def test_lines_go_from_left_to_right_and_down() -> None:
    svg = line_chart({"training": [(0, 3.0), (50, 2.5), (100, 2.0)], "validation": [(100, 2.25)]}, "step", "loss")
    (x0, y0), (x1, y1), (x2, y2) = places(svg, "training")
    assert (x0, x2) == (LEFT, WIDTH - RIGHT) and x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert 0 < y0 < y1 < y2 < HEIGHT and y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
    assert y1 < places(svg, "validation")[0][1] < y2
    assert {"loss", "step", "100", "2", "3"} <= {*labels(svg)}


def test_a_wide_range_is_logarithmic() -> None:
    svg = line_chart({"training": [(1, 10.0), (2, 1.0), (3, 0.1)]}, "step", "loss")
    (_, y0), (_, y1), (_, y2) = places(svg, "training")
    assert y1 == pytest.approx((y0 + y2) / 2, abs=0.1)
    assert {"loss, logarithmic", "0.1", "0.5", "10"} <= {*labels(svg)}
    assert "loss" in labels(line_chart({"training": [(1, 10.0), (2, -1.0)]}, "step", "loss"))


@pytest.mark.parametrize(
    "line", [[(1, 2.0)], [(0, 0.0)], [(1, 2.0), (2, 2.0)], [(5, -1e9), (7, 1e9)], [(1, 1e-30), (9, 1e30)]]
)
def test_any_numbers_are_drawn_inside(line: list[tuple[float, float]]) -> None:
    svg = line_chart({"training": line}, "step", "loss")
    assert all(LEFT - 1 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(svg, "training"))
    assert len(labels(svg)) < 80 and not re.search("nan|inf", svg.replace("training", ""))


def test_nothing_is_drawn_of_nothing() -> None:
    assert line_chart({}, "step", "loss") == ""
