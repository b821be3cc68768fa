import io
import os
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from genai.core.cache import cache_key
from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.image_folder import ImageFolder
from genai.media.picture import Picture
from genai.modalities.image import Image


def photo(seed: int, size: tuple[int, int] = (24, 16)) -> Pillow.Image:
    """A picture with something of its own in each corner."""
    corners = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Pillow.fromarray(corners).resize(size, Pillow.Resampling.BICUBIC)


def put(path: Path, seed: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(seed).save(path, **options)
    return path


def prompts(source: ImageFolder) -> list[str]:
    return sorted(example.prompt for split in (source.train, source.val) for example in split)


def pixels(split: Split) -> list[bytes]:
    return [example.media.pixels.tobytes() for example in split]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures that can be used: what a test adds comes on top."""
    put(tmp_path / "good" / "one.png", 1)
    put(tmp_path / "good" / "two.png", 2)
    return tmp_path / "good"


# ------------------------------------------------------------------------------------------------------- captions


def test_a_caption_has_the_name_of_its_picture(folder: Path) -> None:
    (folder / "one.txt").write_text("A red\r\ncircle, \n")
    (folder / "two.caption").write_bytes("\ufeffüber".encode())
    put(folder / "three.webp", 3)
    (folder / "three.txt").write_bytes("blå".encode("utf-16"))
    source = ImageFolder(str(folder))
    assert prompts(source) == ["A red circle,", "blå", "über"]
    assert source.skipped == ()


@pytest.mark.parametrize("column", ["text", "caption", "prompt"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_in_the_folder_has_captions(folder: Path, column: str, kind: str) -> None:
    put(folder / "deep" / "e\u0301.png", 3)  # as macOS spells é
    if kind == "csv":
        table = f'file_name,{column}\none.png,"red, and\nround"\ndeep/\u00e9.png,blue\ngone.png,x\n'
    else:
        table = (
            f'{{"file_name": "one.png", "{column}": "red, and\\nround"}}\n\n{{"file_name": "deep/\\u00e9.png", '
            f'"{column}": "blue"}}\nno json\n{{"file_name": "two.png", "{column}": 5}}\n[]\n{{"file_name": "gone.png", '
            f'"{column}": "x"}}\n'
        )
    (folder / f"metadata.{kind}").write_text(table)
    source = ImageFolder(str(folder))
    assert prompts(source) == ["", "blue", "red, and round"]
    assert source.skipped[-1].endswith("names 'gone.png', which does not exist.")
    assert len(source.skipped) == (1 if kind == "csv" else 4)
    assert all(f"metadata.{kind}:" in line for line in source.skipped)


def test_a_table_belongs_to_its_own_folder_and_a_file_beside_the_picture_wins(folder: Path) -> None:
    for name in ("a", "b"):
        put(folder / name / "x.png", ord(name))
        (folder / name / "metadata.csv").write_text(f"file_name,text\nx.png,of {name}\n")
    (folder / "b" / "x.txt").write_text("its own")
    assert prompts(ImageFolder(str(folder))) == ["", "", "its own", "of a"]


def test_a_sub_folder_is_a_prompt_where_nothing_else_is(folder: Path) -> None:
    put(folder / "maple_tree" / "1.jpg", 3)
    put(folder / "animals" / "große Katze" / "1.jpg", 4)
    assert prompts(ImageFolder(str(folder))) == ["", "", "große Katze", "maple tree"]


def test_a_default_caption_is_for_pictures_that_have_none(folder: Path) -> None:
    (folder / "one.txt").write_text("a zwx dog on grass")
    put(folder / "my_cat" / "1.jpg", 3)
    source = ImageFolder(str(folder), default_caption=" zwx   dog ")
    assert prompts(source) == ["a zwx dog on grass", "my cat", "zwx dog"]
    assert "1 from data.default_caption" in source.layout_note
    assert source.val.content_hash != ImageFolder(str(folder), default_caption="zwx").val.content_hash


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("one.txt", "naïve".encode("latin-1"), "one.txt is not UTF-8"),
        ("one.txt", b"\xff\xfe\x00", "one.txt is not UTF-8"),
        ("alone.txt", b"hello", "alone.txt is a caption without a picture"),
        ("metadata.csv", b"file_name,size\none.png,5\n", "has the columns file_name, size: name one of them caption."),
        ("metadata.csv", b"file_name,text\none.png\n", "metadata.csv:2 needs file_name"),
        ("metadata.csv", b"file_name,text\n../../../etc/passwd,x\n", "metadata.csv:2 names '../../../etc/passwd'"),
        ("metadata.csv", b"file_name,text\none.png," + b"x" * 200_000, "metadata.csv:2 cannot be read"),
        ("metadata.jsonl", "é".encode("latin-1"), "metadata.jsonl is not UTF-8"),
        ("metadata.jsonl", b"[" * 100_000, "metadata.jsonl:1 needs"),
        ("metadata.jsonl", b'{"file_name": "a\\ud800\\u0000", "text": "b"}', "metadata.jsonl:1 names"),
    ],
)
def test_a_caption_that_cannot_be_used_is_said(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    source = ImageFolder(str(folder))
    assert prompts(source) == ["", ""]
    assert len(source.skipped) == 1 and message in source.skipped[0]


# ------------------------------------------------------------------------------------------------- kinds of files


def rotated_by_exif(path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    photo(3).save(path.with_suffix(".jpg"), exif=exif)


def animated(path: Path) -> None:
    frames = [photo(seed).convert("P", palette=Pillow.Palette.ADAPTIVE) for seed in (3, 4, 5)]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])


KINDS: dict[str, Callable[[Path], object]] = {
    "EXIF": rotated_by_exif,
    "16 bit": lambda path: Pillow.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100).save(path),
    "palette": lambda path: photo(3).convert("P").save(path),
    "CMYK": lambda path: photo(3).convert("CMYK").save(path.with_suffix(".JPG")),
    "LA": lambda path: photo(3).convert("LA").save(path),
    "1x1": lambda path: Pillow.new("RGB", (1, 1), "red").save(path),
    "5000x1": lambda path: photo(3, (5000, 1)).save(path),
    "GIF": animated,
    "JPEG by another name": lambda path: photo(3).save(path, "jpeg"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_any_kind_is_read(folder: Path, kind: str, resize: Any, tmp_path: Path) -> None:
    KINDS[kind](folder / "new.png")
    source = ImageFolder(str(folder))
    assert source.skipped == ()
    assert len(source.train) + len(source.val) == 3
    packed = Image(8, resize=resize).pack(source.train, tmp_path / "cache")
    assert packed.pixels.shape == (2, 3, 8, 8)
    media = [example.media for split in (source.train, source.val) for example in split]
    assert kind != "EXIF" or sum(m.pixels.shape == (24, 16, 3) for m in media) == 1
    first = photo(3).convert("P", palette=Pillow.Palette.ADAPTIVE).convert("RGB")
    assert kind != "GIF" or any(m.pixels.tobytes() == np.asarray(first).tobytes() for m in media)


def png(size: int = 200) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def enormous() -> bytes:
    """A PNG of 17,000 x 10,000 pixels, all black, in half a megabyte."""
    header = struct.pack(">IIBBBBB", 17_000, 10_000, 8, 2, 0, 0, 0)
    zeros = zlib.compressobj()
    body = b"".join(zeros.compress(bytes(51_001)) for _ in range(10_000)) + zeros.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "truncated": (lambda: png()[:-5000], "runcated"),
    "empty": (lambda: b"", "is an empty file"),
    "text by another name": (lambda: b"hello", "is not an image"),
    "corrupt": (lambda: png()[:5000] + b"corrupt" + png()[5007:], ""),
    "header alone": (lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)), ""),
    "enormous": (enormous, "17000 x 10000 pixels, more than 100,000,000"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_passed_over_by_name(folder: Path, kind: str) -> None:
    make, message = BAD[kind]
    (folder / "bad.png").write_bytes(make())
    (folder / "bad.txt").write_text("a caption")
    began = time.perf_counter()
    tracemalloc.start()
    source = ImageFolder(str(folder))
    assert prompts(source) == ["", ""]
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
    assert time.perf_counter() - began < 1
    (line,) = source.skipped
    assert f"{folder / 'bad.png'}" in line and message in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said_and_read_once_it_may_be(folder: Path) -> None:
    put(folder / "three.png", 3).chmod(0)
    source = ImageFolder(str(folder))
    assert len(source.train) == 1 and "three.png: Permission denied" in source.skipped[0]
    (folder / "three.png").chmod(0o600)
    assert len(ImageFolder(str(folder)).train) == 2


def test_mutated_files_crash_nothing(folder: Path) -> None:
    draw = random.Random(0)
    for number in range(300):
        kind = ("png", "jpeg")[number % 2]
        file = io.BytesIO()
        photo(number).save(file, kind)
        content = bytearray(file.getvalue())
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (folder / f"{number}.{kind}").write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
    source = ImageFolder(str(folder))
    assert len(source.train) + len(source.val) + len(source.skipped) == 302
    assert len(source.skipped) > 50
    assert len(list(source.train)) == len(source.train)  # files that pass the inspection can be packed


def test_names_that_are_no_text(folder: Path) -> None:
    for name in (b"\xff\xfe.png", b"caf\xe9.png"):
        (folder / os.fsdecode(name)).write_bytes((folder / "one.png").read_bytes() if name < b"d" else b"bad")
    source = ImageFolder(str(folder))
    assert prompts(source) == ["", "", ""]
    assert [line.encode() for line in source.skipped]


def test_what_is_hidden_is_left_out(folder: Path) -> None:
    for number, name in enumerate(("._one.png", ".thumbs/a.png", "sub/.b.png")):
        put(folder / name, 10 + number)
    assert len(prompts(ImageFolder(str(folder)))) == 2


# ------------------------------------------------------------------------------------------------- which and where


@pytest.mark.parametrize(
    ("path", "count"), [("", 5), ("*.png", 2), ("**/*.jpg", 3), ("sub/*", 3), ("**/sub/**/*.jpg", 3)]
)
def test_a_folder_or_a_glob(folder: Path, path: str, count: int) -> None:
    for number in range(3):
        put(folder / "sub" / f"{number}.jpg", 10 + number)
        (folder / "sub" / f"{number}.txt").write_text(f"number {number}")
    source = ImageFolder(str(folder / path))
    assert len(prompts(source)) == count
    assert source.skipped == ()
    assert count == 2 or prompts(source)[-3:] == ["number 0", "number 1", "number 2"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "there is no such folder"),
        ("empty", "no pictures. Looked for .avif"),
        ("empty/notes.txt", "no pictures. Looked for .avif"),
        ("good/one.png", "two different pictures are needed"),
        ("bad", "two different pictures are needed.*x.png is an empty file"),
    ],
)
def test_where_there_are_no_pictures_the_path_is_named(folder: Path, path: str, message: str) -> None:
    root = folder.parent
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").touch()
    put(root / "bad" / "y.png", 1)
    (root / "bad" / "z.png").write_bytes((root / "bad" / "y.png").read_bytes())
    (root / "bad" / "x.png").touch()
    with pytest.raises(UserError, match=message) as caught:
        _ = ImageFolder(str(root / path)).train
    assert f"data.path={root / path}" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.path= is empty"):
        _ = ImageFolder("").train


# -------------------------------------------------------------------------------------------------------- division


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.9])
def test_pictures_that_are_alike_are_on_one_side(tmp_path: Path, fraction: float) -> None:
    """Each of twelve is there three times: as it is, as JPEG, smaller; with captions of its own."""
    for number in range(12):
        original = photo(number, (96, 64))
        original.save(tmp_path / f"{number}.png")
        original.resize((300, 200)).save(tmp_path / f"{number} large.jpg", quality=60)
        original.resize((48, 32)).save(tmp_path / f"{number} small.webp", lossless=True)
        for name in (f"{number}", f"{number} large", f"{number} small"):
            (tmp_path / f"{name}.txt").write_text(f"picture {number}")
    source = ImageFolder(str(tmp_path), fraction)
    train, val = ([example.prompt for example in split] for split in (source.train, source.val))
    assert not set(train) & set(val)
    assert train and val and len(train) + len(val) == 36
    assert abs(len(val) - fraction * 36) <= 3


def test_the_split_depends_on_content_not_on_names(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / "forth" / f"{number:02}.png", number)
        put(tmp_path / "back" / f"{99 - number}.png", number)
    forth, back = (ImageFolder(str(tmp_path / name), 0.3) for name in ("forth", "back"))
    assert set(pixels(forth.val)) == set(pixels(back.val))
    assert len(forth.val) == 6


def test_where_all_look_alike_equal_files_stay_together_and_it_is_said(tmp_path: Path) -> None:
    for number in range(10):
        Pillow.new("RGB", (8, 8), (number // 2, 0, 0)).save(tmp_path / f"{number}.png")
    source = ImageFolder(str(tmp_path), 0.2)
    assert not set(pixels(source.train)) & set(pixels(source.val))
    assert "all look alike" in source.description


# ---------------------------------------------------------------------------------------------------- second start


def start(folder: Path, cache: Path) -> tuple[ImageFolder, Any]:
    source, image = ImageFolder(str(folder), 0.3), Image(8)
    image.fit(source.train, cache)
    packed = image.pack(source.train, cache), image.pack(source.val, cache)
    return source, (packed[0].path, packed[1].path, image.preview().prompts(source.val), source.skipped)


def test_the_second_start_reads_no_picture(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        put(folder / f"{number}.png", 10 + number)
        (folder / f"{number}.txt").write_text(f"{number}")
    (folder / "bad.png").write_bytes(png()[:-5000])
    _, before = start(folder, tmp_path / "cache")
    read_files: list[Path] = []
    read = Picture.read

    def recording_read(path: Path, short_side: int | None = None) -> Picture:
        read_files.append(path)
        return read(path, short_side)

    monkeypatch.setattr(Picture, "read", recording_read)
    _, reloaded = start(folder, tmp_path / "cache")
    assert reloaded == before
    assert read_files == []
    os.utime(folder / "bad.png", (1, 1))
    put(folder / "new.png", 99)
    _ = ImageFolder(str(folder)).train
    assert sorted(path.name for path in read_files) == ["bad.png", "new.png"]


def test_fingerprints_follow_content_and_captions(folder: Path) -> None:
    def hashes() -> set[str]:
        source = ImageFolder(str(folder))
        return {source.train.content_hash, source.val.content_hash}

    first = hashes()
    (folder / "one.png").rename(folder / "another name.png")
    assert hashes() == first
    (folder / "two.txt").write_text("a caption")
    second = hashes()
    assert len(second - first) == 1
    put(folder / "two.png", 7)
    assert len(hashes() - second) >= 1


def test_a_damaged_index_is_made_anew(folder: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = ImageFolder(str(folder)).train.content_hash
    index = cache / f"{cache_key('pictures', 4, str(folder))}.sqlite"
    index.write_bytes(index.read_bytes()[:-20])
    assert ImageFolder(str(folder)).train.content_hash == before
    assert f"{index.name} is damaged; it is made again." in capfd.readouterr().err
