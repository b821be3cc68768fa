"""New words of an adapter: their rows alone are trained, and all other words keep their embeddings bit for bit."""

import copy

import pytest
import torch
from torch import nn

from genai.adapters.lora import LoRA, merge_adapters
from genai.core.errors import UserError
from genai.networks.text_encoder import PromptEncoder
from genai.training.optimizers import parameters_by_kind


def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    return PromptEncoder(width=8, word_width=6, rows=50)


def attached(words: list[str]) -> tuple[PromptEncoder, list[nn.Parameter]]:
    module = encoder()
    LoRA(rank=1, targets=["sum_out"], words=words).attach(module)
    return module, parameters_by_kind(module)["embedding"]


def test_a_new_word_starts_as_it_was_and_changes_no_other() -> None:
    module, rows = attached(["Zwx"])
    before = [encoder()([prompt]).pooled for prompt in ("zwx cat", "a cat")]
    assert module(["zwx cat"]).pooled.equal(before[0])
    assert [each.shape for each in rows] == [(1, 6), (1, 6)]
    for each in rows:
        nn.init.normal_(each)
    assert not module(["zwx cat"]).pooled.allclose(before[0])
    assert module(["a cat"]).pooled.equal(before[1])


def test_merged_rows_are_the_same_function_and_a_factor_scales_them() -> None:
    module, rows = attached(["zwx", "bird"])
    for each in rows:
        nn.init.normal_(each)
    half, changed = copy.deepcopy(module), module(["zwx"]).pooled
    merge_adapters(module)
    torch.testing.assert_close(module(["zwx"]).pooled, changed)
    merge_adapters(half, 0.5)
    for table, halved, old in zip(module.words, half.words, encoder().words, strict=True):
        torch.testing.assert_close(halved.weight - old.weight, (table.weight - old.weight) / 2)
        assert int((table.weight != old.weight).any(1).sum()) == 2
    assert type(module.words[0]) is nn.Embedding and module.state_dict().keys() == encoder().state_dict().keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zwx-dog"], "'zwx-dog' should be one word, and it is 3: zwx - dog"),
        ([" "], "one word, and it is none"),
    ],
)
def test_a_word_is_one_word(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        attached(words)


def test_what_has_no_words_is_named() -> None:
    with pytest.raises(UserError, match="no prompts of words"):
        LoRA(words=["zwx"]).attach(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(UserError, match="both change the tables"):
        LoRA(targets=["words.0"], words=["zwx"]).attach(encoder())
