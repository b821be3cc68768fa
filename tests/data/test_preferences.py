"""Pairs of answers from files of each layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import UserError
from genai.data.preference_layouts import PAIR_LAYOUTS
from genai.data.preferences import PreferenceFiles
from genai.media.chat_pair import ChatPair
from genai.server.preferences import Preferences
from tests.data.test_chat import write

USER = {"role": "user", "content": "Hi"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Hello", "Go"))
TURN = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
ROWS: dict[str, dict[str, Any]] = {
    "prompt, chosen, rejected": {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"},
    "instruction, chosen, rejected": {"instruction": "Hi", "output": "Go", "chosen": "Hello", "rejected": "Go"},
    "instruction, output, rejected": {"instruction": "Hi", "input": "", "output": "Hello", "rejected": "Go"},
    "conversations": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
}
OTHER = {"prompt": "Other", "chosen": "yes", "rejected": "no"}


def pairs(source: PreferenceFiles) -> list[ChatPair]:
    return [example.media for split in (source.train, source.val) for example in split]


def contents(pair: ChatPair) -> list[str]:
    question = [message["content"] for message in pair.chosen.messages[: pair.chosen.answers[0]]]
    return [*question, pair.chosen.answer, pair.rejected.answer]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("name", ROWS)
def test_layouts_become_pairs(tmp_path: Path, name: str, suffix: str) -> None:
    source = PreferenceFiles(write(tmp_path / f"rows{suffix}", [ROWS[name], OTHER]))
    assert sorted(map(contents, pairs(source))) == [["Hi", "Hello", "Go"], ["Other", "yes", "no"]]
    assert f"{name}: " in source.layout_note and name in source.description


def test_every_layout_is_tested() -> None:
    assert list(ROWS) == [layout.name for layout in PAIR_LAYOUTS]


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([ROWS["prompt, chosen, rejected"], OTHER]), tmp_path / "rows.parquet")
    assert len(pairs(PreferenceFiles(str(tmp_path / "rows.parquet")))) == 2


def test_the_file_of_the_server(tmp_path: Path) -> None:
    file = Preferences(tmp_path)
    file.add("Hi", "Hello", "Go")
    file.add("Hi\nthere", "é", "no")
    assert sorted(map(contents, pairs(PreferenceFiles(str(file.file)))))[1] == ["Hi\nthere", "é", "no"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, ["Hi", "Hello", "Go"]),
        ({"prompt": [USER], "chosen": "Hello", "rejected": "Go"}, ["Hi", "Hello", "Go"]),
        ({"prompt": "Hi", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, ["Hi", "Hello", "Go"]),
        ({"prompt": [*TURN, USER], "chosen": [GOOD], "rejected": [BAD]}, ["A", "B", "Hi", "Hello", "Go"]),
        ({"chosen": [*TURN, USER, GOOD], "rejected": [*TURN, USER, BAD]}, ["A", "B", "Hi", "Hello", "Go"]),
        ({"instruction": "Add.", "input": "1 2", "output": "3", "rejected": "4"}, ["Add.\n\n1 2", "3", "4"]),
        ({"system": "Be kind.", "prompt": "Hi", "chosen": "a", "rejected": "b"}, ["Be kind.", "Hi", "a", "b"]),
        ({"prompt": "Hi\r\n", "chosen": "\ud800", "rejected": "b"}, ["Hi\n", "?", "b"]),
    ],
)
def test_contents(tmp_path: Path, row: dict[str, Any], expected: list[str]) -> None:
    found = pairs(PreferenceFiles(write(tmp_path / "rows.jsonl", [row, OTHER])))
    assert expected in list(map(contents, found))
    assert all(len(pair.chosen.answers) == len(pair.rejected.answers) == 1 for pair in found)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"prompt": "Hi", "chosen": "a"}, "a pair has the fields of one of these lists"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "its prompt is 3, not a text"),
        ({"chosen": "a", "rejected": "b"}, "have to be lists of messages"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "no question"),
        ({"chosen": [USER, GOOD, USER], "rejected": [USER, BAD]}, "its chosen does not end with an answer"),
        ({"prompt": "Hi", "chosen": [], "rejected": "b"}, "it should be a list of messages"),
        ({"chosen": [*TURN, USER, GOOD], "rejected": [*TURN, TURN[0], BAD]}, "differ before the first answer"),
        ("text", "has the fields str"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path: Path, row: Any, error: str) -> None:
    source = PreferenceFiles(write(tmp_path / "rows.json", [row, OTHER, ROWS["conversations"]]))
    assert len(pairs(source)) == 2
    assert len(source.skipped) == 1 and error in source.skipped[0]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    equal = {"prompt": "Same", "chosen": "a ", "rejected": "a"}
    source = PreferenceFiles(write(tmp_path / "rows.json", [OTHER, OTHER, equal, ROWS["conversations"], 3]))
    assert len(pairs(source)) == 2
    for note in ("1 copies", "1 whose answers are equal", "1 rows or files that cannot be read"):
        assert note in source.description
    with pytest.raises(UserError, match="it has 1 pair of different answers"):
        PreferenceFiles(write(tmp_path / "few.json", [OTHER, equal])).train  # noqa: B018


def test_pairs_of_a_question_are_in_the_same_split(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i // 3}", "chosen": f"yes {i}", "rejected": "no"} for i in range(60)]
    source = PreferenceFiles(write(tmp_path / "rows.jsonl", rows), val_fraction=0.3)
    questions = [{contents(example.media)[0] for example in split} for split in (source.train, source.val)]
    assert not questions[0] & questions[1] and len(source.train) % 3 == len(source.val) % 3 == 0
    assert 0.15 < len(source.val) / 60 < 0.45


def test_held_out_pairs_of_a_file(tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", [OTHER, ROWS["conversations"], {**OTHER, "rejected": "never"}])
    held_out = write(tmp_path / "val.json", [{**OTHER, "rejected": "maybe"}])
    source = PreferenceFiles(train, val_path=held_out)
    assert [contents(example.media) for example in source.train] == [["Hi", "Hello", "Go"]]
    assert [contents(example.media) for example in source.val] == [["Other", "yes", "maybe"]]
    assert "2 whose question is held out" in source.description
    with pytest.raises(UserError, match="no pair is left"):
        PreferenceFiles(held_out, val_path=held_out).train  # noqa: B018


def test_hashes_follow_the_content(tmp_path: Path) -> None:
    def hashes(row: dict[str, str]) -> set[str]:
        path = write(tmp_path / f"{abs(hash(json.dumps(row)))}.json", [row, OTHER])
        return {split.content_hash for split in (PreferenceFiles(path).train, PreferenceFiles(path).val)}

    row = {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}
    assert hashes(row) == hashes(ROWS["conversations"] | {"note": "b"})  # type: ignore[arg-type]
    assert hashes(row) != hashes({**row, "chosen": "Go", "rejected": "Hello"})
