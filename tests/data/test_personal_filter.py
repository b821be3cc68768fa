import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genai.core.data import Example
from genai.core.errors import UserError
from genai.core.personal_record import PersonalRecord, join_records
from genai.data.chat import ChatFiles
from genai.data.image_folder import ImageFolder
from genai.data.media_readers import DocumentReader, ImageReader, MediaReader
from genai.data.parquet_media import ParquetMedia
from genai.data.personal_filter import PersonalFilter
from genai.data.preferences import PreferenceFiles
from genai.data.prepared import Prepared
from genai.data.tar_files import TarFiles
from genai.data.text import TextFolder
from genai.inference.data_card import data_card, format_data_card


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
        found = "".join(str(item.media) for item in items if isinstance(item, Example))
        records = [item for item in items if isinstance(item, PersonalRecord)]
        assert [(each.mode, each.num_texts, each.counts) for each in records] == [(mode, 2, {"mail": 2})] * bool(mode)
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


def test_captions_of_which_none_is_left(tmp_path: Path) -> None:
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text("by ben@example.org")
    with pytest.raises(UserError, match=r"one to hold out.* Personal data \(2 mail\) in 2 captions, left out\.$"):
        _ = ImageFolder(str(tmp_path), personal="drop").train


def test_nothing_is_searched_unless_asked() -> None:
    personal = PersonalFilter(None)
    assert personal.apply("anna@example.org") == "anna@example.org" and personal.record is None
    assert str(PersonalFilter("report").record) == "no personal data found"


def test_a_conversation_counts_once() -> None:
    personal = PersonalFilter("mask", "conversation")
    assert personal.apply_all(["to anna@example.org", "no", "ben@example.org"]) == ["to [mail]", "no", "[mail]"]
    assert str(personal.record) == "personal data (2 mail) in 1 conversation, masked"


