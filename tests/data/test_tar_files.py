"""Tar files in the layout of WebDataset."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from genai.core.data import Example
from genai.core.errors import UserError
from genai.data.media_readers import DocumentReader, ImageReader, SoundReader
from genai.data.tar_files import TarFiles
from genai.media.picture import Picture

WHITE = Picture.from_pil(__import__("PIL.Image", fromlist=["new"]).new("RGB", (4, 4), "white")).to_bytes()


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read(source: TarFiles) -> tuple[list[Example], list[str]]:
    results = [each for part in source.partitions() for split in part.read.values() for each in split()]
    errors = [str(each) for each in results if isinstance(each, UserError)]
    return [each for each in results if isinstance(each, Example)], errors


def test_captions_are_those_of_the_same_name(tmp_path: Path) -> None:
    files = {
        "a/0.json": b'{"caption": "from a  field"}',
        "a/0.png": WHITE,
        "a/1.png": WHITE,
        "a/1.txt": b"red\n circle",
        "a/2.seg.png": WHITE,  # of another kind
        "a/2.jpg": Picture.read(write_picture(tmp_path)).to_bytes(".jpg"),
        "a/2.cls": b"7",
        "b/2.png": WHITE,
    }
    examples, errors = read(TarFiles(str(write_tar(tmp_path / "x.tar", files)), ImageReader(4)))
    assert sorted(example.prompt for example in examples) == ["", "7", "from a field", "red circle"] and not errors


def write_picture(folder: Path) -> Path:
    (folder / "white.png").write_bytes(WHITE)
    return folder / "white.png"


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    files = {"0.txt": b"no picture", "1.png": b"no png", "2.png": WHITE}
    path = write_tar(tmp_path / "x.tar", files)
    examples, errors = read(TarFiles(str(path), ImageReader()))
    assert len(examples) == 1 and len(errors) == 2
    assert f"{path}, 0: it has no file of the known types of pictures." in errors
    assert any(f"{path}, 1" in error and "genai-media" not in error for error in errors)


def test_a_file_that_is_cut_off_ends_with_an_error(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{number}.png": WHITE for number in range(20)})
    path.write_bytes(path.read_bytes()[:7000])
    examples, errors = read(TarFiles(str(path), ImageReader()))
    assert examples and errors[-1].startswith(f"{path} cannot be read further")


def test_links_and_compressed_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read(TarFiles(str(path), ImageReader())) == ([], [])
    write_tar(path, {"0.png": WHITE}, "w:gz")
    examples, errors = read(TarFiles(str(path), ImageReader()))
    assert not examples and "cannot be read further" in errors[0]


def test_compressed_files_of_a_folder_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar.gz", {"0.png": WHITE}, "w:gz")
    with pytest.raises(UserError, match=r"no tar file in this folder.*0.tar.gz is compressed"):
        TarFiles(str(tmp_path), ImageReader()).partitions()
    write_tar(tmp_path / "1.tar", {"0.png": WHITE})
    (tmp_path / "index.gz").write_bytes(b"x")
    examples, errors = read(TarFiles(str(tmp_path), ImageReader()))
    assert len(examples) == 1 and errors == [
        f"{tmp_path / '0.tar.gz'} is compressed, so it is not read: unpack it to a .tar file."
    ]


def test_splits_do_not_depend_on_the_file(tmp_path: Path, pictures: Path) -> None:
    files = {f"{file.stem}.png": file.read_bytes() for file in pictures.rglob("*.png")}
    one = TarFiles(str(write_tar(tmp_path / "one.tar", files)), ImageReader(), 0.5)
    other = dict(reversed(files.items()))
    two = TarFiles(str(write_tar(tmp_path / "two.tar", other)), ImageReader(), 0.5)
    for split in ("train", "val"):
        contents = [
            {example.media.pixels.tobytes() for example in source.partitions()[0].read[split]()}  # type: ignore[union-attr]
            for source in (one, two)
        ]
        assert contents[0] == contents[1] and contents[0]


def test_sounds_and_texts(tmp_path: Path, sounds: Path) -> None:
    files = {f"{file.stem}.{file.suffix[1:]}": file.read_bytes() for file in sounds.rglob("*.*")}
    examples, errors = read(TarFiles(str(write_tar(tmp_path / "s.tar", files)), SoundReader(4000)))
    assert len(examples) == 12 and {example.media.sample_rate for example in examples} == {4000} and not errors
    path = write_tar(tmp_path / "t.tar", {"0.txt": b"one", "1.txt": b"two"})
    examples, _ = read(TarFiles(str(path), DocumentReader()))
    assert sorted(str(example.media) for example in examples) == ["one", "two"]
    assert {example.prompt for example in examples} == {""}


@pytest.mark.peers
def test_files_of_webdataset_are_read_as_it_reads_them(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "x.tar")) as writer:
        for number in range(5):
            writer.write({"__key__": f"k/{number:03d}", "png": WHITE, "txt": f"white {number}"})
    examples, _ = read(TarFiles(str(tmp_path / "x.tar"), ImageReader()))
    theirs = webdataset.WebDataset(str(tmp_path / "x.tar"), shardshuffle=False).decode("pilrgb").to_tuple("txt")
    assert sorted(example.prompt for example in examples) == sorted(text for (text,) in theirs)


def test_files_of_one_name_are_different_parts(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_tar(tmp_path / folder / "0.tar", {"0.png": WHITE})
        os.utime(tmp_path / folder / "0.tar", (0, 0))
    first, second = TarFiles(str(tmp_path), ImageReader()).partitions()
    assert first.stamp != second.stamp


def test_members_that_are_larger_than_their_file_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(300_000_000)
    subprocess.run(["tar", "--sparse", "-cf", "x.tar", "big.png"], cwd=tmp_path, check=True)
    assert (tmp_path / "x.tar").stat().st_size < 100_000
    assert read(TarFiles(str(tmp_path / "x.tar"), ImageReader())) == ([], [])
