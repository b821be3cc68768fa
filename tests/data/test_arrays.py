import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.data import numpy_files
from genai.data.arrays import ClipArrays, PictureArrays
from genai.media.clip import Clip
from genai.media.picture import Picture

RNG = np.random.default_rng(0)
CLIPS = RNG.integers(0, 256, (20, 6, 8, 10), np.uint8)
PICTURES = RNG.integers(0, 256, (20, 8, 10, 3), np.uint8)


def npz(folder: Path, **arrays: Any) -> str:
    np.savez_compressed(folder / "some.npz", **arrays)
    return str(folder / "some.npz")


def test_divided_clips_with_captions(arrays: Path) -> None:
    source = ClipArrays(str(arrays), "train_clips", "train_captions", "test_clips", "test_captions", fps=15)
    assert (len(source.train), len(source.val)) == (10, 4)
    example = source.val[2]
    assert example.prompt == source.val.prompt(2) == "digit 2" and isinstance(example.media, Clip)
    assert example.media.fps == 15 and example.media.frames.dtype == np.uint8
    assert np.array_equal(example.media.frames[..., 0], np.load(arrays / "test_clips.npy")[2])
    assert source.description == f"{arrays}: 10 clips to train on, 4 held out, 10 different prompts"


def test_clips_of_different_lengths_behind_each_other(arrays: Path) -> None:
    source = ClipArrays(str(arrays), "frames", "words", val_fraction=0.3, starts="start", lengths="length")
    assert (len(source.train), len(source.val)) == (3, 1)
    lengths = {example.prompt: len(example.media.frames) for split in (source.train, source.val) for example in split}
    assert lengths == {"again": 20, "bird": 25, "book": 35, "yes": 20}


def test_a_file_of_its_own_names_itself_and_its_neighbors_its_captions(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", PICTURES)
    np.save(tmp_path / "y.npy", np.arange(20) % 10)
    source = PictureArrays(str(tmp_path / "x.npy"), captions="y")
    by_prompt = [example for split in (source.train, source.val) for example in split if example.prompt == "7"]
    assert len(by_prompt) == 2 and isinstance(by_prompt[0].media, Picture)
    assert len(source.train) == 18 and any(np.array_equal(by_prompt[0].media.pixels, PICTURES[i]) for i in (7, 17))


@pytest.mark.parametrize(
    "array",
    [
        CLIPS[..., None],
        CLIPS[:, :, None],
        np.asfortranarray(CLIPS),
        CLIPS.astype(np.int64),
        CLIPS.astype(np.float32),
        CLIPS / 255,
    ],
    ids=["channels behind", "channels before", "other order", "int64", "floats of 255", "floats of 1"],
)
def test_layouts_and_types_that_mean_the_same(array: np.ndarray, tmp_path: Path) -> None:
    plain = ClipArrays(npz(tmp_path, clips=CLIPS))
    np.save(tmp_path / "clips.npy", array)
    other = ClipArrays(str(tmp_path / "clips.npy"))
    assert other.val[0].media.frames.shape == (6, 8, 10, 1)
    assert np.array_equal(other.val[0].media.frames, plain.val[0].media.frames)
    assert (other.train.content_hash, other.val.content_hash) == (plain.train.content_hash, plain.val.content_hash)


def test_the_layout_of_moving_mnist(tmp_path: Path) -> None:
    plain, swapped = ClipArrays(npz(tmp_path, a=CLIPS)).train.content_hash, CLIPS.swapaxes(0, 1)
    assert ClipArrays(npz(tmp_path, a=swapped), frames_first=True).train.content_hash == plain
    assert ClipArrays(npz(tmp_path, a=CLIPS), fps=9).train.content_hash != plain


def test_equal_things_are_on_one_side(tmp_path: Path) -> None:
    source = ClipArrays(npz(tmp_path, clips=np.concatenate([CLIPS[:4]] * 5)), val_fraction=0.25)
    assert (len(source.train), len(source.val)) == (15, 5)
    source = ClipArrays(npz(tmp_path, a=CLIPS, b=CLIPS[:5]), "a", val_array="b")
    assert (len(source.train), len(source.val)) == (15, 5)
    assert source.skipped == ("5 of the clips are also in the validation data: they are not trained on.",)


def test_pictures_are_not_taken_for_clips_nor_clips_for_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"one of the clips has the shape \(8, 10, 3\)\. .*\(time, height, width\)"):
        _ = ClipArrays(npz(tmp_path, a=PICTURES)).train
    with pytest.raises(UserError, match=r"one of the pictures has the shape \(6, 8, 10\)\. .*\(height, width\)"):
        _ = PictureArrays(npz(tmp_path, a=CLIPS)).train


class Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("something was unpickled",)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([Dangerous()] * 20, object), "holds Python objects, which are not read"),
        (np.full((20, 8, 8), np.nan), "values that are not finite"),
        (CLIPS[..., 0] * 2.0, r"values from 0 to 5\d\d: pixels are in 0\.\.255"),
        (CLIPS[..., 0] - 300.0, r"values from -300 to "),
        (CLIPS[..., 0].astype(complex), "the type complex128 and the shape"),
        (np.arange(5), r"the shape \(5,\): these are not pixels"),
        (np.uint8(5), r"the shape \(\): these are not pixels"),
        (np.zeros((1, 8, 8), np.uint8), "two different pictures are needed"),
    ],
)
def test_what_is_no_pixels_is_said_by_name(suffix: str, array: Any, message: str, tmp_path: Path) -> None:
    path = npz(tmp_path, them=array) if suffix == ".npz" else str(tmp_path / "them.npy")
    np.save(tmp_path / "them.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        _ = PictureArrays(path).train


def test_damaged_files_and_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path(npz(tmp_path, a=PICTURES)).read_bytes()
    for name, content in (("x.npz", whole[:-200]), ("y.npz", b"PK"), ("z.npy", b"\x93NUMPY\x01\x00"), ("e.npy", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name[0]}.* cannot be read: "):
            _ = PictureArrays(str(tmp_path / name)).train
    np.save(tmp_path / "cut.npy", PICTURES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-100])
    with pytest.raises(UserError, match=r"'cut' in .* cannot be read"):
        _ = PictureArrays(str(tmp_path / "cut.npy")).train
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 32, 32)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("a.npy", head.getvalue())
    with pytest.raises(UserError, match=r"'a' in .* has 1048576 GiB, more than 8"):
        _ = PictureArrays(str(tmp_path / "bomb.npz")).train
    monkeypatch.setattr(numpy_files, "MAX_ARRAY_BYTES", 100)
    with pytest.raises(UserError, match=r"save it as an .npy"):
        _ = PictureArrays(npz(tmp_path, a=PICTURES)).train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"data\.array= is missing: which of 'clips', 'words', 'from', 'long'"),
        ({"array": "clip"}, r"data\.array='clip': .* no such array\. Did you mean 'clips'\?"),
        ({"array": "clips", "captions": "from"}, r"'from' .* strings or whole numbers are needed, one for each of 20"),
        ({"array": "clips", "val_captions": "words"}, r"goes with data\.val_array"),
        ({"array": "clips", "starts": "from"}, "go together"),
        ({"array": "frames", "starts": "from", "lengths": "long"}, "3 frames from 119 on are not in an array of 120"),
        ({"array": "frames", "starts": "words", "lengths": "long"}, "one-dimensional arrays of whole numbers"),
    ],
)
def test_mistakes(arguments: dict[str, str], message: str, tmp_path: Path) -> None:
    several = {"words": np.array(["a"] * 20), "from": np.array([0, 9, 119]), "long": np.array([9, 9, 3])}
    frames = {"frames": CLIPS.reshape(120, 8, 10)} if arguments else {}
    path = npz(tmp_path, clips=CLIPS, **several, **frames)
    with pytest.raises(UserError, match=message):
        _ = ClipArrays(path, **arguments).train  # type: ignore[arg-type]


def test_paths_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for path, message in (
        ("", "is empty"),
        ("nowhere", "does not exist"),
        (str(tmp_path / "a.txt"), "should be an .npz"),
    ):
        with pytest.raises(UserError, match=message):
            _ = PictureArrays(path).train


def test_other_arrays_are_columns(tmp_path: Path) -> None:
    path = npz(tmp_path, pixels=PICTURES, who=[f"person {i}" for i in range(20)], odd=np.zeros((3, 2)))
    source = PictureArrays(path, "pixels")
    assert source.column_names == ["odd", "who"]
    for split in (source.train, source.val):
        for index, name in enumerate(source.column_values(split, "who")):
            assert np.array_equal(split[index].media.pixels, PICTURES[int(name.split()[1])])
    with pytest.raises(UserError, match=r"'odd' in .* has the shape"):
        source.column_values(source.train, "odd")
    assert PictureArrays(path, "pixels", val_array="pixels").column_names == []
