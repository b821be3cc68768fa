import json
import sys
from pathlib import Path

import pytest

from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.text import Stdlib, TextFolder


def texts(split: Split) -> list[str]:
    return [str(example.media) for example in split]


def everything(source: TextFolder) -> list[str]:
    return sorted(texts(source.train) + texts(source.val))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five documents, four different ones, in files of several kinds, and a file that is no text."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "copy.md").write_text("one")
    (tmp_path / "deep" / "b.PY").write_text("two")
    lines = [json.dumps({"text": text, "id": 1}) for text in ("three", "four")]
    (tmp_path / "deep" / "er" / "c.jsonl").write_text("\n".join(lines) + "\n\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", ["four", "one", "three", "two"]),
        ("deep/b.PY", None),
        ("deep/er/c.jsonl", ["four", "three"]),
        ("**/*.*[ydl]", ["four", "one", "three"]),
        ("deep/**/*.jsonl", ["four", "three"]),
        ("*", None),
    ],
)
def test_a_file_a_folder_or_a_glob(folder: Path, path: str, found: list[str] | None) -> None:
    source = TextFolder(str(folder / path), val_fraction=0.4)
    if found is None:  # one document, cut in two
        assert texts(source.train)[0] + texts(source.val)[0] in ("one", "two")
    else:
        assert everything(source) == found


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    (tmp_path / "[draft] *.txt").write_text("a text of its own")
    assert texts(TextFolder(str(tmp_path / "[draft] *.txt")).train) == ["a text of its ow"]


def test_the_split_depends_on_content_not_on_names_or_order(tmp_path: Path) -> None:
    documents = [f"document {number}" for number in range(20)]
    sides = []
    for name, order in (("forth", documents), ("back", documents[::-1])):
        (tmp_path / name).mkdir()
        for number, text in enumerate(order):
            (tmp_path / name / f"{number:02d}.txt").write_text(text)
        sides.append(set(texts(TextFolder(str(tmp_path / name), 0.3).val)))
    assert sides[0] == sides[1]
    assert len(sides[0]) == 6


@pytest.mark.parametrize(
    ("length", "fraction", "val_length"), [(100, 0.1, 10), (1000, 0.25, 250), (50, 0.001, 1), (2, 0.9, 1)]
)
def test_one_document_is_cut_by_position(tmp_path: Path, length: int, fraction: float, val_length: int) -> None:
    content = "".join(chr(0x4E00 + number) for number in range(length))
    (tmp_path / "x.txt").write_text(content)
    source = TextFolder(str(tmp_path / "x.txt"), fraction)
    assert texts(source.train) == [content[:-val_length]]
    assert texts(source.val) == [content[-val_length:]]


def test_fingerprints_follow_the_content(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    hashes = []
    for content in ("a" * 40 + "b" * 10, "a" * 40 + "b" * 10, "a" * 40 + "c" * 10):
        file.write_text(content)
        source = TextFolder(str(file), 0.2)
        hashes.append((source.train.content_hash, source.val.content_hash))
    assert hashes[0] == hashes[1]
    assert hashes[0][0] == hashes[2][0]
    assert hashes[0][1] != hashes[2][1]
    assert hashes[0][0] != hashes[0][1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.txt", "naïve".encode("latin-1"), "bad.txt is not UTF-8"),
        ("bad.jsonl", b'{"text": "fine"}\n{"text": \n', "bad.jsonl:2 is not JSON"),
        ("bad.jsonl", b'{"text": "fine"}\n{"words": "x"}\n', "bad.jsonl:2 has no text in the field 'text'"),
        ("bad.jsonl", b'{"text": 5}', "bad.jsonl:1 has no text"),
        ("bad.jsonl", b'["text"]', "bad.jsonl:1 has no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_passed_over_whole_and_named(
    folder: Path, name: str, content: bytes, message: str
) -> None:
    (folder / name).write_bytes(content)
    source = TextFolder(str(folder))
    assert everything(source) == ["four", "one", "three", "two"]
    assert len(source.skipped) == 1
    assert message in source.skipped[0]
    with pytest.raises(UserError, match=r"it contains no usable text.*bad"):
        _ = TextFolder(str(folder / name)).train


def test_the_field_of_a_json_line_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"body": "one"}\r\n{"body": "two\\u2028"}\r\n', newline="")
    assert everything(TextFolder(str(tmp_path / "x.jsonl"), field="body")) == ["one", "two\u2028"]


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ('["one", "two\\ud800"]', ["one", "two?"]),
        (' [{"text": "one"}, {"text": "two", "id": 2}]\n', ["one", "two"]),
        ('[{"text": "one"}, {"text": 2}]', None),
        ('[{"body": "one"}]', None),
        ("[]", None),
        ("[1, 2", None),
        ("[" * 100_000, None),
        ('{"text": "one"}', None),
    ],
)
def test_a_json_list_of_texts_has_a_document_per_item(
    tmp_path: Path, content: str, documents: list[str] | None
) -> None:
    (tmp_path / "x.json").write_text(content)
    source = TextFolder(str(tmp_path / "x.json"), val_fraction=0.4)
    if documents is None:  # one text, cut in two
        assert texts(source.train) + texts(source.val) == [content[: len(texts(source.train)[0])], texts(source.val)[0]]
    else:
        assert everything(source) == documents


