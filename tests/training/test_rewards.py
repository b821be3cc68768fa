"""Rewards of a run."""

from types import SimpleNamespace

import pytest
import torch

from genai.core.errors import RunError, UserError
from genai.data.tasks import Tasks
from genai.modalities.text import Text
from genai.rewards.base import Rewards, WeightedReward
from genai.training.rewards import TokenRewards, attach_rewards, pack_function, raise_on_all_ranks
from tests.rewards.test_answers import question


def test_answers_are_scored_as_texts() -> None:
    modality = Text("bytes", reserved=16)
    calls = []
    rewards = Rewards([WeightedReward("mine", 0.5, lambda prompt, sample: calls.append(sample) or len(sample), {})])
    tokens = TokenRewards(rewards, modality)
    assert tokens.end_tokens == (256,) and tokens.num_classes == 257  # reserved tokens are not sampled
    answers = [torch.tensor([*b"1+19", 256]), torch.tensor([*b"7"])]
    totals, parts = tokens([question("make:20", "1+19")] * 2, answers)
    assert calls == ["1+19", "7"]
    assert totals.tolist() == [2, 0.5] and parts["mine"].tolist() == [4, 1]


def test_an_error_is_raised_as_it_is_in_one_process() -> None:
    raise_on_all_ranks(None)
    with pytest.raises(UserError, match="mine"):
        raise_on_all_ranks(UserError("mine"))
    with pytest.raises(RunError, match="mine"):
        raise_on_all_ranks(RunError("mine"))


def test_other_modalities_have_no_prompts() -> None:
    from genai.modalities.image import Image

    with pytest.raises(UserError, match="it needs a model of modality=text"):
        pack_function(Image(16))


def test_any_modality_and_method_with_what_is_needed_will_do() -> None:
    modality = SimpleNamespace(pack_prompts=lambda split, cache: split)
    assert pack_function(modality)("prompts", None) == "prompts"  # type: ignore[arg-type, comparison-overlap]
    settings = SimpleNamespace(accumulate=1, rewards=["exact"], plugins=[])
    method = SimpleNamespace(answer_rewards=None)
    source, hardware = Tasks(task="make"), SimpleNamespace(strategy="auto")
    attach_rewards(method, Text("bytes", reserved=16), source, settings, hardware)  # type: ignore[arg-type]
    assert isinstance(method.answer_rewards, TokenRewards)


def test_data_have_default_rewards() -> None:
    assert Tasks(task="make").rewards == {"score": 1, "exact": 0}
    assert Tasks(task="sort").rewards == {"exact": 1}
