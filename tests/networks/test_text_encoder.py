"""The prompt encoder knows every word, hears their order, and does not mind its neighbors."""

import unicodedata

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genai.networks.text_encoder import PromptEncoder, split_words


@pytest.fixture(scope="module", params=[0, 2])
def encoder(request: pytest.FixtureRequest) -> PromptEncoder:
    torch.manual_seed(0)
    made = PromptEncoder(width=16, word_width=32, max_words=8, neighbors=request.param)
    torch.nn.init.normal_(made.order_out.weight)
    return made.eval()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_can_be_encoded(prompts: list[str]) -> None:
    context = PromptEncoder(width=16, word_width=32)(prompts)
    assert context.pooled.shape == (len(prompts), 16)
    assert torch.isfinite(context.pooled).all()
    assert context.mask[:, 0].all()


def test_an_embedding_does_not_depend_on_the_batch(encoder: PromptEncoder) -> None:
    together = encoder(["a ring", "", "a large red circle on the left"]).pooled
    for row, prompt in zip(together, ["a ring", "", "a large red circle on the left"], strict=True):
        torch.testing.assert_close(row, encoder([prompt]).pooled[0], rtol=1e-4, atol=1e-5)


def test_order_matters_and_case_does_not(encoder: PromptEncoder) -> None:
    one, other, upper = encoder(["red left of blue", "blue left of red", "RED left of Blue"]).pooled
    assert not torch.allclose(one, other, atol=1e-3)
    torch.testing.assert_close(one, upper)


def test_long_prompts_are_truncated(encoder: PromptEncoder) -> None:
    one, other = encoder([" ".join("abcdefgh"), " ".join("abcdefghij")]).pooled
    torch.testing.assert_close(one, other)


def test_split_words() -> None:
    assert split_words("A red circle, left.") == ["a", "red", "circle", ",", "left", "."]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A red circle.", ["a", "red", "circle", "."]),
        ("cafe\u0301 noir", ["caf\u00e9", "noir"]),
        ("\u7ea2\u8272\u7684 circle", ["\u7ea2", "\u8272", "\u7684", "circle"]),
        ("\u3042\u308b\u65e5", ["\u3042", "\u308b", "\u65e5"]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947 a", ["\u0928\u092e\u0938\u094d\u0924\u0947", "a"]),
        ("\ud55c\uad6d\uc5b4 \ubb38\uc7a5", ["\ud55c\uad6d\uc5b4", "\ubb38\uc7a5"]),
        ("\u0e14\u0e35", ["\u0e14\u0e35"]),
        ("stra\u00dfe_1, 2", ["stra\u00dfe_1", ",", "2"]),
        ("\u0301", ["\u0301"]),
    ],
)
def test_unicode_segmentation(prompt: str, words: list[str]) -> None:
    assert split_words(prompt, "unicode") == words


def test_one_character_spelled_in_two_ways_gives_one_embedding() -> None:
    encoder = PromptEncoder(width=16, word_width=32, segmentation="unicode")
    composed, decomposed = encoder(["caf\u00e9", "cafe\u0301"]).pooled
    assert composed.equal(decomposed)


@given(st.text(max_size=20))
def test_ascii_is_split_alike_and_no_letter_is_lost(prompt: str) -> None:
    words = split_words(prompt, "unicode")
    assert "".join(words) == "".join(unicodedata.normalize("NFC", prompt.lower()).split())
    ascii_prompt = prompt.encode("ascii", "ignore").decode()
    assert split_words(ascii_prompt, "unicode") == split_words(ascii_prompt)
