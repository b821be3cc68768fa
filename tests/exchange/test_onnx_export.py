"""Image models as ONNX: a script without torch makes the same pictures."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import genai
from genai.core.errors import UserError
from genai.exchange.onnx_export import export_onnx
from genai.exchange.onnx_sample import ImageSampler
from genai.media.picture import Picture
from genai.methods.upscale import Upscale
from genai.networks.text_encoder import PromptEncoder
from tests.exchange.image_models import LABEL, PROMPT, SIZES, pixels, random_model

GUIDED = {"guidance": 4.0, "guidance_until": 0.3, "guidance_rescale": 0.7, "early_guidance": 0.0, "shift": 2.0}


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample in float32 on every processor."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


@pytest.mark.parametrize("kind", ["pixels", "words", "learned", "gray", "gan"])
def test_the_script_makes_the_same_pictures(kind: str, tmp_path: Path) -> None:
    model = random_model(kind)
    export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")
    sampler, seeds = ImageSampler(tmp_path, 1), [3, 4]
    names = ["euler", "euler_ancestral", "heun", "dpmpp_2m"]
    choices = [{"sampler": name, "steps": 3} for name in names]
    options = [{"truncation": 0.5}] if kind == "gan" else [*choices, {**GUIDED, "steps": 3}]
    pictures = []
    for values in ({}, *options):
        expected = pixels(model, n=2, **values)
        pictures.append(sampler.sample([PROMPT] * 2, seeds, **values))
        assert np.abs(expected - pictures[-1]).max() <= 1, values
        assert pictures[-1].std() > 3
    assert all((pictures[0] != picture).any() for picture in pictures[1:])
    assert (sampler.sample(["blue"], [3]) != pictures[0][:1]).any() == (kind != "gray")


def test_the_script_needs_neither_genai_nor_torch(tmp_path: Path) -> None:
    model, out = random_model("pixels"), tmp_path / "out"
    export_onnx(model.modality, model.method, tmp_path, LABEL, [PROMPT], "card")
    block = "import sys; sys.modules['torch'] = sys.modules['genai'] = None; import runpy; sys.argv[:1] = []; "
    command = [sys.executable, "-c", f"{block}runpy.run_path(sys.argv[0], run_name='__main__')"]
    words = [str(tmp_path / "sample.py"), PROMPT, "--n", "2", "--seed", "3", "--steps", "2", "--out", str(out)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split() == [str(out / "000.png"), str(out / "001.png")], done.stderr
    written = np.stack([np.asarray(Picture.read(file).image) for file in sorted(out.iterdir())])
    assert np.abs(pixels(model, n=2, steps=2) - written).max() <= 1
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    again = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert again.stdout.split() == [str(out / "002.png"), str(out / "003.png")], again.stderr
    assert before == {name: (out / name).read_bytes() for name in before} and len(list(out.iterdir())) == 4
    result = genai.provenance(out / "001.png")
    assert result.status == "unsigned" and result.is_synthetic and result.recipe["seed"] == 4
    assert json.loads((tmp_path / "config.json").read_text())["examples"] == [PROMPT]


@pytest.mark.parametrize("kind", ["text", "frames"])
def test_other_models_are_refused(kind: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    model = random_model(kind) if kind in SIZES else genai.load(trained(kind), device="cpu")
    with pytest.raises(UserError, match="is for image models of model=diffusion or model=gan, and this one is"):
        export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("gray")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"needs onnx and onnxruntime: pip install 'genai\[onnx\]'"):
        export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")


def test_a_prompt_encoder_of_another_class_is_refused(tmp_path: Path) -> None:
    model = random_model("pixels")
    model.method.ema_module.prompt.__class__ = type("OwnEncoder", (PromptEncoder,), {})
    with pytest.raises(UserError, match="format=onnx knows PromptEncoder alone, not OwnEncoder"):
        export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")


def test_learned_steps_and_upscaling_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("gray")
    with monkeypatch.context() as patch:
        patch.setattr(model.method, "shortcut", True)
        with pytest.raises(UserError, match=r"format=onnx has no learned steps \(model\.shortcut=true\)"):
            export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")
    model.method.__class__ = Upscale
    with pytest.raises(UserError, match="and this one is Image Upscale"):
        export_onnx(model.modality, model.method, tmp_path, LABEL, [], "card")
