"""Rewards by name, with weights; those that fail are named."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import RunError, UserError
from genai.data.tasks import Tasks
from genai.media.chat import Chat, Question
from genai.rewards.base import BatchReward, Rewards, WeightedReward, parse_rewards
from tests.rewards.test_answers import question

SOURCE = Tasks(task="make")
PROMPT = question("make:20", "1+19")


def rewards_of(function: Any, max_seconds: float = 5) -> Rewards:
    return Rewards([WeightedReward("mine", 1, function, {})], max_seconds)


def test_the_sum_is_weighted_and_the_parts_are_not() -> None:
    rewards = Rewards(parse_rewards({"exact": 2, "length": {"weight": 0.5, "characters": 4}, "score": 0}, SOURCE))
    totals, parts = rewards.score([PROMPT, PROMPT], ["7+13", "7+12111"])
    assert parts == {"exact": [1, 0], "length": [1, 0.25], "score": [1, 0]}
    assert totals == [2.5, 0.125]


def test_equal_answers_are_scored_once() -> None:
    calls = []
    rewards = rewards_of(lambda prompt, sample: calls.append(sample) or 1.0)
    assert rewards.score([PROMPT] * 4, ["a", "b", "a", "a"])[0] == [1, 1, 1, 1]
    assert calls == ["a", "b"]


def test_questions_with_the_same_text_in_other_conversations_are_scored_apart() -> None:
    def names_system(prompt: Question, sample: str) -> float:
        return float(prompt.chat.messages[0]["content"] == sample)

    last = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "x"}]
    first, second = (
        Question.from_chats([Chat.from_messages([{"role": "system", "content": system}, *last])]) for system in "ab"
    )
    assert first == second
    assert rewards_of(names_system).score([first, first, second, second], ["a", "b", "a", "b"])[0] == [1, 0, 0, 1]


def test_a_batch_reward_that_fails_or_hangs_is_named() -> None:
    class Fails(BatchReward):
        def scores(self, prompts: Any, samples: Any) -> list[float]:
            raise KeyError(samples[0])

    class Hangs(BatchReward):
        def scores(self, prompts: Any, samples: Any) -> list[float]:
            time.sleep(60)
            return []

    with pytest.raises(RunError, match="the reward mine raises KeyError: 'a' for 2 samples, the first of which is"):
        rewards_of(Fails()).score([PROMPT] * 2, ["a", "b"])
    with pytest.raises(RunError, match=r"the reward mine takes more than 0.2 seconds for 2 samples"):
        rewards_of(Hangs(), max_seconds=0.1).score([PROMPT] * 2, ["a", "b"])


def test_batch_rewards_score_many_answers_at_once() -> None:
    class Lengths(BatchReward):
        def scores(self, prompts: Any, samples: Any) -> list[float]:
            return [len(sample) for sample in samples]

    class TooFew(BatchReward):
        def scores(self, prompts: Any, samples: Any) -> list[float]:
            return []

    assert rewards_of(Lengths()).score([PROMPT] * 3, ["a", "bb", "a"])[0] == [1, 2, 1]
    with pytest.raises(RunError, match="mine returns 0 values for 1 samples"):
        rewards_of(TooFew()).score([PROMPT], ["a"])


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "1", [], 10**400])
def test_a_reward_that_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(RunError, match=r"the reward mine is .* no finite number, for the answer '7' to 'make:20'"):
        rewards_of(lambda prompt, sample: value).score([PROMPT], ["7"])


def test_a_reward_that_raises_is_named() -> None:
    def fail(prompt: Question, sample: str) -> float:
        raise ValueError("odd\nanswer")

    with pytest.raises(RunError, match="the reward mine raises ValueError: odd answer for the answer '7' to 'make:20'"):
        rewards_of(fail).score([PROMPT], ["7"])


def test_a_reward_that_hangs_is_named() -> None:
    with pytest.raises(RunError, match=r"the reward mine takes more than 0.1 seconds for the answer '7'"):
        rewards_of(lambda prompt, sample: time.sleep(60), max_seconds=0.1).score([PROMPT], ["7"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["exakt"], "There is no reward 'exakt'. Did you mean 'exact'?"),
        ([], "rewards=: name at least one."),
        ({"exact": 0}, "all weights are 0"),
        ({"exact": "much"}, "rewards.exact.weight='much': it should be a number."),
        ({"exact": math.nan}, "rewards.exact.weight=nan"),
        ({"length": {"charakters": 3}}, "no such option. Did you mean 'characters'?"),
        ({"length": {"characters": 0}}, "rewards.length.characters=0"),
        (["regex"], "rewards.regex needs pattern"),
        (
            {"regex": {"pattern": "("}},
            "rewards.regex.pattern='(': it should be a regular expression of Python (missing )",
        ),
        (["os.system"], "refused 'os.system'"),
        (["genai.core.files.read_text"], "refused 'genai.core.files.read_text'"),
        (["genai.rewards.base.Rewards"], "is no function reward(prompt, sample)"),
        (["genai.rewards.answers.check_tree"], "is no function reward(prompt, sample)"),
        (["genai.rewards.nothing.f"], "there is no module"),
    ],
)
def test_a_mistake_is_named(value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_rewards(value, SOURCE)
    assert message in str(error.value)


def test_a_function_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rewards.py").write_text("def loud(prompt, sample):\n    return sample.isupper()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"refused 'own_rewards\.loud'"):
        parse_rewards(["own_rewards.loud"], SOURCE)
    rewards = Rewards(parse_rewards(["own_rewards.loud"], SOURCE, ["own_rewards"]))
    assert rewards.score([PROMPT] * 2, ["A", "a"])[1] == {"own_rewards.loud": [1.0, 0.0]}
