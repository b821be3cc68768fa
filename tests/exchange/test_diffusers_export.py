"""Image models in diffusers: its own scheduler and our network make the pictures of ``genai.sample``."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.exchange.diffusers_export import VERSION, export_diffusers
from genai.inference.card_usage import OTHER_USAGES
from tests.conftest import ROOT
from tests.exchange.image_models import PROMPT, SIZES, pixels, random_model, words_of


def export(kind: str, folder: Path, **sampling: Any) -> Any:
    """Export a model of random weights, and return it."""
    model = random_model(kind)
    model.method.sampling.update(sampling)
    export_diffusers(model.modality, model.method, compose("train", words_of(kind)).values["model"], folder, "card")
    return model


def test_the_folder_names_code_but_holds_weights_without_any(tmp_path: Path) -> None:
    export("words", tmp_path, shift=3.0, steps=4)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == ["pipeline", "PicturePipeline"] and index["steps"] == 4
    assert index["scheduler"] == ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    assert json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())["shift"] == 3
    names = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert [name for name in names if not name.endswith((".json", ".safetensors", ".md"))] == [
        "denoiser/denoiser.py",
        "pipeline.py",
    ]


@pytest.mark.parametrize(
    ("kind", "sampling", "reason"),
    [
        ("gan", {}, "is for image models of model=diffusion, and this one is Image Adversarial"),
        ("pixels", {"sampler": "heun"}, "has no sampler=, which this model samples with by default"),
        ("pixels", {"guidance_until": 0.5}, "has no guidance_until=, which"),
    ],
)
def test_what_the_folder_could_not_do_is_refused(
    kind: str, sampling: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=reason):
        export(kind, tmp_path, **sampling)
    assert not list(tmp_path.iterdir())


@pytest.mark.peers
@pytest.mark.parametrize("kind", [*(kind for kind in SIZES if kind not in ("gan", "frames"))])
def test_diffusers_makes_the_same_pictures(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diffusers = pytest.importorskip("diffusers")
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)
    model = export(kind, tmp_path, guidance=3.0)
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(pipeline.scheduler) is diffusers.FlowMatchEulerDiscreteScheduler
    for options, values in (
        ({}, {}),
        ({"num_inference_steps": 3, "guidance_scale": 1.0}, {"steps": 3, "guidance": 1.0}),
    ):
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        pictures = pipeline([PROMPT] * 2, generator=generators, output_type="np", **options).images
        expected = pixels(model, n=2, **values)
        assert np.abs(pictures.astype(int) - expected).max() <= 1 and pictures.std() > 3
    image = pipeline(PROMPT, generator=torch.Generator().manual_seed(3)).images[0]
    assert np.abs(np.asarray(image).reshape(expected[0].shape).astype(int) - pixels(model)[0]).max() <= 1


@pytest.mark.peers
def test_it_opens_without_genai(trained: Callable[[str], Path], inside: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    done = inside("export", f"ckpt={trained('image')}", "out=out", "format=diffusers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "out" / "README.md").read_text()
    assert "library_name: diffusers\n" in card and "has program code" in card
    program = (
        "import sys; sys.modules['genai'] = None; from diffusers import DiffusionPipeline; import torch; "
        "p = DiffusionPipeline.from_pretrained('out', trust_remote_code=True); "
        "p('a red circle', generator=torch.Generator().manual_seed(5)).images[0].save('a.png')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=300)
    expected = np.asarray(genai.load(trained("image"), device="cpu").sample("a red circle", seed=5)[0].image)
    found = np.asarray(genai.load(trained("image"), device="cpu").modality.media.read(tmp_path / "a.png").image)
    assert np.abs(found.astype(int) - expected).max() <= 4  # bfloat16 in genai, where the processor is fast at it


@pytest.mark.parametrize("path", ["constraints.txt", "docs/image_export.md", "benchmarks/image_quality.py"])
def test_documents_name_the_version_that_is_tested(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert set(re.findall(r"diffusers(?:==| )(\d[\d.]*\d)", text)) == {VERSION}


def test_the_card_names_the_version_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.inference.card_usage.DIFFUSERS_VERSION", "7.8.9")
    assert "diffusers 7.8.9, which refuses" in "\n".join(OTHER_USAGES["diffusers"]("a cat"))