def test_line_ends_are_made_the_same_and_counted(tmp_path: Path) -> None:
    for name, content in (("a", b"one\r\ntwo\n"), ("b", b"old\rmac\r"), ("c", b"three\n"), ("d", b"one\ntwo\n")):
        (tmp_path / f"{name}.txt").write_bytes(content)
    source = TextFolder(str(tmp_path))
    assert everything(source) == ["old\nmac\n", "one\ntwo\n", "three\n"]
    assert source.description.endswith("; left out: 1 copies; line ends made ?n in 2 documents".replace("?", "\\"))


def test_a_document_of_white_space_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        "\n".join(map(json.dumps, [{"text": t} for t in ("a", " \n\t", "", "b", "\u3000")]))
    )
    source = TextFolder(str(tmp_path / "x.jsonl"))
    assert everything(source) == ["a", "b"]
    assert source.description.endswith("; left out: 3 empty")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_line_can_be_a_document(tmp_path: Path, end: str) -> None:
    (tmp_path / "names.txt").write_text(end.join(["Ann", "", " Bob ", "Cem\u2028a", "Ann", "  "]), newline="")
    source = TextFolder(str(tmp_path / "names.txt"), documents="lines")
    assert everything(source) == ["Ann", "Bob", "Cem\u2028a"]
    assert source.description.endswith("; left out: 1 copies")
    assert "novel_lines" in source.metrics and "novel_lines" not in TextFolder(str(tmp_path)).metrics


def test_half_a_surrogate_pair_in_json_becomes_a_question_mark(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a\\ud800"}\n{"text": "\\ud83d\\ude42"}')
    assert everything(TextFolder(str(tmp_path / "x.jsonl"))) == ["a?", "🙂"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "no text in this folder. Looked for .*txt"),
        ("absent", "there is no such file, folder or glob"),
        ("*.txt", "there is no such file, folder or glob"),
        ("empty.bin", "it contains no usable text"),
    ],
)
def test_where_there_is_no_text_the_path_is_named(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty.bin").touch()
    with pytest.raises(UserError, match=message) as caught:
        _ = TextFolder(str(tmp_path / path)).train
    assert f"data.path={tmp_path / path}" in str(caught.value)


@pytest.mark.peers
def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["one", None, "two", ""]}), tmp_path / "x.parquet")
    assert everything(TextFolder(str(tmp_path / "x.parquet"))) == ["one", "two"]
    with pytest.raises(UserError, match="no readable column 'body'"):
        _ = TextFolder(str(tmp_path / "x.parquet"), field="body").train


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"x\.parquet: Parquet needs pyarrow: pip install"):
        _ = TextFolder(str(tmp_path / "x.parquet")).train


def test_the_description_counts_characters(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("é" * 2000)
    assert "1,800 characters in 1 documents, 200 in 1 held out" in TextFolder(str(tmp_path / "x.txt")).description


def test_the_standard_library_is_real_code_without_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stdlib, "files", Stdlib.files.__wrapped__)
    source = Stdlib()
    files = [file.relative_to(source.path) for file in source.files()[0]]
    assert Path("argparse.py") in files
    assert not [file for file in files if {"test", "tests", "idle_test", "site-packages"} & set(file.parts)]
    assert not [file for file in files if file.name.startswith("test_")]
    train, val = texts(source.train), texts(source.val)
    assert sum(map(len, train)) > 1_000_000
    assert not set(train) & set(val)
    assert 0.03 < len(val) / len(train) < 0.07


def test_what_is_hidden_is_left_out(tmp_path: Path) -> None:
    for name in ("seen.txt", ".hidden.txt", ".git/config.txt", "sub/.ssh/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [file.name for file in TextFolder(str(tmp_path)).files()[0]] == ["seen.txt"]


def test_utf16_without_a_mark_is_not_taken_for_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("some text".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"a\.txt has NUL characters"):
        len(TextFolder(str(tmp_path)).train)


def test_a_list_is_pointed_to_its_option(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("".join(f"name {number}\n" for number in range(60)))
    assert "data.documents=lines makes each a document" in TextFolder(str(tmp_path / "names.txt")).description
    (tmp_path / "book.txt").write_text("".join(f"line {number}\n\n" for number in range(60)))
    assert "lines" not in TextFolder(str(tmp_path / "book.txt")).description
