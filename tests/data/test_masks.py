"""Masks beside pictures: which files are masks, how they are fitted, flipped and averaged, what is refused."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageFile
from PIL import Image as Pillow

from genai.cli.compose import compose
from genai.core.batch import Batch
from genai.core.cache import cache_dir
from genai.core.data import ItemRandom
from genai.core.errors import UserError
from genai.data.image_folder import SUFFIXES, ImageFolder
from genai.data.masks import check_mask_sizes, pair_masks
from genai.data.partition_writer import DataNodes
from genai.data.prepare import prepare
from genai.media.picture import Picture
from genai.methods.diffusion import Diffusion
from genai.methods.scaling import PixelScaling
from genai.modalities.image import Image, PackedImages
from genai.networks.unet import UNet
from genai.training.run import train
from tests.conftest import SMALL_GAN

SIDE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures, of which the even ones have a mask: white on the left, black on the right."""
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Pillow.fromarray(noise).save(tmp_path / f"{number}.png")
        if number % 2 == 0:
            write_mask(tmp_path / f"{number}-masklabel.png")
    return tmp_path


def write_mask(path: Path, width: int = SIDE, height: int = SIDE) -> None:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, : width // 2] = 255
    Pillow.fromarray(pixels).save(path)


def packed(source: ImageFolder, split: str = "train", **arguments: Any) -> PackedImages:
    return Image(size=SIDE, **arguments).pack(getattr(source, split), cache_dir())


def masks(data: PackedImages, random: ItemRandom | None = None) -> NDArray[np.float32]:
    loss_mask = data.batch(range(len(data)), random).loss_mask
    assert loss_mask is not None
    return loss_mask.numpy()


