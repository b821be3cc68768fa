"""A fifth modality, in a package of its own, goes through everything that the four go through."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.cli.options import command_keys
from genai.commands.export import export
from genai.commands.page import page
from genai.commands.sample import sample
from genai.core.errors import UserError
from genai.core.paths import config_dirs
from tests.plugins.point_clouds.media import PointCloud

PLUGINS = "plugins=[tests.plugins.point_clouds]"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 steps, in a folder of its own."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["modality=point_clouds", PLUGINS, "steps=30", "trainer=cpu", "trainer.threads=1", "model.network.width=32"]
    genai.fit(*words, f"runs={folder}", "val_every=15")
    return folder


def run_of(runs: Path) -> Path:
    (config,) = runs.glob("*/*/config.yaml")
    return config.parent


def test_it_trains_and_is_previewed(runs: Path) -> None:
    rows = list(csv.DictReader((run_of(runs) / "metrics.csv").open(encoding="utf-8")))
    losses = [float(row["val_loss"]) for row in rows if row["val_loss"]]
    assert len(losses) == 2 and losses[1] < losses[0]
    previews = run_of(runs) / "previews" / "00000030"
    names = sorted(path.name for path in previews.iterdir() if path.suffix != ".c2pa")
    assert names == [*(f"{number:03d}.npy" for number in range(6)), "sheet.png"]  # a prompt for each kind and size
    assert PointCloud.read(previews / "000.npy").points.shape == (64, 2)


def test_it_is_loaded_sampled_and_measured(runs: Path) -> None:
    plugins = ["tests.plugins.point_clouds"]
    model = genai.load(run_of(runs), device="cpu", plugins=plugins)
    (cloud,) = model.sample("a small circle", seed=3, steps=3)
    assert isinstance(cloud, PointCloud) and cloud.points.shape == (64, 2) and np.isfinite(cloud.points).all()
    (same,) = model.sample("a small circle", seed=3, steps=3, init=cloud, strength=0.0)
    np.testing.assert_allclose(same.points, cloud.points, atol=1e-6)
    results: Any = genai.measure(f"ckpt={run_of(runs)}", PLUGINS, "device=cpu", "metrics=[val_loss]")
    assert 0 < results["metrics"]["val_loss"]["value"] < 100


def test_it_is_on_the_page(runs: Path, tmp_path: Path) -> None:
    words = [f"ckpt={run_of(runs)}", PLUGINS, f"out={tmp_path / 'samples'}", "device=cpu", "prompt=a large line", "n=2"]
    sample(compose("sample", words), {"steps": "2"})
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "000.c2pa", "000.json", "000.npy", "001.c2pa", "001.json", "001.npy", "sheet.png"
    ]  # fmt: skip
    words = [f"ckpt={run_of(runs)}", f"samples={tmp_path / 'samples'}", f"out={tmp_path / 'page.html'}"]
    page(compose("page", [*words, PLUGINS]))
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("<circle") >= 128 and "a large line" in html
    with pytest.raises(UserError, match="unknown modality point_clouds"):
        page(compose("page", words))


def test_it_is_exported_and_opened_with_its_package(runs: Path, tmp_path: Path) -> None:
    words = [f"ckpt={run_of(runs)}", f"out={tmp_path / 'out'}", "format=genai"]
    with pytest.raises(UserError, match="only classes of genai"):
        export(compose("export", words))
    export(compose("export", [*words, PLUGINS]))
    plugins = ["tests.plugins.point_clouds"]
    clouds = [
        genai.load(folder, device="cpu", plugins=plugins).sample("a small circle", seed=3, steps=3)[0].points
        for folder in (run_of(runs), tmp_path / "out")
    ]
    np.testing.assert_array_equal(*clouds)
    assert f"plugins={plugins}" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="only classes of genai"):
        genai.load(tmp_path / "out")


def test_it_goes_on_as_if_it_had_not_stopped(runs: Path, tmp_path: Path) -> None:
    words = ["modality=point_clouds", PLUGINS, "trainer=cpu", "trainer.threads=1", "data.items=40"]
    genai.fit(*words, "steps=4", "schedule.cooldown=0", f"runs={tmp_path / 'a'}")
    genai.fit(f"resume={run_of(tmp_path / 'a')}", PLUGINS, "steps=8")
    genai.fit(*words, "steps=8", "schedule.cooldown=0", f"runs={tmp_path / 'b'}")
    weights = [
        torch.load(run_of(tmp_path / name) / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("a", "b")
    ]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert json.loads((run_of(tmp_path / "a") / "record.json").read_bytes())["modality"] == "point_clouds"


def test_only_packages_that_are_named_are_searched(runs: Path) -> None:
    assert len(config_dirs(["tests.plugins.point_clouds", "tests.plugins", "no_such_package"])) == 2
    assert "plugins" in command_keys("page")
    with pytest.raises(UserError, match="modality=point_clouds: there is no such modality"):
        compose("train", ["modality=point_clouds"])
    with pytest.raises(UserError, match="only classes of genai"):
        genai.load(run_of(runs), device="cpu")
