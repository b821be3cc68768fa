"""Pictures in and out."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.modalities.image import Image, ImageOptions


def picture(height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> Picture:
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_encode_and_decode_are_inverse(channels: Any) -> None:
    image, original = Image(8, channels), picture(channels=channels)
    assert np.array_equal(image.decode(image.encode(original)).pixels, original.pixels)


@pytest.mark.parametrize("shape", [(1, 1), (5, 50), (300, 7), (64, 64)])
def test_encode_resizes_to_the_model_size(shape: tuple[int, int]) -> None:
    for channels in (1, 3):
        assert Image(16).encode(picture(*shape, channels)).shape == (3, 16, 16)
        assert Image(16, 1).encode(picture(*shape, channels)).shape == (1, 16, 16)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (30, 40)])
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_any_shape_is_resized_to_a_square(shape: tuple[int, int], resize: Any) -> None:
    assert Image(16, resize=resize).encode(picture(*shape)).shape == (3, 16, 16)


def test_crop_pad_and_stretch_of_a_wide_picture() -> None:
    """It is black at both ends and gray in the middle."""
    pixels = np.zeros((8, 24, 1), np.uint8)
    pixels[:, 8:16] = 128
    rows = {kind: Image(24, 1, resize=kind).encode(Picture(pixels))[0] for kind in ("crop", "pad", "stretch")}
    assert (rows["crop"][:, 8:16] == 128).all() and (rows["crop"] > 80).all()
    assert (rows["pad"][8:16] == torch.from_numpy(pixels[..., 0])).all()
    assert (rows["pad"][[0, 7, 16, 23]] == 255).all()
    assert (rows["stretch"][:, 2] == 0).all() and (rows["stretch"][:, 12] == 128).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (30, 40), (40, 30), (16, 8), (8, 16)])
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_any_shape_is_resized_to_height_by_width(shape: tuple[int, int], resize: Any) -> None:
    image = Image([8, 16], resize=resize)
    x = image.encode(picture(*shape))
    assert image.shape == x.shape == (3, 8, 16)
    assert image.decode(x).pixels.shape == (8, 16, 3)
    assert shape != (8, 16) or torch.equal(x, image.encode(image.decode(x)))


def test_crop_pad_and_stretch_to_a_rectangle() -> None:
    """It is black at the left, gray in the middle, light at the right."""
    pixels = np.repeat(np.array([0, 128, 200], np.uint8), 8)[None, :, None].repeat(12, 0)

    def encoded(size: list[int], resize: Any) -> Any:
        return Image(size, 1, resize=resize).encode(Picture(pixels))[0].numpy()

    assert np.array_equal(encoded([12, 8], "crop"), pixels[:, 8:16, 0])  # what is higher loses both ends
    assert np.array_equal(encoded([6, 24], "crop"), pixels[3:9, :, 0])  # what is lower loses above and below
    high, low = encoded([20, 24], "pad"), encoded([12, 40], "pad")
    assert np.array_equal(high[4:16], pixels[..., 0]) and (high[[0, 3, 16, 19]] == 255).all()
    assert np.array_equal(low[:, 8:32], pixels[..., 0]) and (low[:, [0, 7, 32, 39]] == 255).all()
    assert (encoded([24, 24], "stretch")[:, [2, 12, 21]] == [0, 128, 200]).all()


def test_png_keeps_every_bit(tmp_path: Path) -> None:
    for channels in (1, 3):
        original = picture(channels=channels)
        (tmp_path / "x.png").write_bytes(original.to_bytes())
        assert np.array_equal(Picture.read(tmp_path / "x.png").pixels, original.pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_any_mode_is_read(mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{'tif' if mode in ('CMYK', 'YCbCr', 'F', 'I') else 'png'}"
    Pillow.new(mode, (5, 4)).save(path)
    read = Picture.read(path).pixels
    assert read.shape[:2] == (4, 5)
    assert read.dtype == np.uint8


def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    Pillow.fromarray(values).save(tmp_path / "x.png")
    read = Picture.read(tmp_path / "x.png").pixels[..., 0]
    assert np.abs(read.astype(float) - values / 257).max() <= 1
    Pillow.fromarray(np.full((2, 2), 200, np.uint16)).save(tmp_path / "x.png")
    assert (Picture.read(tmp_path / "x.png").pixels == 1).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Pillow.new("RGB", (6, 3))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert Picture.read(tmp_path / "x.jpg").pixels.shape == (6, 3, 3)


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    Pillow.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert (Picture.read(tmp_path / "x.png").pixels == 255).all()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_an_invalid_image_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.png"):
        Picture.read(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"nothing\.png"):
        Picture.read(tmp_path / "nothing.png")


def test_too_large_images_are_rejected_before_decoding(tmp_path: Path) -> None:
    file = io.BytesIO()
    Pillow.new("1", (13_000, 13_000)).save(file, "png")
    (tmp_path / "x.png").write_bytes(file.getvalue())
    with pytest.raises(UserError, match=r"13000 x 13000|more than 100,000,000"):
        Picture.read(tmp_path / "x.png")


def test_pack_keeps_pictures_and_prompts_and_flips_half(tmp_path: Path) -> None:
    pictures = [picture(seed=seed) for seed in range(40)]
    split = Split("train", 40, lambda index: Example(pictures[index], f"number {index}"), "abc")
    packed = pickle.loads(pickle.dumps(Image(8, flip=True).pack(split, tmp_path)))
    assert len(packed) == 40
    plain = packed.batch([3, 1], None)
    assert plain.prompts == ["number 3", "number 1"]
    assert np.array_equal(plain.x[0].permute(1, 2, 0).numpy(), pictures[3].pixels)
    indices = list(range(40))
    flipped = packed.batch(indices, ItemRandom(0, [0] * 40, indices)).x
    unflipped = packed.batch(indices, None).x
    num_same = sum(torch.equal(a, b) for a, b in zip(flipped, unflipped, strict=True))
    num_flipped = sum(torch.equal(a.flip(-1), b) for a, b in zip(flipped, unflipped, strict=True))
    assert num_same + num_flipped == 40
    assert 8 < num_same < 32


def test_fit_computes_mean_and_std(tmp_path: Path) -> None:
    split = Split("train", 20, lambda index: Example(picture(seed=index), ""), "def")
    image = Image(8)
    image.fit(split, tmp_path)
    restored = Image(8)
    restored.restore(image.state())
    assert abs(restored.mean) < 0.05
    assert restored.std == pytest.approx(1 / 3**0.5, abs=0.02)


def test_fit_reads_a_subset_of_large_data(tmp_path: Path) -> None:
    """256 of 1024, evenly spaced: every fourth."""
    dark, light = Picture(np.zeros((8, 8, 3), np.uint8)), Picture(np.full((8, 8, 3), 255, np.uint8))
    split = Split("train", 1024, lambda index: Example(light if index % 4 == 0 else dark), "ghi")
    image = Image(8)
    image.fit(split, tmp_path)
    assert (image.mean, image.std) == (1.0, 0.05)


def test_postscript_is_not_run(tmp_path: Path) -> None:
    Pillow.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png is PostScript"):
        Picture.read(tmp_path / "x.png")


def test_a_mask_needs_an_image(tmp_path: Path) -> None:
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[:4] = 255
    (tmp_path / "mask.png").write_bytes(Picture(mask).to_bytes())
    options = ImageOptions(mask=str(tmp_path / "mask.png"))
    with pytest.raises(UserError, match="give init="):
        Image(8).request(["a"], [0], None, options)
    image_request = Image(8).request(["a"], [0], picture(), options)
    assert image_request.init_mask is not None
    assert not image_request.init_mask[0][:, :4].any()
    assert image_request.init_mask[0][:, 4:].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_outpainting_keeps_the_picture_unchanged(channels: Any) -> None:
    original = picture(8, 4, channels)
    image_request = Image(8, channels).request(["a", "b"], [0, 1], original, ImageOptions(outpaint="left"))
    assert image_request.init is not None and image_request.init_mask is not None
    assert np.array_equal(image_request.init[1][:, :, 4:].permute(1, 2, 0).numpy(), original.pixels)
    assert image_request.init_mask[1][:, :, 4:].all() and not image_request.init_mask[1][:, :, :4].any()
    assert image_request.init_mask[1].shape == image_request.init[1].shape == (channels, 8, 8)


def test_outpainting_needs_an_image_and_no_mask() -> None:
    with pytest.raises(UserError, match=r"outpaint= .* give init= as well"):
        Image(8).request(["a"], [0], None, ImageOptions(outpaint="right"))
    with pytest.raises(UserError, match="mask= and outpaint="):
        Image(8).request(["a"], [0], picture(), ImageOptions(outpaint="right", mask="mask.png"))


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_a_mask_follows_its_picture(resize: Any, tmp_path: Path) -> None:
    """White areas lie where they lie in the picture, whatever the sizes of both are."""
    square = np.zeros((100, 100, 1), np.uint8)
    square[:, :25] = 255  # the left quarter, also of a wide picture, of which a part is cut off
    (tmp_path / "mask.png").write_bytes(Picture(square).to_bytes())
    wide = picture(40, 80)
    image = Image(8, resize=resize)
    request = image.request(["a"], [0], wide, ImageOptions(mask=str(tmp_path / "mask.png")))
    stretched = np.repeat(square[:40], 1, 0)[:, :80] * 0
    stretched[:, :20] = 255
    (tmp_path / "same.png").write_bytes(Picture(stretched).to_bytes())
    expected = image.request(["a"], [0], wide, ImageOptions(mask=str(tmp_path / "same.png")))
    assert request.init_mask and expected.init_mask and request.init_mask[0].equal(expected.init_mask[0])
    assert request.init_mask[0].all() == (resize == "crop")  # the left quarter is cut off
    assert image.request_notes(wide, ImageOptions(mask=str(tmp_path / "mask.png")))[1] == (
        "mask= of 100 x 100 pixels is stretched to the 80 x 40 pixels of init="
    )


def test_a_mask_with_transparent_areas_is_refused(tmp_path: Path) -> None:
    Pillow.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match="has transparent areas"):
        Image(8).request(["a"], [0], picture(), ImageOptions(mask=str(tmp_path / "mask.png")))
    Pillow.new("RGBA", (8, 8), (255, 255, 255, 255)).save(tmp_path / "mask.png")
    assert Image(8).request(["a"], [0], picture(), ImageOptions(mask=str(tmp_path / "mask.png"))).init_mask


@pytest.mark.parametrize(
    ("size", "resize", "note"),
    [
        ((8, 8), "crop", []),
        ((16, 16), "crop", ["init= of 16 x 16 pixels is resized to 8 x 8 pixels"]),
        ((16, 12), "crop", ["init= of 12 x 16 pixels is cut to its middle part and resized to 8 x 8 pixels"]),
        ((16, 12), "pad", ["init= of 12 x 16 pixels is padded with white and resized to 8 x 8 pixels"]),
        ((16, 12), "stretch", ["init= of 12 x 16 pixels is stretched and resized to 8 x 8 pixels"]),
    ],
)
def test_how_a_picture_is_fitted_is_said(size: tuple[int, int], resize: Any, note: list[str]) -> None:
    assert Image(8, resize=resize).request_notes(picture(*size), ImageOptions()) == note


def test_padding_of_a_masked_picture_is_kept(tmp_path: Path) -> None:
    Pillow.new("L", (40, 20), "black").save(tmp_path / "mask.png")
    image = Image(8, resize="pad")
    request = image.request(["a"], [0], picture(20, 40), ImageOptions(mask=str(tmp_path / "mask.png")))
    assert request.init_mask is not None and request.init_mask[0].all()
