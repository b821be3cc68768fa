from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genai.core.errors import UserError
from genai.data.image_folder import ImageFolder
from genai.data.personal_filter import PersonalFilter
from genai.data.text import TextFolder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for index in range(8):
        (tmp_path / f"{index}.txt").write_text(f"text {index}\n" + "to anna@example.org\n" * (index < 2))
    return tmp_path


def content(source: TextFolder) -> str:
    return "".join(str(example.media) for split in (source.train, source.val) for example in split)


def test_documents_are_reported_masked_or_left_out(texts: Path) -> None:
    plain, report = TextFolder(str(texts)), TextFolder(str(texts), personal="report")
    assert (report.train.content_hash, report.val.content_hash) == (plain.train.content_hash, plain.val.content_hash)
    assert report.description == f"{plain.description}; personal data (2 mail) in 2 documents"
    assert report.file_notes == ("personal data, mail: such as a***@e***.org",)
    mask, drop = TextFolder(str(texts), personal="mask"), TextFolder(str(texts), personal="drop")
    assert content(mask).count("to [mail]\n") == 2 and "@" not in content(mask)
    assert len(drop.train) + len(drop.val) == 6 and "@" not in content(drop)
    assert len({source.train.content_hash + source.val.content_hash for source in (plain, mask, drop)}) == 3
    assert drop.description.endswith("in 2 documents, left out")


def test_texts_of_which_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("anna@example.org")
    with pytest.raises(UserError, match=r"no usable text. personal data \(1 mail\) in 1 document, left out"):
        _ = TextFolder(str(tmp_path), personal="drop").train


def test_documents_that_are_read_in_parts(texts: Path) -> None:
    stamps = {}
    for mode in (None, "report", "mask", "drop"):
        (part,) = TextFolder(str(texts), personal=mode).partitions()  # type: ignore[arg-type]
        stamps[mode] = part.stamp
        items = [item for split in ("train", "val") for item in part.read[split]()]
        found = "".join(str(item.media) for item in items if not isinstance(item, UserError))
        assert ("@" in found) == (mode in (None, "report"))
        assert sum(isinstance(item, UserError) for item in items) == (2 if mode == "drop" else 0)
    assert stamps[None] == stamps["report"] and len(set(stamps.values())) == 3


def test_captions_are_masked_or_left_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text("by ben@example.org" if index == 0 else f"picture {index}")
    plain, report = ImageFolder(str(tmp_path)), ImageFolder(str(tmp_path), personal="report")
    mask, drop = ImageFolder(str(tmp_path), personal="mask"), ImageFolder(str(tmp_path), personal="drop")
    assert report.train.content_hash == plain.train.content_hash
    assert report.description.endswith("; personal data (1 mail) in 1 caption")
    assert "by [mail]" in [*(mask.train.prompts or ()), *(mask.val.prompts or ())]
    assert len(drop.train) + len(drop.val) == 5 and drop.description.endswith("in 1 caption, left out")
    hashes = {source.train.content_hash + source.val.content_hash for source in (plain, mask, drop)}
    assert len(hashes) == 3


def test_nothing_is_searched_unless_asked() -> None:
    personal = PersonalFilter(None)
    assert personal.apply("anna@example.org") == "anna@example.org"
    assert personal.describe("text") == "" and not list(personal.notes())
    assert PersonalFilter("report").describe("text") == "; no personal data found"
