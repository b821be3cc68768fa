"""Enlarged pictures: from a file, from another model, from their recipes, in previews, measured; what is refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.inference.labels import Labeler
from genai.inference.model import Model
from genai.inference.upscaled import with_upscaling
from genai.media.picture import Picture
from genai.metrics.base import EvalContext
from genai.metrics.image.upscaling import Upscaling
from genai.server.job_recipes import public_recipe
from genai.toy.data.image import ToyImages
from genai.training.run import train
from tests.conftest import SMALL_UPSCALE
from tests.stubs import decoded_files

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def enlarger(trained: Callable[[str], Path]) -> Model:
    return genai.load(trained("upscale"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A file of 9 x 7 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    (tmp_path / "photo.png").write_bytes(Picture(pixels).to_bytes())
    return tmp_path / "photo.png"


def test_a_picture_of_any_size_is_enlarged_and_its_recipe_makes_it_again(
    enlarger: Model, photo: Path, tmp_path: Path, inside: Command
) -> None:
    process = inside("sample", f"ckpt={enlarger.file}", "init=photo.png", "steps=2", "out=a", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "init= of 9 x 7 pixels becomes 18 x 14; steps=1 makes the mean" in process.stderr
    assert Picture.read(tmp_path / "a" / "000.png").image.size == (18, 14)
    again = inside("sample", f"ckpt={enlarger.file}", "from=a/000.json", "out=b", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert decoded_files(tmp_path / "a", "000.png") == decoded_files(tmp_path / "b", "000.png")


def test_samples_of_another_run_are_enlarged(
    enlarger: Model, trained: Callable[[str], Path], tmp_path: Path, inside: Command
) -> None:
    words = (f"ckpt={trained('image')}", "prompt=a red circle", "n=2", "steps=2")
    then = f"then={enlarger.file}"
    for out, more in (("small", ()), ("large", (then, "noise_level=0.5"))):
        process = inside("sample", *words, *more, f"out={out}", cwd=tmp_path)
        assert process.returncode == 0, process.stderr
    for number in ("000", "001"):
        small = Picture.read(tmp_path / "small" / f"{number}.png")
        large = enlarger.sample(init=small, seed=int(number), noise_level=0.5)[0]
        assert np.array_equal(Picture.read(tmp_path / "large" / f"{number}.png").pixels, large.pixels)
    assert "then= enlarges in 1 step: steps=1 makes the mean" in process.stderr
    assert large.image.size == (32, 32) and f"then {enlarger.file}" in process.stderr
    recipe = json.loads((tmp_path / "large" / "001.json").read_text())
    assert recipe["then"]["checkpoint_sha256"] == enlarger.digest and recipe["prompt"] == "a red circle"
    again = inside("sample", "from=large/001.json", "out=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert decoded_files(tmp_path / "large", "001.png") == decoded_files(tmp_path / "again", "001.png")
    refused = inside("sample", "from=small/001.json", then, "out=no", cwd=tmp_path)
    assert refused.returncode == 2 and "made without then=: leave it out" in refused.stderr
    page = inside("page", f"ckpt={trained('image')}", "samples=large", "out=page.html", cwd=tmp_path)
    assert page.returncode == 0, page.stderr
    assert "then=" in (text := (tmp_path / "page.html").read_text()) and text.count("data:image/png") >= 2


def test_the_label_tells_both_models_and_the_server_no_folders(
    enlarger: Model, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    from genai.inference.provenance import RecipeItem, make_recipe

    model = with_upscaling(genai.load(trained("image")), str(enlarger.file))
    recipe = make_recipe(model, [RecipeItem("a", 0)], 0, {}, None)
    assert Labeler().of(model).model == "Image Diffusion, Image Upscale"
    public = public_recipe(recipe, {})
    assert public.then and public.then.checkpoint == Path(str(enlarger.file)).name
    assert public.then.checkpoint_sha256 == enlarger.digest


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("text", ["then={upscale}"], "then= enlarges pictures, and this model makes text"),
        ("image", ["then={text}"], "it should be a run of model=upscale"),
        ("image", ["then=nowhere"], "then=: "),
        ("image", ["then={upscale}", "watermark=true"], "below 256 x 256 pixels hold none, and these have 32 x 32"),
        ("image", ["then={upscale}", "interpolate=true"], "interpolate=true and then=: give one of them"),
        ("image", ["noise_level=0.5"], "There is no option 'noise_level'"),
        ("image", ["then={upscale}", "noise_level=2"], "noise_level='2': it should be less than or equal to 1"),
        ("upscale", [], "this model enlarges pictures: give one with init=FILE"),
        ("upscale", ["init={photo}", "mask={photo}"], "mask= paints a part of a picture"),
        ("upscale", ["init={photo}", "guidance=2"], "There is no option 'guidance'"),
        ("upscale", ["init={photo}", "interpolate=true"], "interpolate=true and init="),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    kind: str,
    words: list[str],
    message: str,
    trained: Callable[[str], Path],
    photo: Path,
    tmp_path: Path,
    inside: Command,
) -> None:
    places: Any = {"photo": photo}
    places |= {name: trained(name) for name in ("upscale", "text") if f"{{{name}}}" in "".join(words)}
    words = [word.format(**places) for word in words]
    process = inside("sample", f"ckpt={trained(kind)}", "prompt=a", *words, "out=out", cwd=tmp_path)
    assert process.returncode == 2 and message in process.stderr, process.stderr
    assert not (tmp_path / "out").exists() and message in process.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=upscale", "modality.upscale=null"], "it needs a factor: modality.upscale=2 or modality.upscale=4"),
        (["model=upscale", "modality.upscale=null", "model.upscale=2"], "add modality.upscale=2 or 4"),
        (["modality.upscale=2"], "modality.upscale= is for models that restore pictures"),
        (["model=upscale", "modality.upscale=3"], "modality.upscale=3"),
        (["model=upscale", "modality.upscale=4", "modality.size=18"], "upscale=4 needs sides that are multiples"),
        (["model=upscale", "codec=pca"], "codec=pca drops the detail"),
    ],
)
def test_trainings_that_do_not_fit_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(compose("train", ["modality=image", *words, "trainer=cpu", f"runs={tmp_path / 'runs'}"]))
    assert not (tmp_path / "runs").exists()


def test_previews_show_small_bicubic_and_real_pictures_and_validation_says_both(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(compose("train", [*SMALL_UPSCALE, "steps=2", "val_every=1", f"runs={tmp_path}"]))
    (folder,) = (run.folder / "previews").iterdir()
    assert len([*folder.glob("0*.png")]) == 4
    sheet = Picture.read(folder / "sheet.png").image.size
    assert sheet[0] == 4 * (128 + 8) + 8 and sheet[1] == 4 * (128 + 30 + 8) + 8
    header = (run.folder / "metrics.csv").read_text().partition("\n")[0].split(",")
    assert {"val_psnr", "val_psnr_bicubic"} <= {*header}
    captured = capfd.readouterr()
    assert "step 2: PSNR " in captured.err and "bicubic" in captured.err
    assert f"genai.sample ckpt={run.folder} init=FILE" in captured.out


def test_the_metric_compares_the_mean_samples_and_bicubic(enlarger: Model, trained: Callable[[str], Path]) -> None:
    context = EvalContext(enlarger, ToyImages(items=40, size=16), n=3)
    results = Upscaling().compute(context)
    names = [f"{kind}{suffix}" for suffix in ("", "_sample", "_bicubic") for kind in ("psnr", "sharpness")]
    assert [*results] == names and all(result.value for result in results.values())
    assert "8 steps" in results["psnr_sample"].description and "one step" in results["psnr"].description
    assert Upscaling().unsupported_reason(enlarger) == ""
    assert "model=upscale" in Upscaling().unsupported_reason(genai.load(trained("image")))
