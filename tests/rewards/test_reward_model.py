"""A reward model is a reward."""

from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.data.tasks import Tasks
from genai.rewards.base import Rewards, parse_rewards
from tests.rewards.test_answers import question


def test_the_score_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Scorer:
        def scores(self, prompts: list[list[dict[str, str]]], samples: list[str]) -> list[float]:
            calls.extend((prompt[-1]["content"], sample) for prompt, sample in zip(prompts, samples, strict=True))
            return [2.5] * len(samples)

    scorers = {"runs/my_run": Scorer()}
    monkeypatch.setattr("genai.rewards.reward_model.load_reward", scorers.get)
    rewards = Rewards(parse_rewards({"reward_model": {"weight": 2, "ckpt": "runs/my_run"}}, Tasks()))
    assert rewards.score([question("Where?", "Here.")], ["There."]) == ([5.0], {"reward_model": [2.5]})
    assert calls == [("Where?", "There.")]


def test_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        parse_rewards({"reward_model": {"ckpt": str(tmp_path)}}, Tasks())
    with pytest.raises(UserError, match=r"rewards\.reward_model needs ckpt"):
        parse_rewards(["reward_model"], Tasks())
