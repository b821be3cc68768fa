"""Questions as prompts."""

from pathlib import Path

import pytest
import torch

from genai.core.errors import UserError
from genai.data.chat_split import make_chat_split
from genai.data.tasks import Tasks
from genai.media.chat import Chat
from genai.modalities.text import Text


def chat(question: str, answer: str) -> Chat:
    return Chat.from_messages([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], "row")


def modality(block: int = 32) -> Text:
    text = Text("bytes", block=block, reserved=16)
    text.ensure_chat_template()
    return text


def test_a_question_with_several_answers_is_one_prompt(tmp_path: Path) -> None:
    split = make_chat_split("train", [chat("a", "x"), chat("bcd", "y"), chat("a", "z "), chat("a", "x")])
    packed = modality().pack_prompts(split, tmp_path)
    assert len(packed) == 2 and packed.summary == "2 different prompts"
    batch = packed.batch([1, 0, 1], None)
    assert batch.prompts == ["bcd", "a", "bcd"]
    assert batch.prompts[1].answers == ("x", "z")  # type: ignore[attr-defined]
    assert batch.valid is not None and batch.weight == 3
    for row, valid, text in zip(batch.x, batch.valid, batch.prompts, strict=True):
        expected = modality().encode_prompt(modality().chat_prompt([{"role": "user", "content": text}]))
        assert row[valid].equal(expected)


def test_long_questions_are_left_out_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    split = make_chat_split("train", [chat("a" * 40, "x"), chat("b", "y"), chat("<|im_end|>", "z")])
    packed = modality().pack_prompts(split, tmp_path)
    assert packed.summary.startswith("1 different prompts; 2 left out")
    assert packed.batch([0], None).prompts == ["b"]
    assert "skipped: row: 43 tokens." in capfd.readouterr().err
    with pytest.raises(UserError, match="no question"):
        modality().pack_prompts(make_chat_split("val", [chat("a" * 40, "x"), chat("c" * 40, "y")]), tmp_path)


def test_a_task_has_each_prompt_once(tmp_path: Path) -> None:
    source = Tasks(task="make", items=1000)
    train, val = (modality().pack_prompts(split, tmp_path) for split in (source.train, source.val))
    assert (len(train), len(val)) == (69, 20)
    assert not {*train.batch(range(69), None).prompts} & {*val.batch(range(20), None).prompts}


def test_a_part_of_a_batch_has_its_prompts(tmp_path: Path) -> None:
    packed = modality().pack_prompts(Tasks(task="sort", items=10).train, tmp_path)
    batch = packed.batch([0, 1, 2], None)
    first, second = batch.split(2)
    assert type(first) is type(batch) and [*first.prompts, *second.prompts] == batch.prompts
    assert torch.cat([first.x, second.x]).equal(batch.x)


def test_other_data_have_no_questions(tmp_path: Path) -> None:
    from genai.core.data import Example, Split
    from genai.media.text import Document

    split = Split("train", 1, lambda index: Example(Document("text")), "hash")
    with pytest.raises(UserError, match="choose data=chat or data=tasks"):
        modality().pack_prompts(split, tmp_path)
