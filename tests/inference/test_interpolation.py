"""What lies between two samples: a strip and an animated picture."""

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from torch import nn

import genai
from genai.core.errors import UserError
from genai.inference.interpolation import NUM_STEPS, STRIP_IMAGES, interpolate, interpolation_ends
from genai.inference.model import Model
from tests.stubs import decoded_files


@pytest.fixture(scope="module", params=["gan", "image"])
def model(request: pytest.FixtureRequest, trained: Callable[[str], Path]) -> Model:
    model = genai.load(trained(request.param))
    for parameter in model.method.ema_module.parameters():
        nn.init.normal_(parameter, std=0.2)  # prompts have no say at first
    return model


def options(model: Model) -> dict[str, int]:
    return {"steps": 2} if hasattr(model.method.Options, "steps") else {}


def test_it_leads_from_one_sample_to_the_other(model: Model) -> None:
    strip, moving = interpolate(model, interpolation_ends(["red", "blue"], 1, 3), 7, options(model))
    ends = [model.sample(prompt, seed=3, **options(model))[0] for prompt in ("red", "blue")]
    pictures = moving.pictures
    assert len(pictures) == NUM_STEPS
    for end, picture in zip(ends, (pictures[0], pictures[-1]), strict=True):
        np.testing.assert_allclose(end.pixels.astype(int), picture.pixels.astype(int), atol=2)
    middle = pictures[NUM_STEPS // 2].pixels
    assert not any(np.array_equal(middle, end.pixels) for end in ends)
    assert strip.image.width > STRIP_IMAGES * 96
    with Pillow.open(io.BytesIO(moving.to_bytes())) as image:
        assert 1 < image.n_frames <= NUM_STEPS  # equal frames are one


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_between_two_seeds_of_one_prompt(model: Model, sampler: str) -> None:
    chosen = {**options(model), "sampler": sampler} if options(model) else {}
    _, moving = interpolate(model, interpolation_ends(["red"], 2, 3), 32, chosen)
    ends = model.sample("red", n=2, seed=3, **chosen)
    for end, picture in zip(ends, (moving.pictures[0], moving.pictures[-1]), strict=True):
        np.testing.assert_allclose(end.pixels.astype(int), picture.pixels.astype(int), atol=2)


@pytest.mark.parametrize(("prompts", "n"), [(["a"], 1), (["a", "b"], 2), (["a", "b", "c"], 1), (["a"], 3)])
def test_two_ends_are_needed(prompts: list[str], n: int) -> None:
    with pytest.raises(UserError, match="give two prompts, or one prompt and n=2"):
        interpolation_ends(prompts, n, 0)


def test_nothing_lies_between_texts(trained: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=r"interpolate=true is not supported by this text model"):
        interpolate(genai.load(trained("text")), interpolation_ends(["a", "b"], 1, 0), 8, {})


def test_the_strip_of_a_model_with_unused_options_is_repeated(
    tmp_path: Path, trained: Callable[[str], Path], inside: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = (f"ckpt={trained('image')}", "interpolate=true", 'prompt=["red", "blue"]', "steps=1")
    assert inside("sample", *words, "out=way", cwd=tmp_path).returncode == 0
    done = inside("sample", "from=way/strip.json", f"runs={trained('image').parent}", "out=again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert decoded_files(tmp_path / "again") == decoded_files(tmp_path / "way")
    done = inside("sample", *words, "strength=0.5", "out=other", cwd=tmp_path)
    assert done.returncode == 2 and "strength= changes nothing here" in done.stderr


def test_the_command(
    tmp_path: Path, trained: Callable[[str], Path], inside: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    asked = (f"ckpt={trained('gan')}", "interpolate=true", 'prompt=["red", "blue"]')
    done = inside("sample", *asked, "truncation=0.5", "out=way", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "way").iterdir()} == {"strip.png", "strip.json", "interpolation.png"}
    done = inside("sample", "from=way/strip.json", f"runs={trained('gan').parent}", "out=again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert decoded_files(tmp_path / "again") == decoded_files(tmp_path / "way")
    for words, message in [
        ((*asked, "animate=true"), "interpolate=true and animate=: give one of them"),
        ((asked[0], "animate=true"), "animate=true shows the steps of sampling, but this model has one step only"),
        ((*asked, "truncation=2"), "truncation='2': it should be less than or equal to 1"),
        ((asked[0], "init=way/strip.png"), "this model cannot start from a file"),
    ]:
        process = inside("sample", *words, "out=other", cwd=tmp_path)
        assert process.returncode == 2 and message in process.stderr
    assert not (tmp_path / "other").exists()
