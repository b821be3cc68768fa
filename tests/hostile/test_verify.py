"""Files of strangers that ``genai verify`` reads: each gets an answer within limits, and none is called verified."""

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.trust.certificates import Signer, read_signer
from genai.trust.embed import add_label
from genai.trust.label import Label
from genai.trust.verify import report, verify_file
from tests.hostile.attempts import NO_FILES, limited, replace
from tests.trust.conftest import make_file

LABEL = Label("Image Diffusion", "1.0", "a" * 64, {"seed": 3})


@pytest.fixture(scope="module")
def signer() -> Signer:
    return read_signer()


@pytest.mark.parametrize("make", NO_FILES)
def test_something_else_in_the_place_of_the_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = replace(tmp_path / "a.png", make)
    with limited():
        status = ""
        with suppress(UserError):
            status = verify_file(path).status
    assert status in ("", "no evidence")


@pytest.mark.parametrize("make", NO_FILES)
def test_something_else_in_the_place_of_the_manifest(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "a.txt").write_text("hi")
    replace(tmp_path / "a.c2pa", make)
    with limited():
        assert verify_file(tmp_path / "a.txt").status in ("no evidence", "tampered")


@pytest.mark.parametrize("name", [".png", ".wav", ".mp4", ".jpg"])
def test_changed_files_are_never_verified_as_what_they_are_not(name: str, tmp_path: Path, signer: Signer) -> None:
    suffix, content = make_file(name)
    good = add_label(content, suffix, LABEL, signer)[suffix]
    draw = random.Random(0)
    for _ in range(60):
        data = bytearray(good)
        start = draw.randrange(len(data))
        data[start : start + draw.randrange(200)] = draw.randbytes(draw.randrange(200))
        (tmp_path / f"x{suffix}").write_bytes(data)
        with limited():
            found = verify_file(tmp_path / f"x{suffix}")
        assert found.status in ("tampered", "no evidence", "unsigned")
        assert report([found], as_json=False).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"<x:xmpmeta" * 3_000_000,
        b"<x:xmpmeta" + b"</x:xmpmeta>" * 1_000_000,
        b'<x:xmpmeta genai:Model="' * 1_000_000,
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 1_000_000,
        b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\xff\xff\xff\x7f" * 100_000,
        b"\0\0\0\x08ftyp" * 200_000,
        b"GIF89a" + b"\x21\xff\x0bXMP DataXMP" * 100_000,
        b"\xff\xd8\xff" + b"\xff\xe1\xff\xff" * 100_000,
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"fLaC" + b"\x04\xff\xff\xff" * 100_000,
    ],
    ids=range(10),
)
def test_bombs(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with limited():
        assert verify_file(tmp_path / "x").status in ("no evidence", "tampered")


def test_claims_are_printed_as_text(tmp_path: Path) -> None:
    claim = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    fields = f'Iptc4xmpExt:DigitalSourceType="{claim}" genai:Model="\x1b[2J&#27;[31m" genai:Recipe="[[[["'
    text = f"<x:xmpmeta {fields}/></x:xmpmeta>"
    (tmp_path / "x.txt").write_text(text)
    found = verify_file(tmp_path / "x.txt")
    assert found.status == "unsigned" and found.recipe == {}
    assert report([found], as_json=False).isprintable() and "\x1b" not in report([found], as_json=True)


def test_a_manifest_of_another_file_does_not_fit(tmp_path: Path, signer: Signer) -> None:
    files = add_label(b"one", ".txt", LABEL, signer)
    (tmp_path / "one.txt").write_bytes(b"one")
    (tmp_path / "one.c2pa").write_bytes(files[".c2pa"])
    assert verify_file(tmp_path / "one.txt").status == "verified"
    (tmp_path / "two.txt").write_bytes(b"two")
    shutil.copy(tmp_path / "one.c2pa", tmp_path / "two.c2pa")
    assert verify_file(tmp_path / "two.txt").status == "tampered"
