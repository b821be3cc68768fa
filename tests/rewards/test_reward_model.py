"""A reward model is a reward."""

from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.rewards.base import Rewards, parse_rewards
from tests.rewards.test_answers import question


def test_the_score_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def score(messages: list[dict[str, str]], sample: str) -> float:
        calls.append((messages[-1]["content"], sample))
        return 2.5

    monkeypatch.setattr("genai.rewards.reward_model.load_reward", lambda ckpt: score if ckpt == "runs/my_run" else None)
    rewards = Rewards(parse_rewards({"reward_model": {"weight": 2, "ckpt": "runs/my_run"}}, None))  # type: ignore[arg-type]
    assert rewards.score([question("Where?", "Here.")], ["There."]) == ([5.0], {"reward_model": [2.5]})
    assert calls == [("Where?", "There.")]


def test_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        parse_rewards({"reward_model": {"ckpt": str(tmp_path)}}, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"rewards\.reward_model needs ckpt"):
        parse_rewards(["reward_model"], None)  # type: ignore[arg-type]
