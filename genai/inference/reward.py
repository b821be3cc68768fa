"""Scores of answers by a reward model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genai.core.batch import batch_ranges
from genai.core.errors import UserError
from genai.inference.model import load
from genai.media.chat import Chat, Message
from genai.methods.reward import Reward
from genai.modalities.chat_tokens import tokenize_chats
from genai.modalities.text import Text

INVALID_SCORE = -10.0
"""Score of an answer that the chat template refuses, because it holds a mark of it."""
BATCH = 16
"""Answers that are scored in one pass."""

Prompt = str | Sequence[Message]
"""A question, or the messages of a conversation."""


class RewardScorer:
    """Scores answers. Those to the same question can be compared; others hardly, because training only compares such
    pairs.

    Args:
        method: a reward model.
        modality: of its texts.
    """

    def __init__(self, method: Reward, modality: Text) -> None:
        self.method, self.modality = method, modality

    def __call__(self, prompt: Prompt, sample: str) -> float:
        """Return the score of an answer. Raises ``UserError``, see ``scores``."""
        return self.scores([prompt], [sample])[0]

    @torch.inference_mode()
    def scores(self, prompts: Sequence[Prompt], samples: Sequence[str]) -> list[float]:
        """Return the score of each answer to its prompt; ``INVALID_SCORE`` of one that the chat template refuses.

        An answer that the context cuts is scored at its last token within it.

        Raises:
            UserError: a prompt that the template refuses, or that has no room for the answer.
        """
        rows = self._tokenize([_messages(prompt) for prompt in prompts], samples)
        scores = [INVALID_SCORE] * len(rows)
        known = [number for number, row in enumerate(rows) if row is not None]
        known.sort(key=lambda number: len(rows[number]))  # type: ignore[arg-type]
        for places in batch_ranges(len(known), BATCH):
            numbers = [known[place] for place in places]
            values = self._score_rows([row for number in numbers if (row := rows[number]) is not None])
            for number, value in zip(numbers, values, strict=True):
                scores[number] = value
        return scores

    def _score_rows(self, rows: Sequence[Tensor]) -> list[float]:
        last = torch.tensor([len(row) - 1 for row in rows], device=self.method.device)
        x = pad_sequence(list(rows), batch_first=True).to(self.method.device)
        values: list[float] = self.method.ema_module(x, last).float().tolist()
        return values

    def _tokenize(self, prompts: Sequence[Sequence[Message]], samples: Sequence[str]) -> list[Tensor | None]:
        """Return the tokens of each conversation; ``None``: the template refuses the answer. Raises ``UserError``."""
        chats = [_chat(prompt, sample) for prompt, sample in zip(prompts, samples, strict=True)]
        results = tokenize_chats(self.modality, chats)
        invalid = [number for number, result in enumerate(results) if isinstance(result, UserError)]
        for result in tokenize_chats(self.modality, [_chat(prompts[number], "a") for number in invalid]):
            if isinstance(result, UserError):
                raise result
        rows = list[Tensor | None]()
        for result in results:
            if isinstance(result, UserError):
                rows.append(None)
                continue
            start = np.flatnonzero(~result[0].is_target)[-1] + 1  # of the last answer
            if start > self.modality.block:
                raise UserError(
                    f"the prompt fills the context of {self.modality.block:,} tokens: no answer can be scored."
                )
            rows.append(torch.from_numpy(result[0].tokens[: self.modality.block + 1]))
        return rows


def load_reward(source: str | Path, device: str = "cpu") -> RewardScorer:
    """Load a run of ``method=reward`` as a function ``(prompt, sample) -> score``.

    Args:
        source: run folder, checkpoint or exported folder.
        device: of the network.

    Raises:
        UserError: it is no reward model.
    """
    model = load(source, device=device)
    method, modality = model.method, model.modality
    if not isinstance(method, Reward) or not isinstance(modality, Text):
        raise UserError(f"{source} is no reward model. Train one with method=reward data=preferences.")
    return RewardScorer(method, modality)


def _messages(prompt: Prompt) -> Sequence[Message]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _chat(question: Sequence[Message], answer: str) -> Chat:
    return Chat.from_messages([*question, {"role": "assistant", "content": answer}])