def chats(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def test_conversations(tmp_path: Path) -> None:
    rows = [{"question": f"who {i}?", "answer": "ask anna@example.org" if i < 3 else f"person {i}"} for i in range(12)]
    path = chats(tmp_path, "chat.jsonl", rows)
    plain, report, mask, drop = (ChatFiles(path, personal=mode) for mode in (None, "report", "mask", "drop"))
    texts = {
        id(source): " ".join(str(each.media) for split in (source.train, source.val) for each in split)
        for source in (plain, report, mask, drop)
    }
    assert texts[id(plain)] == texts[id(report)] and "[mail]" in texts[id(mask)]
    assert "@" not in texts[id(mask)] + texts[id(drop)]
    assert (report.train.content_hash, report.val.content_hash) == (plain.train.content_hash, plain.val.content_hash)
    assert "; personal data (3 mail) in 3 conversations" in report.description
    assert "personal data, mail: such as a***@e***.org" in report.file_notes and plain.personal_record is None
    assert mask.description.endswith("in 3 conversations, masked") and len(drop.train) + len(drop.val) == 9
    assert mask.train.content_hash + mask.val.content_hash != plain.train.content_hash + plain.val.content_hash


def test_pairs_of_answers(tmp_path: Path) -> None:
    answers = ["ask anna@example.org", "ask ben@example.org", "ask nobody"]
    rows = [{"prompt": f"who {i}?", "chosen": "me", "rejected": answers[min(i, 2)]} for i in range(8)]
    rows.append({"prompt": "who?", "chosen": "anna@example.org", "rejected": "ben@example.org"})
    path = chats(tmp_path, "pairs.jsonl", rows)
    mask, drop = (PreferenceFiles(path, personal=mode) for mode in ("mask", "drop"))  # type: ignore[arg-type]
    pairs = [each.media for split in (mask.train, mask.val) for each in split]
    assert sorted(str(pair.rejected.messages[-1]["content"]) for pair in pairs)[:2] == ["ask [mail]"] * 2
    assert "1 whose answers are equal" in mask.description and "(4 mail) in 3 pairs, masked" in mask.description
    assert len(drop.train) + len(drop.val) == 6
    plain, report = PreferenceFiles(path), PreferenceFiles(path, personal="report")
    assert plain.train.content_hash == report.train.content_hash


@pytest.mark.parametrize("kind", [ChatFiles, PreferenceFiles])
def test_conversations_of_which_none_is_left(kind: Any, tmp_path: Path) -> None:
    row = {"prompt": "who?", "completion": "anna@example.org", "chosen": "anna@example.org", "rejected": "b"}
    path = chats(tmp_path, "all.jsonl", [row, {**row, "prompt": "who else?"}])
    with pytest.raises(UserError) as caught:
        _ = kind(path, personal="drop").train
    assert str(caught.value).count("ersonal data (2 mail) in 2") == 1 and "left out" in str(caught.value)


def tar(folder: Path, suffix: str = "txt") -> Path:
    """Twelve texts, or pictures with texts, in a tar file; the last three have a mail address."""
    random = np.random.default_rng(0)
    with tarfile.open(folder / "some.tar", "w") as archive:
        for index in range(12):
            contents = {"txt": f"number {index}{' of anna@example.org' * (index > 8)}".encode()}
            if suffix == "png":
                picture = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(picture, "PNG")
                contents["png"] = picture.getvalue()
            for name, content in contents.items():
                info = tarfile.TarInfo(f"{index:03d}.{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return folder / "some.tar"


def parts_of(source: Any) -> tuple[list[Example], list[str], list[PersonalRecord], str]:
    """Return the examples, errors and finds of both splits, and the stamp."""
    parts = source.partitions()
    items = [item for part in parts for split in ("train", "val") for item in part.read[split]()]
    return (
        [item for item in items if isinstance(item, Example)],
        [str(item) for item in items if isinstance(item, UserError)],
        [item for item in items if isinstance(item, PersonalRecord)],
        " ".join(part.stamp for part in parts),
    )


@pytest.mark.parametrize(("suffix", "reader"), [("txt", DocumentReader()), ("png", ImageReader())])
def test_tar_files(suffix: str, reader: MediaReader, tmp_path: Path) -> None:
    path, stamps = str(tar(tmp_path, suffix)), {}
    for mode in (None, "report", "mask", "drop"):
        examples, errors, records, stamps[mode] = parts_of(TarFiles(path, reader, 0.3, mode))  # type: ignore[arg-type]
        texts = [str(each.media) if suffix == "txt" else each.prompt for each in examples]
        assert sum("[mail]" in text for text in texts) == 3 * (mode == "mask")
        assert sum("@" in text for text in texts) == 3 * (mode in (None, "report"))
        assert errors == ["an example with personal data is left out."] * 3 * (mode == "drop")
        found = join_records(records)
        assert (found is None) == (mode is None) and (not found or (found.num_texts, found.counts) == (3, {"mail": 3}))
    assert stamps[None] == stamps["report"] and len(set(stamps.values())) == 3


def test_parquet_files(tables: Path) -> None:
    reader = ImageReader()
    plain, _, none, stamp = parts_of(source := ParquetMedia(str(tables), reader))
    assert none == [] and source.personal is None
    examples, _, records, same_stamp = parts_of(ParquetMedia(str(tables), reader, personal="report"))
    assert [each.prompt for each in examples] == [each.prompt for each in plain] and stamp == same_stamp
    assert records and not any(record.counts for record in records)
    assert parts_of(ParquetMedia(str(tables), reader, personal="mask"))[3] != stamp


def test_prepared_data(tmp_path: Path, inside: Callable[..., Any]) -> None:
    tar(tmp_path)
    words = [
        "modality=text",
        "modality.tokenizer=bytes",
        "modality.vocab_size=null",
        "modality.block=16",
        "data=webdataset",
        "data.path=some.tar",
        "data.val_fraction=0.3",
    ]
    done = inside("prepare", *words, "data.personal=report", "out=report", "processes=1", cwd=tmp_path)
    assert "searched  personal data (3 mail) in 3 examples\n" in done.stdout, done.stderr
    assert "searched  personal data, mail: such as a***@e***.org" in done.stdout
    masked = inside("prepare", *words, "data.personal=mask", "out=mask", "processes=1", cwd=tmp_path)
    assert "searched  personal data (3 mail) in 3 examples, masked" in masked.stdout
    card = data_card(Prepared(str(tmp_path / "mask")))
    assert card["personal_data"]["record"]["mode"] == "mask" and card["sample"]["texts"] > 0
    row = "| personal data | in all texts: personal data (3 mail) in 3 examples, masked; in the sample"
    assert row in format_data_card(card)
    plain = inside("prepare", *words, "out=plain", "processes=1", cwd=tmp_path)
    assert plain.returncode == 0 and "searched" not in plain.stdout
    card = data_card(Prepared(str(tmp_path / "plain")))
    assert card["personal_data"]["record"] is None and card["sample"]["texts"] > 0
    assert "none found" not in str(card["personal_data"])
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for index in range(4):
            info = tarfile.TarInfo(f"{index}.txt")
            info.size = len(content := f"{index} anna@example.org".encode())
            archive.addfile(info, io.BytesIO(content))
    nothing = inside(
        "prepare", *words, "data.path=all.tar", "data.personal=drop", "out=all", "processes=1", cwd=tmp_path
    )
    assert nothing.returncode == 2 and nothing.stderr.count("left out") == 1
    assert "no examples to train on: personal data (" in nothing.stderr
