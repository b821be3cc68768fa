"""A reward that a model gives: a run of ``method=reward``."""

from collections.abc import Sequence

from genai.inference.reward import load_reward
from genai.media.chat import Question
from genai.rewards.base import BatchReward


class RewardModel(BatchReward):
    """The score of a reward model. Its scale is its own: choose the weight so that it fits the other rewards.

    Args:
        ckpt: run folder, checkpoint or exported folder.

    Raises:
        UserError: it is no reward model.
    """

    def __init__(self, ckpt: str) -> None:
        self.reward = load_reward(ckpt)

    def scores(self, prompts: Sequence[Question], samples: Sequence[str]) -> list[float]:
        """Return the scores, -10 of an answer that holds a mark of the model's chat template.

        Raises:
            UserError: a question that the model cannot read.
        """
        return self.reward.scores([prompt.chat.question for prompt in prompts], samples)
