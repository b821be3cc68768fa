import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import UserError
from genai.data import parquet_rows
from genai.data.chat import ChatFiles
from genai.data.chat_layouts import LAYOUTS
from genai.media.chat import Chat

HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
ROWS: dict[str, dict[str, Any]] = {
    "messages": {"messages": HI, "id": 3},
    "ShareGPT": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "Alpaca": {"instruction": "Hi", "input": "", "output": "Hello", "rejected": "Go"},
    "prompt and completion": {"prompt": "Hi", "completion": "Hello"},
    "pairs": {"source": "Hi", "target": "Hello"},
    "question and answer": {"question": "Hi", "answer": "Hello"},
}
OTHER = {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]}


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows) if path.suffix == ".jsonl" else json.dumps(rows))
    return str(path)


def chats(source: ChatFiles) -> list[Chat]:
    return [example.media for split in (source.train, source.val) for example in split]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("name", ROWS)
def test_layouts_become_messages(tmp_path: Path, name: str, suffix: str) -> None:
    source = ChatFiles(write(tmp_path / f"rows{suffix}", [ROWS[name], OTHER]))
    assert sorted([list(chat.messages) for chat in chats(source)], key=str) == sorted([HI, OTHER["messages"]], key=str)
    assert f"{name}: " in source.layout_note
    assert name in source.description


def test_every_layout_is_tested() -> None:
    assert list(ROWS) == [layout.name for layout in LAYOUTS]


def test_a_table_of_questions(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text('\ufeffQuestion;Answer;id\n"Hi; you";"Hello\n""you""";1\nA?;B.;2\nC?;;3\n', encoding="utf-8")
    source = ChatFiles(str(path))
    contents = [[message["content"] for message in chat.messages] for chat in chats(source)]
    assert sorted(contents) == [["A?", "B."], ["Hi; you", 'Hello\n"you"']]
    assert source.file_notes[0].startswith("1 conversation is held out, so not learned; data.val_path=FILE")
    (error,) = source.skipped
    assert error.endswith("faq.csv:5 has no answer to learn: its answer is empty.")


def test_a_table_with_a_misspelled_column_or_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("qestion,answer\na,b\nc,d\n")
    with pytest.raises(
        UserError, match=r"data\.path=.*0 conversations .*faq\.csv:2 .*Did you mean 'question'\?"
    ) as info:
        _ = ChatFiles(str(path)).train
    assert "faq.csv:3" not in str(info.value)
    path.write_bytes("question;answer\nWo?;Köln\n".encode("cp1252"))
    with pytest.raises(UserError, match="A spreadsheet can save it as CSV UTF-8"):
        _ = ChatFiles(str(path)).train
    with pytest.raises(UserError, match=r"data\.val_path=.*no such file"):
        _ = ChatFiles(write(tmp_path / "good.jsonl", [ROWS["pairs"]]), val_path="none.csv").train


def test_held_out_conversations_of_a_file(tmp_path: Path) -> None:
    train = [{"source": str(index), "target": "a"} for index in range(20)]
    path = write(tmp_path / "train.jsonl", train)
    val = write(tmp_path / "val.jsonl", [{"source": "3", "target": "b"}, {"source": "x", "target": "y"}])
    source = ChatFiles(path, val_path=val)
    assert len(source.train) == 19 and len(source.val) == 2
    assert "19 conversations, 2 held out (pairs); left out: 1 whose question is held out" in source.description
    with pytest.raises(UserError, match="all questions are held out"):
        _ = ChatFiles(val, val_path=val).train


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([{"messages": HI}, OTHER]), tmp_path / "rows.parquet")
    assert len(chats(ChatFiles(str(tmp_path / "rows.parquet")))) == 2


@pytest.mark.parametrize("weight", [Decimal("0.5"), b"\xff"])
def test_parquet_with_a_weight_of_another_type(tmp_path: Path, weight: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"messages": [HI[0], {**HI[1], "weight": weight}]}, OTHER, ROWS["messages"]]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    source = ChatFiles(str(tmp_path / "rows.parquet"))
    assert len(chats(source)) == 2
    assert "rows.parquet, row 1: the weight of a message is 0 or 1" in source.skipped[0]