def test_masks_are_no_pictures_and_weight_the_loss(folder: Path) -> None:
    source = ImageFolder(str(folder), unmasked_weight=0.25)
    assert len(source.train) + len(source.val) == 8
    assert "4 with masks, whose black parts have the weight 0.25" in source.description
    found = np.concatenate([masks(packed(source, split)) for split in ("train", "val")])
    half = np.where(np.arange(SIDE) < SIDE // 2, 1, 0.25)
    is_masked = (found[..., -1] < 1).all((1, 2))
    assert found.shape == (8, 1, SIDE, SIDE) and is_masked.sum() == 4
    np.testing.assert_allclose(found[is_masked], np.broadcast_to(half, (4, 1, SIDE, SIDE)))
    assert (found[~is_masked] == 1).all()


def test_without_masks_nothing_changes(folder: Path) -> None:
    for file in folder.glob("*-masklabel.png"):
        file.unlink()
    source = ImageFolder(str(folder))
    data = packed(source)
    assert data.batch([0], None).loss_mask is None and "with masks" not in source.description
    hashes = {ImageFolder(str(folder), unmasked_weight=weight).train.content_hash for weight in (0.1, 0.5, 1)}
    assert hashes == {source.train.content_hash}


def test_the_weight_1_ignores_masks_but_does_not_train_on_them(folder: Path) -> None:
    source = ImageFolder(str(folder), unmasked_weight=1)
    assert len(source.train) + len(source.val) == 8 and packed(source).batch([0], None).loss_mask is None


def test_the_hash_tells_masks_and_their_weight(folder: Path) -> None:
    hashes = [ImageFolder(str(folder), unmasked_weight=weight).train.content_hash for weight in (0.1, 0.5, 1)]
    for file in folder.glob("*-masklabel.png"):
        Pillow.new("L", (SIDE, SIDE), 7).save(file)
    hashes.append(ImageFolder(str(folder)).train.content_hash)
    assert len(set(hashes)) == 4


def test_a_flip_takes_the_mask_along(folder: Path) -> None:
    data = packed(ImageFolder(str(folder)), flip=True)
    count, still = len(data), data.batch(range(len(data)), None)
    random = ItemRandom(0, [0] * count, range(count))
    moved = data.batch(range(count), random)
    assert still.loss_mask is not None and moved.loss_mask is not None
    flipped = [not torch.equal(*rows) for rows in zip(still.x, moved.x, strict=True)]
    assert any(flipped) and not all(flipped)
    for row, is_flipped in enumerate(flipped):
        expected = still.loss_mask[row].flip(-1) if is_flipped else still.loss_mask[row]
        assert torch.equal(moved.loss_mask[row], expected)


@pytest.mark.parametrize(
    ("resize", "columns"), [("crop", [1, 1, 0, 0]), ("pad", [0, 1, 0, 0]), ("stretch", [1, 1, 0, 0])]
)
def test_a_mask_is_fitted_as_its_picture(tmp_path: Path, resize: Any, columns: list[int]) -> None:
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (32, SIDE, 3), np.uint8)
        Pillow.fromarray(noise).save(tmp_path / f"{number}.jpg")
        write_mask(tmp_path / f"{number}-masklabel.png", SIDE, 32)
    found = masks(packed(ImageFolder(str(tmp_path), unmasked_weight=0), resize=resize))[0, 0]
    np.testing.assert_allclose(found[SIDE // 2, [1, 6, 9, 14]], columns, atol=0.02)  # padding is background


def test_a_glob_finds_masks_that_it_does_not_name(folder: Path) -> None:
    for number in range(8):
        with Pillow.open(folder / f"{number}.png") as image:
            image.save(folder / f"{number}.bmp")
        (folder / f"{number}.png").unlink()
    source = ImageFolder(f"{folder}/*.bmp")
    assert "4 with masks" in source.description and not source.skipped
    assert not ImageFolder(f"{folder}/[0-4].bmp").skipped


def test_a_mask_of_another_size_is_an_error_that_names_both(folder: Path) -> None:
    write_mask(folder / "2-masklabel.png", SIDE, SIDE + 1)
    with pytest.raises(UserError, match=r"2-masklabel\.png has 16 x 17 pixels, and .*2\.png 16 x 16"):
        ImageFolder(str(folder)).train  # noqa: B018


@pytest.mark.parametrize("orientation", [None, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_sizes_of_turned_pictures_are_known(tmp_path: Path, suffix: str, orientation: int | None) -> None:
    file, exif = tmp_path / f"a{suffix}", Pillow.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    Pillow.new("RGB", (24, 16)).save(file, exif=exif)
    width, height = (16, 24) if orientation in (6, 8) else (24, 16)
    assert Picture.read(file).pixels.shape == (height, width, 3)
    write_mask(tmp_path / "a-masklabel.png", width, height)
    check_mask_sizes({file: tmp_path / "a-masklabel.png"})
    write_mask(tmp_path / "a-masklabel.png", height, width)
    with pytest.raises(UserError, match=f"{height} x {width} pixels, and .* {width} x {height}"):
        check_mask_sizes({file: tmp_path / "a-masklabel.png"})


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = tmp_path / "a.png"
    Pillow.new("RGB", (24, 16)).save(file)
    data, content = exif.tobytes().removeprefix(b"Exif\0\0"), file.read_bytes()
    chunk = len(data).to_bytes(4, "big") + b"eXIf" + data + zlib.crc32(b"eXIf" + data).to_bytes(4, "big")
    file.write_bytes(content[:-12] + chunk + content[-12:])  # before the empty chunk at the end
    write_mask(tmp_path / "a-masklabel.png", 16, 24)
    assert Picture.read(file).pixels.shape == (24, 16, 3)
    check_mask_sizes({file: tmp_path / "a-masklabel.png"})


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_sizes_are_compared_without_decoding(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.new("RGB", (24, 16)).save(tmp_path / f"a{suffix}")
    write_mask(tmp_path / "a-masklabel.png", 24, 16)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    check_mask_sizes({tmp_path / f"a{suffix}": tmp_path / "a-masklabel.png"})


def test_a_mask_of_many_parts_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 400, 3), np.uint8)
    Pillow.fromarray(noise).save(tmp_path / "a.png")
    write_mask(tmp_path / "a-masklabel.png", 400, 128)
    train, read = ImageFolder(str(tmp_path), size=SIDE).train, list[Path]()
    original = Picture.read

    def count(file: Path, *arguments: Any) -> Picture:
        read.append(file)
        return original(file, *arguments)

    monkeypatch.setattr(Picture, "read", count)
    found = [train.load(index).mask for index in range(len(train))]
    assert len(found) > 2 and read.count(tmp_path / "a-masklabel.png") == 1
    assert len({mask.pixels.tobytes() for mask in found if mask}) > 1


@pytest.mark.parametrize(("name", "is_named"), [("99.txt", True), ("99.JPG", False)])
def test_only_a_picture_is_the_picture_of_a_mask(folder: Path, name: str, is_named: bool) -> None:
    (folder / "99-masklabel.png").write_bytes((folder / "0-masklabel.png").read_bytes())
    (folder / name).write_bytes(b"99")
    _, _, notes = pair_masks([folder / "0.png"], sorted(folder.iterdir()), SUFFIXES)
    assert any("99-masklabel.png is a mask without a picture" in note for note in notes) == is_named


def test_a_mask_that_cannot_be_read_is_an_error_and_one_without_a_picture_is_named(folder: Path) -> None:
    (folder / "nobody-masklabel.png").write_bytes((folder / "0-masklabel.png").read_bytes())
    source = ImageFolder(str(folder))
    assert len(source.train) + len(source.val) == 8
    assert any("nobody-masklabel.png is a mask without a picture" in line for line in source.skipped)
    content = (folder / "0-masklabel.png").read_bytes()
    (folder / "0-masklabel.png").write_bytes(content[:45] + bytes(20) + content[65:])
    with pytest.raises(UserError, match=r"0-masklabel\.png"):
        ImageFolder(str(folder)).train  # noqa: B018


@pytest.mark.parametrize("codec", [None, "pca"])
def test_the_loss_is_the_weighted_mean_of_squares(codec: Any) -> None:
    image = Image(size=SIDE, codec=codec)
    from genai.core.instantiate import instantiate

    scaling: Any = instantiate(image.interface["scaling"], PixelScaling, "scaling")
    method = Diffusion(UNet(image.interface["shape"], width=16, patch=1, multipliers=(1,)), None, scaling).eval()
    x = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    left = torch.zeros(2, 1, SIDE, SIDE)
    left[..., : SIDE // 2] = 1

    def loss(mask: torch.Tensor | None) -> float:
        torch.manual_seed(0)
        return float(method.loss(Batch(x, loss_mask=mask))["loss"].detach())

    assert loss(torch.ones_like(left)) == pytest.approx(loss(None))
    assert loss(0.3 * torch.ones_like(left)) == pytest.approx(0.3 * loss(None))
    assert loss(left) + loss(1 - left) == pytest.approx(loss(None), rel=1e-5) and 0 < loss(left) < loss(None)


def test_a_gan_refuses_masks(folder: Path, tmp_path: Path) -> None:
    small = [word for word in SMALL_GAN if not word.startswith("data.")]
    words = (f"data.path={folder}", "data=image_folder", "steps=2", f"runs={tmp_path / 'runs'}")
    with pytest.raises(UserError, match=r"data\.unmasked_weight=1 ignores them"):
        train(compose("train", ["modality=image", *small, *words]))
    assert not (tmp_path / "runs").exists()


def test_masks_are_not_prepared(folder: Path, tmp_path: Path) -> None:
    words = ["modality=image", "modality.size=16", "data=image_folder", f"data.path={folder}"]
    values = compose("train", words).values
    with pytest.raises(UserError, match=r"masks, data\.weights= and data\.tag_dropout="):
        prepare(DataNodes(values["data"], values["modality"]), tmp_path / "prepared")
