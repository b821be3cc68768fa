"""Pictures that are not square, from a folder of portraits to the page of their samples."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import genai
from genai.core.errors import UserError
from genai.inference.model import Model
from genai.media.picture import Picture
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run

SMALL = (
    "modality=image",
    "data=image_folder",
    "modality.size=[24,16]",
    "model.network.width=16",
    "model.prompt.width=16",
    "batch=4",
    "val_items=2",
    "preview_every=1",
    "trainer=cpu",
    "trainer.threads=1",
)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve of them, lighter below, and two from a camera that was held upright."""
    folder = tmp_path_factory.mktemp("portraits")
    for number in range(12):
        pixels = np.linspace(0, 255, 72)[:, None, None].repeat(48, 1).repeat(3, 2)
        pixels[..., number % 3] = 20 * number
        image, exif = Pillow.fromarray(pixels.astype(np.uint8)), Pillow.Exif()
        if number > 9:
            image, exif[0x0112] = image.transpose(Pillow.Transpose.ROTATE_90), 6
        image.save(folder / f"{number}.jpg", exif=exif)
        (folder / f"{number}.txt").write_text(f"number {number}")
    return folder


@pytest.fixture(scope="module")
def model(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return genai.fit(*SMALL, f"data.path={portraits}", f"runs={tmp_path_factory.mktemp('runs')}", "steps=2")


def folder_of(model: Model) -> Path:
    assert model.file
    return model.file.parent.parent


def test_samples_and_previews_have_the_height_and_the_width(model: Model) -> None:
    samples = model.sample(["a", "b"], n=2, steps=2)
    assert [sample.pixels.shape for sample in samples] == [(24, 16, 3)] * 4
    events = EventAccumulator(str(folder_of(model) / "tensorboard")).Reload()
    shown = [events.Images(tag)[-1] for tag in events.Tags()["images"]]
    assert {(image.width, image.height) for image in shown} == {(16 * 8 + 16, 24 * 8 + 16 + 30)}  # one, over its prompt


@pytest.mark.parametrize("size", [(48, 32), (200, 20), (16, 16), (1, 300)])
def test_init_and_mask_of_any_shape_fit(model: Model, size: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    init = Picture(rng.integers(0, 256, (*size, 3), np.uint8))
    mask = np.zeros((24, 16, 1), np.uint8)
    mask[:12] = 255
    (tmp_path / "mask.png").write_bytes(Picture(mask).to_bytes())
    (edited,) = model.sample("a", init=init, mask=str(tmp_path / "mask.png"), steps=2)
    kept = model.modality.encode(init)[:, 12:].permute(1, 2, 0).numpy()
    assert np.array_equal(edited.pixels[12:], kept)
    (same,) = model.sample("a", init=init, strength=0.0)
    assert np.array_equal(same.pixels, model.modality.encode(init).permute(1, 2, 0).numpy())


def test_every_command_works_on_them(
    model: Model, inside: Callable[..., CompletedProcess[str]], portraits: Path, tmp_path: Path
) -> None:
    run = folder_of(model)
    words = [
        "prompt=number 1",
        "n=3",
        "steps=2",
        "animate=true",
        f"out={tmp_path / 'samples'}",
        f"init={portraits / '0.jpg'}",
    ]
    done = inside("sample", f"ckpt={run}", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {Pillow.open(tmp_path / "samples" / f"00{n}.png").size for n in range(3)} == {(16, 24)}
    assert Pillow.open(tmp_path / "samples" / "000-making.png").size == (5 * 16, 5 * 24)
    assert Pillow.open(tmp_path / "samples" / "sheet.png").size == (3 * 136 + 8, 192 + 30 + 16)
    done = inside("evaluate", f"ckpt={run}", "n=4", "steps=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in (run / "metrics.json").read_text() for name in ("val_loss", "nearest_train"))
    done = inside("page", f"ckpt={run}", f"samples={tmp_path / 'samples'}", "out=page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<img" in (tmp_path / "page.html").read_text()
    done = inside("train", f"resume={run}", "steps=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Run(run).record.steps == 3


def test_a_checkpoint_with_an_integer_for_its_size_still_loads(portraits: Path, tmp_path: Path) -> None:
    words = [*SMALL, "modality.size=16", f"data.path={portraits}", f"runs={tmp_path}", "steps=1"]
    model = genai.fit(*words)
    assert model.file
    about = load_checkpoint(model.file)["genai"]
    assert about["modality"]["size"] == 16
    assert genai.load(model.file).sample("a", steps=1)[0].pixels.shape == (16, 16, 3)


def test_what_does_not_fit_is_said(
    inside: Callable[..., CompletedProcess[str]], portraits: Path, tmp_path: Path
) -> None:
    expected_notes = {
        "modality.size=[26,16]": "sides of 26 x 16 pixels have to be multiples of 4 (patch and levels), as in 24 x 16",
        "modality.size=[24]": "modality.size=[24]: it should be 2 values, not 1",
        "modality.size=[24,16,3]": "modality.size=[24, 16, 3]: it should be 2 values, not 3",
        "modality.size=[24,3]": "it should be greater than or equal to 4",
        "modality.size=24x16": "modality.size='24x16': it should be a whole number",
        "data=world": "the toy world draws squares",
    }
    for word, message in expected_notes.items():
        words = [*SMALL, f"runs={tmp_path / 'runs'}", "steps=2", word]
        words += [f"data.path={portraits}"] if word != "data=world" else []
        done = inside("train", *words, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr
        assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("options", [{"size": 32}, {"size": [48, 32]}, {"channels": 1}])
def test_a_model_draws_in_the_size_of_its_training(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"was fixed in training, by modality\.(size|channels)="):
        model.sample("a", **options)


def test_size_of_the_command_line_is_refused_as_well(
    model: Model, inside: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    done = inside("sample", f"ckpt={folder_of(model)}", "size=64", cwd=tmp_path)
    assert done.returncode == 2 and "size= was fixed in training, by modality.size=" in done.stderr
