"""``codec=RUN``: a diffusion model on the latents of an autoencoder, which is frozen and travels in the checkpoint."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import genai
from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides
from genai.core.errors import CorruptCheckpoint, UserError
from genai.inference.model import Model
from genai.media.picture import Picture
from genai.methods.scaling import LearnedScaling
from genai.networks.autoencoder import Autoencoder
from genai.runs.run import Run
from genai.training.codec import with_codec
from tests.conftest import FEW_STEPS, SMALL_IMAGE

WORDS = (*SMALL_IMAGE, "model.network.blocks=1", FEW_STEPS)


def state_of(model: Model) -> dict[str, torch.Tensor]:
    return model.method.state_dict()


@pytest.fixture(scope="module")
def autoencoder(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an autoencoder, which a test may delete."""
    return Path(shutil.copytree(trained("autoencoder"), tmp_path_factory.mktemp("codec") / "autoencoder"))


@pytest.fixture(scope="module")
def diffusion(autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A diffusion model of four steps on its latents."""
    return genai.fit(*WORDS, f"codec={autoencoder}", "steps=4", f"runs={tmp_path_factory.mktemp('runs')}")


def test_the_codec_is_that_of_the_run_and_stays_so(autoencoder: Path, diffusion: Model) -> None:
    base = genai.load(autoencoder)
    codec = diffusion.method.codec
    assert isinstance(codec, Autoencoder) and isinstance(diffusion.method.scaling, LearnedScaling)
    weights = base.method.network.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in codec.state_dict().items() if "." in name)
    pixels = torch.stack(
        [diffusion.modality.encode(picture) for picture in diffusion.sample("a red circle", n=2, steps=2)]
    )
    assert diffusion.method.scaling.scale(pixels).shape == (2, 8, 2, 2)
    assert not torch.equal(codec.stds, torch.ones(8))  # measured on the training data
    parameters = sum(p.numel() for p in diffusion.method.ema_module.parameters())
    assert diffusion.record["parameters"] == parameters


def test_it_is_stored_once_and_needs_no_run_to_go_on(autoencoder: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(autoencoder, tmp_path / "source"))
    words = (*WORDS, f"codec={source}", "checkpoint_every=2")
    part = genai.fit(*words, "steps=2", f"runs={tmp_path / 'part'}", "schedule.cooldown=0")
    longer = genai.fit(*words, "steps=4", f"runs={tmp_path / 'longer'}", "schedule.cooldown=0")
    with pytest.raises(UserError, match="a resumed run keeps its codec"):
        genai.fit(f"resume={part.run.folder}", f"codec={autoencoder}", "steps=4")
    shutil.rmtree(source)
    resumed = genai.fit(f"resume={part.run.folder}", "steps=4")  # type: ignore[union-attr]
    assert all(torch.equal(value, state_of(longer)[name]) for name, value in state_of(resumed).items())
    config = yaml.safe_load((longer.run.folder / "config.yaml").read_text())  # type: ignore[union-attr]
    assert config["modality"]["codec"] == {"latents": 8, "width": 8, "blocks": 1}
    stored = torch.load(longer.file, weights_only=True)
    assert "codec" not in stored["genai"]["modality_state"]
    assert sum("codec" in name for name in stored["state_dict"]) == len(list(longer.method.codec.state_dict()))


def test_exported_folder_samples_alike(diffusion: Model, tmp_path: Path, inside: Any) -> None:
    done = inside("export", f"ckpt={diffusion.run.folder}", "format=genai", f"out={tmp_path / 'out'}", cwd=tmp_path)  # type: ignore[union-attr]
    assert done.returncode == 0, done.stderr
    first, second = (
        model.sample("a red circle", steps=2)[0].pixels for model in (diffusion, genai.load(tmp_path / "out"))
    )
    assert np.array_equal(first, second)


def test_kept_pixels_stay_bit_for_bit(diffusion: Model, tmp_path: Path) -> None:
    init = Picture(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    mask = np.zeros((16, 16, 1), np.uint8)
    mask[5:14, 9:] = 255  # not whole positions
    (tmp_path / "mask.png").write_bytes(Picture(mask).to_bytes())
    (sample,) = diffusion.sample(init=init, mask=str(tmp_path / "mask.png"), steps=2)
    is_kept = mask[..., 0] == 0
    assert np.array_equal(sample.pixels[is_kept], init.pixels[is_kept])
    assert not np.array_equal(sample.pixels[~is_kept], init.pixels[~is_kept])


def test_a_position_is_known_if_all_its_pixels_are() -> None:
    scaling = LearnedScaling(autoencoder=Autoencoder(3, latents=4, width=8))
    x, known, mask = torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2), torch.ones(1, 3, 16, 16, dtype=torch.bool)
    mask[:, 1, 9, 3] = False
    blended = scaling.blend(x, known, mask)
    assert blended[0, :, 1, 0].eq(0).all() and blended.sum() == 4 * 3
    assert scaling.scaled_shape((2, 3, 16, 24)) == (2, 4, 2, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["codec=nothing"], r"codec=.*nothing: there is no run .* null, auto, pca, or a run of"),
        (["codec={image}"], r"codec=.* is Image Diffusion: give a run of model=autoencoder"),
        (["codec={autoencoder}", "modality.channels=1"], r"for pictures of 3 channels; these have 1"),
        (["codec={autoencoder}", "modality.size=20"], r"codec=learned needs sides that are multiples of 8"),
        (["codec={autoencoder}", "model=autoencoder"], r"an autoencoder learns from pixels"),
        (["modality.codec={{latents: 4}}"], r"codec= is null, auto, pca, or a run"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list[str], message: str, autoencoder: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    places = {"autoencoder": autoencoder, "image": trained("image")}
    own = [word for word in WORDS if "prompt" not in word or "model=autoencoder" not in words]
    with pytest.raises(UserError, match=message) as raised:
        genai.fit(*own, *(word.format(**places) for word in words), "steps=2", f"runs={tmp_path / 'runs'}")
    assert ("\n" not in str(raised.value) or "does not fit" in str(raised.value)) and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("change", ["missing", "shape", "nan", "arguments"])
def test_a_codec_of_a_stranger_is_checked(change: str, diffusion: Model, tmp_path: Path) -> None:
    state = torch.load(diffusion.file, weights_only=True)
    weights, name = state["state_dict"], "method.codec.stds"
    if change == "missing":
        del weights[name]
    elif change == "shape":
        weights[name] = torch.ones(9)
    elif change == "nan":
        weights[name] = torch.full((8,), torch.nan)
    else:
        state["genai"]["modality"]["codec"] = {"latents": 10**9, "width": 8, "blocks": 1}
    torch.save(state, tmp_path / "changed.ckpt")
    with pytest.raises((CorruptCheckpoint, UserError)):
        genai.load(tmp_path / "changed.ckpt")


def test_another_run_takes_the_codec_of_a_diffusion_model(diffusion: Model, tmp_path: Path) -> None:
    folder = diffusion.run.folder  # type: ignore[union-attr]
    other = genai.fit(*WORDS, f"codec={folder}", f"init_from={folder}", "steps=1", f"runs={tmp_path}")
    first, second = diffusion.method.codec.state_dict(), other.method.codec.state_dict()
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_an_adapter_leaves_the_codec_alone(diffusion: Model, tmp_path: Path) -> None:
    folder = diffusion.run.folder  # type: ignore[union-attr]
    adapted = genai.fit(
        f"init_from={folder}", "adapter=lora", "steps=1", "data.items=40", "batch=4", f"runs={tmp_path}"
    )
    first, second = diffusion.method.codec.state_dict(), adapted.method.codec.state_dict()
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_previews_show_pictures_beside_what_is_given_back(autoencoder: Path) -> None:
    (folder,) = (path for path in (autoencoder / "previews").iterdir() if path.name == "00000006")
    sheet = Picture.read(folder / "sheet.png")
    assert len(list(folder.glob("0*.png"))) == 4
    assert sheet.image.width > 4 * 128  # two pairs in a row, each enlarged to 128 pixels


@pytest.mark.parametrize(("size", "codec"), [("32", None), ("64", "pca"), ("[64,96]", "pca")])
def test_auto_is_recorded_as_what_it_stands_for(size: str, codec: str | None) -> None:
    config, learned = with_codec(compose("train", ["modality=image", f"modality.size={size}"]), None)
    assert config.values["modality"]["codec"] == codec and learned is None
    assert config.values["codec"] == "auto"


@pytest.mark.parametrize(
    ("words", "patch"), [([], 4), (["codec=pca"], None), (["codec=pca", "model.network.patch=2"], 2)]
)
def test_the_patches_of_a_network_for_pixels_are_left_out_with_a_codec(words: list[str], patch: int | None) -> None:
    config, _ = with_codec(compose("train", ["modality=video", *words]), None)
    assert config.values["model"]["network"].get("patch") == patch


def test_a_run_of_before_goes_on_without_a_codec(trained: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained("image"), tmp_path / "run"))
    values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    del values["modality"]["codec"]
    (folder / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    assert "codec=null" in recorded_overrides(Run(folder))
