import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.modalities import tokenizers
from genai.modalities.tokenizers import BPE, Bytes, Characters, Tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
LEARNT = ["def f(x):\n    return x  # naïve\n", "été 日本語 🙂", "the cat and the dog and the cat"]
TOKENIZERS: dict[str, Tokenizer] = {
    "bpe": BPE.train(LEARNT, 300),
    "characters": Characters.train(LEARNT),
    "bytes": Bytes(),
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]


def joined(tokenizer: Tokenizer, text: str) -> str:
    return b"".join(tokenizer.pieces[index] for index in tokenizer.encode(text)).decode()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_any_text_comes_back(kind: str) -> None:
    @given(TEXT)
    def comes_back(text: str) -> None:
        ids = TOKENIZERS[kind].encode(text)
        assert ids.dtype == np.int64
        assert joined(TOKENIZERS[kind], text) == text

    comes_back()


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\n", "\0", "\r\n", "\ufeff", "<|endoftext|>", "</s>", "Ġ", "  a   b  ", "e\u0301", "👩‍👩‍👧"]
)
def test_awkward_texts_come_back(tokenizer: Tokenizer, text: str) -> None:
    assert joined(tokenizer, text) == text


def test_restored_tokenizers_encode_alike(tokenizer: Tokenizer) -> None:
    again = tokenizers.restore(tokenizer.state())
    text = "the naïve cat\n\t日 本 ∑ 🙂"
    assert type(again) is type(tokenizer)
    assert again.pieces == tokenizer.pieces
    assert again.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert again.state() == tokenizer.state()


def test_bpe_learns_merges_and_keeps_its_size() -> None:
    bpe = BPE.train(["the cat " * 50], 300)
    assert len(bpe.encode("the cat the cat")) < 15
    assert set(Bytes().pieces) <= set(bpe.pieces)
    assert len(bpe.pieces) <= 300


def test_characters_take_one_token_each_and_strangers_their_bytes() -> None:
    characters = Characters.train(["cab"])
    assert characters.alphabet == "abc"
    assert characters.encode("abc").tolist() == [0, 1, 2]
    assert characters.encode("aéb").tolist() == [0, 3 + 0xC3, 3 + 0xA9, 1]
    assert characters.encode("zz").tolist() == [3 + ord("z")] * 2


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"kind": "words"},
        {"kind": "characters"},
        {"kind": "characters", "alphabet": 5},
        {"kind": "bpe", "json": "{}"},
        {"kind": "bpe", "json": "not json"},
        {"kind": "bpe", "json": None},
    ],
)
def test_a_state_that_is_none_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a tokenizer"):
        tokenizers.restore(state)


@pytest.mark.parametrize("train", [Characters.train, lambda texts: BPE.train(texts, 257)])
def test_training_is_deterministic(train: Callable[[list[str]], Tokenizer]) -> None:
    assert train(LEARNT).state() == train(LEARNT).state()


def test_only_vocabulary_and_merges_are_taken_over() -> None:
    """A stranger's file could ask for padding to any length."""
    bpe = BPE.train(["the cat saw the dog"], 280)
    described = json.loads(bpe.state()["json"])
    described["padding"] = {
        "strategy": {"Fixed": 10_000}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a",
    }  # fmt: skip
    described["normalizer"] = {"type": "Lowercase"}
    again = tokenizers.restore({"kind": "bpe", "json": json.dumps(described)})
    assert again.encode("The cat").tolist() == bpe.encode("The cat").tolist()
    assert again.pieces == bpe.pieces
