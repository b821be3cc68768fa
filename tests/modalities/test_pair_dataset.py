"""Pairs in rows: masks, what is cut off, what is left out."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.batch import PairBatch
from genai.core.data import Example, Split
from genai.core.errors import UserError
from genai.media.chat_pair import ChatPair
from genai.modalities.pair_dataset import PackedPairs
from genai.modalities.text import Text
from tests.modalities.test_chat_template import MISTRAL
from tests.modalities.test_chat_tokens import other_text, own_text


def pair(question: str, chosen: str, rejected: str, *before: str) -> ChatPair:
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate([*before, question])]
    return ChatPair.from_messages(turns, *([{"role": "assistant", "content": text}] for text in (chosen, rejected)))


def pack(tmp_path: Path, pairs: list[ChatPair], modality: Text | None = None, **options: Any) -> PackedPairs:
    modality = modality or own_text(**options)
    split = Split("train", len(pairs), lambda index: Example(pairs[index]), str([each.key for each in pairs]))
    packed = modality.pack(split, tmp_path)
    assert isinstance(packed, PackedPairs)
    return packed


def answers(modality: Text, batch: PairBatch) -> list[list[str]]:
    assert batch.valid is not None
    return [
        [modality.prompt_bytes(x[1:][valid]).decode() for x, valid in zip(*row, strict=True)]
        for row in zip(batch.x, batch.valid, strict=True)
    ]


def test_only_the_last_answers_are_targets(tmp_path: Path) -> None:
    pairs = [pair("Hi", "Hello", "Go"), pair("And?", "yes yes", "no", "Hi", "Hello")]
    packed, modality = pack(tmp_path, pairs), own_text()
    batch = packed.batch([0, 1], None)
    end = "<|im_end|>"
    assert answers(modality, batch) == [[f"Hello{end}", f"Go{end}"], [f"yes yes{end}", f"no{end}"]]
    prompt = modality.encode_prompt(modality.chat_prompt(pairs[1].chosen.question))
    assert batch.x[1, :, : len(prompt)].equal(prompt.expand(2, -1))
    assert packed.counts.chosen_tokens == 6 + 8 and packed.counts.rejected_tokens == 3 + 3
    assert "2 pairs; chosen and rejected answers have 7 and 3 tokens on average" in packed.summary


def test_a_batch_is_as_long_as_its_longest_conversation(tmp_path: Path) -> None:
    packed = pack(tmp_path, [pair("Hi", "Hello", "Go"), pair("Hi", "Hello" * 4, "Go")])
    short, both = packed.batch([0], None), packed.batch([0, 1], None)
    assert both.x.shape[2] - short.x.shape[2] == 15
    assert both.x[:1, :, : short.x.shape[2]].equal(short.x) and not both.valid[0, :, short.x.shape[2] :].any()  # type: ignore[index]
    assert pickle.loads(pickle.dumps(packed)).batch([1], None).x.equal(packed.batch([1], None).x)


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    pairs = [
        pair("Hi", "Hello", "Go"),
        pair("Hi", "a" * 60, "b"),  # cut off
        pair("Hi", "a" * 60, "a" * 60 + "b"),  # equal in what is left
        pair("Hi" * 40, "a", "b"),  # no answer
    ]
    packed = pack(tmp_path, pairs, block=32)
    assert (len(packed), packed.counts.truncated, packed.counts.equal, packed.counts.without_target) == (2, 1, 1, 1)
    for note in ("1 cut off", "1 left out, because the answers are equal", "1 left out, because no answer begins"):
        assert note in packed.summary
    with pytest.raises(UserError, match=r"no pair \(train\) can be used with a context of 4"):
        pack(tmp_path, pairs, block=4)


def test_what_a_template_refuses_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = ChatPair.from_messages(
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        *([{"role": "assistant", "content": text}] for text in ("c", "d")),
        place="file:3",
    )
    packed = pack(tmp_path, [odd, pair("Hi", "Hello", "Go")], other_text(MISTRAL))
    assert len(packed) == packed.counts.errors == 1
    assert "skipped: file:3: the chat template" in capsys.readouterr().err


def test_rows_of_the_file(tmp_path: Path) -> None:
    packed = pack(tmp_path, [pair("Hi", "Hello", "Go")])
    assert packed.rows.shape == (1, 2, 2, packed.counts.row_size) and packed.rows.dtype == np.int32
    assert packed.batch([0], None).x.dtype == torch.int64


def test_refused_pairs_are_named_also_from_the_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [pair("Hi", "Hello", "Go"), pair("Hi", "<|im_end|>", "Go")]
    pairs[1].place = "pairs.jsonl:2"
    for _ in range(2):
        assert pack(tmp_path, pairs).counts.errors == 1
        assert "skipped: pairs.jsonl:2: a message contains" in capsys.readouterr().err
