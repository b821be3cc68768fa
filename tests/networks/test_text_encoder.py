"""The prompt encoder knows every word, hears their order, and does not mind its neighbours."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genai.networks.text_encoder import PromptEncoder, split_words


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    made = PromptEncoder(width=16, word_width=32, longest=8)
    torch.nn.init.normal_(made.order_out.weight)
    return made.eval()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_is_heard(prompts: list[str]) -> None:
    context = PromptEncoder(width=16, word_width=32)(prompts)
    assert context.pooled.shape == (len(prompts), 16)
    assert torch.isfinite(context.pooled).all()
    assert context.mask[:, 0].all()


def test_a_prompt_does_not_depend_on_the_batch_around_it(encoder: PromptEncoder) -> None:
    together = encoder(["a ring", "", "a large red circle on the left"]).pooled
    for row, prompt in zip(together, ["a ring", "", "a large red circle on the left"], strict=True):
        torch.testing.assert_close(row, encoder([prompt]).pooled[0], rtol=1e-4, atol=1e-5)


def test_order_is_heard_and_case_is_not(encoder: PromptEncoder) -> None:
    one, other, upper = encoder(["red left of blue", "blue left of red", "RED left of Blue"]).pooled
    assert not torch.allclose(one, other, atol=1e-3)
    torch.testing.assert_close(one, upper)


def test_what_is_too_long_is_cut(encoder: PromptEncoder) -> None:
    one, other = encoder([" ".join("abcdefgh"), " ".join("abcdefghij")]).pooled
    torch.testing.assert_close(one, other)


def test_words() -> None:
    assert split_words("A red circle, left.") == ["a", "red", "circle", ",", "left", "."]