def test_parquet_that_is_not_utf8_or_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = pa.array([b"a\xff", b"b"]).view(pa.string())
    for folder, column in (("bad", texts), ("good", ["a", "b"])):
        (tmp_path / folder).mkdir()
        table = pa.table({"source": column, "target": ["b", "c"]})
        parquet.write_table(table, tmp_path / folder / "rows.parquet")
    with pytest.raises(UserError, match=r"rows\.parquet cannot be read .*decode"):
        _ = ChatFiles(str(tmp_path / "bad")).train
    monkeypatch.setattr(parquet_rows, "ROWS_AT_ONCE", 1)
    assert len(chats(ChatFiles(str(tmp_path / "good")))) == 2
    monkeypatch.setitem(parquet_rows.MAX_BYTES, "text", 10)
    with pytest.raises(UserError, match=r"declares [\d,]+ bytes; at most 10 are read"):
        _ = ChatFiles(str(tmp_path / "good")).train


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, ["Add.\n\n1 2", "3"]),
        ({"system": "Be kind.", "source": "a", "target": "b"}, ["Be kind.", "a", "b"]),
        ({"prompt": HI[:1], "completion": HI[1:]}, ["Hi", "Hello"]),
        ({"conversations": HI}, ["Hi", "Hello"]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, HI[1]]}, ["Hi", "Hello"]),
        ({"source": "a\r\nb", "target": "\ud800"}, ["a\nb", "?"]),
    ],
)
def test_contents(tmp_path: Path, row: dict[str, Any], messages: list[str]) -> None:
    found = chats(ChatFiles(write(tmp_path / "rows.jsonl", [row, OTHER])))
    assert messages in [[message["content"] for message in chat.messages] for chat in found]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"messages": HI[:1]}, "no answer to learn"),
        ({"messages": HI[1:]}, "no answer to learn"),
        ({"messages": [HI[0], {**HI[1], "weight": 0}]}, "no answer to learn"),
        ({"messages": [HI[0], {"role": "assistant", "content": " "}]}, "no answer to learn"),
        ({"messages": [HI[0], {**HI[1], "weight": "no"}]}, "the weight of a message is 0 or 1, not 'no'"),
        ({"messages": [HI[0], {**HI[1], "weight": 0.5}]}, "0 or 1, not 0.5"),
        ({"messages": [HI[0], {**HI[1], "weight": float("nan")}]}, "0 or 1, not nan"),
        ({"messages": "Hi"}, "not a list"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "no role 'robot'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, HI[1]]}, "no texts"),
        ({"messages": [HI[0], {"role": "assistant", "content": None, "tool_calls": [1]}]}, "calls tools"),
        ({"conversations": [{"from": "robot", "value": "Hi"}]}, "no 'from' that is known"),
        ({"source": "a", "target": 3}, "its target is 3"),
        ({"text": "a"}, "has the fields text"),
        (3, "has the fields int"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, row: Any, error: str) -> None:
    path = tmp_path / "rows.jsonl"
    source = ChatFiles(write(path, [OTHER, row, ROWS["pairs"]]))
    assert len(chats(source)) == 2
    assert len(source.skipped) == 1
    assert source.skipped[0].startswith(f"{path}:2")
    assert error in source.skipped[0]
    assert "left out: 1 rows" in source.description


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "a", "target": "b"}\n{"source": "b", "target": "c"}\n{')
    (tmp_path / "b.json").write_text('{"source": "a", "target": "d"}')
    source = ChatFiles(str(tmp_path))
    assert len(chats(source)) == 2
    assert [message.split("/")[-1].split(" ")[0] for message in source.skipped] == ["a.jsonl:3:", "b.json"]


def test_too_few(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has 1 conversation that can be used; 2 are needed"):
        _ = ChatFiles(write(tmp_path / "rows.json", [ROWS["pairs"], ROWS["Alpaca"]])).train


def test_the_same_question_is_in_one_split(tmp_path: Path) -> None:
    rows = [{"source": f"question {n % 20}", "target": f"answer {n}"} for n in range(100)]
    path = write(tmp_path / "rows.jsonl", [*rows, *rows[:7]])
    source = ChatFiles(path, val_fraction=0.2)
    train, val = ({example.media.messages[0]["content"] for example in split} for split in (source.train, source.val))
    assert not train & val
    assert len(train | val) == 20
    assert 10 <= len(source.val) <= 30
    assert "7 copies" in source.description
    (tmp_path / "other").mkdir()
    again = ChatFiles(write(tmp_path / "other" / "rows.jsonl", rows[::-1]), val_fraction=0.2)
    assert {example.media.key for example in again.val} == {example.media.key for example in source.val}


def test_a_broken_line_loses_no_other(tmp_path: Path) -> None:
    rows = [json.dumps({"source": f"{number}", "target": "b"}) for number in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows[:2], '{"source": ', *rows[2:]]))
    source = ChatFiles(str(tmp_path / "rows.jsonl"))
    assert len(source.train) + len(source.val) == 4
    assert len(source.skipped) == 1 and ":3" in source.skipped[0]
