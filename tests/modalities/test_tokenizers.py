import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.modalities import tokenizers
from genai.modalities.tokenizers import BPE, Bytes, Characters, Tokenizer

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TRAINING_TEXTS = ["def f(x):\n    return x  # naïve\n", "été 日本語 🙂", "the cat and the dog and the cat"]
TOKENIZERS: dict[str, Tokenizer] = {
    "bpe": BPE.train(TRAINING_TEXTS, 300),
    "characters": Characters.train(TRAINING_TEXTS),
    "bytes": Bytes(),
}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]


def round_trip(tokenizer: Tokenizer, text: str) -> str:
    return b"".join(tokenizer.token_bytes[index] for index in tokenizer.encode(text)).decode()


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_any_text_survives_a_round_trip(kind: str) -> None:
    @given(TEXT)
    def check(text: str) -> None:
        ids = TOKENIZERS[kind].encode(text)
        assert ids.dtype == np.int64
        assert round_trip(TOKENIZERS[kind], text) == text

    check()


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\n", "\0", "\r\n", "\ufeff", "<|endoftext|>", "</s>", "Ġ", "  a   b  ", "e\u0301", "👩‍👩‍👧"]
)
def test_special_texts_survive_a_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert round_trip(tokenizer, text) == text


def test_restored_tokenizers_encode_the_same(tokenizer: Tokenizer) -> None:
    restored = tokenizers.restore_tokenizer(tokenizer.state())
    text = "the naïve cat\n\t日 本 ∑ 🙂"
    assert type(restored) is type(tokenizer)
    assert restored.token_bytes == tokenizer.token_bytes
    assert restored.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert restored.state() == tokenizer.state()


def test_bpe_trains_merges_up_to_the_vocab_size() -> None:
    bpe = BPE.train(["the cat " * 50], 300)
    assert len(bpe.encode("the cat the cat")) < 15
    assert set(Bytes().token_bytes) <= set(bpe.token_bytes)
    assert len(bpe.token_bytes) <= 300


def test_characters_outside_the_alphabet_become_bytes() -> None:
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
def test_an_invalid_state_is_rejected(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a tokenizer"):
        tokenizers.restore_tokenizer(state)


@pytest.mark.parametrize("train", [Characters.train, lambda texts: BPE.train(texts, 257)])
def test_training_is_deterministic(train: Callable[[list[str]], Tokenizer]) -> None:
    assert train(TRAINING_TEXTS).state() == train(TRAINING_TEXTS).state()


def test_only_vocabulary_and_merges_are_restored() -> None:
    """A stranger's file could ask for padding to any length."""
    bpe = BPE.train(["the cat saw the dog"], 280)
    described = json.loads(bpe.state()["json"])
    described["padding"] = {
        "strategy": {"Fixed": 10_000}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "a",
    }  # fmt: skip
    described["normalizer"] = {"type": "Lowercase"}
    restored = tokenizers.restore_tokenizer({"kind": "bpe", "json": json.dumps(described)})
    assert restored.encode("The cat").tolist() == bpe.encode("The cat").tolist()
    assert restored.token_bytes == bpe.token_bytes


def test_bpe_learns_from_parts_of_a_line_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "abcdefghij" * 100
    whole = BPE.train([text], 300)
    monkeypatch.setattr(tokenizers, "MAX_TRAINING_WORD", 5)
    parts = BPE.train([text], 300)
    assert max(map(len, whole.token_bytes)) > 5
    assert max(map(len, parts.token_bytes)) == 5 and {b"abcde", b"fghij"} <= set(parts.token_bytes)
    assert len(parts.encode(text)) == 200


@pytest.mark.parametrize(
    "text", ["the cat and the dog " * 50, "naïve 日本語 " * 300, "x" * tokenizers.MAX_TRAINING_WORD]
)
def test_the_limit_changes_no_ordinary_text(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    limited = BPE.train([text], 300).state()
    monkeypatch.setattr(tokenizers, "MAX_TRAINING_WORD", 100_000)
    assert BPE.train([text], 300).state() == limited
    assert json.loads(limited["json"])["pre_tokenizer"]["type"] == "ByteLevel"
