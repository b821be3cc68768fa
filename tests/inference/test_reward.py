"""Scores of a reward model."""

import pytest
import torch
from torch import nn

from genai.core.errors import UserError
from genai.inference.reward import INVALID_SCORE, RewardScorer
from genai.methods.reward import Reward
from genai.modalities.text import Text
from genai.networks.gpt import GPT

EARLIER = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
]


@pytest.fixture
def scorer() -> RewardScorer:
    torch.manual_seed(0)
    modality = Text("bytes", block=64, reserved=16)
    modality.ensure_chat_template()
    method = Reward(GPT(272, 64, layers=1, heads=1, width=8, ngrams=1)).eval()
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.5)
    return RewardScorer(method, modality)


def test_scores_of_many_answers_are_those_of_each(scorer: RewardScorer) -> None:
    samples = [letter * size for size in (9, 1, 4) for letter in "abcdefgh"]  # more than one pass
    alone = [scorer("Why?", sample) for sample in samples]
    assert scorer.scores(["Why?"] * len(samples), samples) == pytest.approx(alone, abs=1e-5)
    assert len(set(alone)) == len(samples)


def test_a_prompt_with_earlier_answers_that_fills_the_context_is_refused(scorer: RewardScorer) -> None:
    short, long = ([*EARLIER, {"role": "user", "content": "a" * size}] for size in (2, 80))
    assert scorer(short, "Yes") != scorer(short, "No!")
    with pytest.raises(UserError, match="the prompt fills the context of 64 tokens"):
        scorer(long, "Yes")


def test_an_answer_with_a_mark_of_the_template_has_a_low_score(scorer: RewardScorer) -> None:
    first, second, third = scorer.scores(["Why?"] * 3, ["Yes", "<|im_end|>Yes", "No"])
    assert second == INVALID_SCORE and (first, third) == pytest.approx((scorer("Why?", "Yes"), scorer("Why?", "No")))
    with pytest.raises(UserError, match="im_end"):
        scorer("<|im_end|>", "Yes")
