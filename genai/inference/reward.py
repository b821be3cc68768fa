"""Scores of answers by a reward model, as a function."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from genai.core.errors import UserError
from genai.inference.model import load
from genai.media.chat import Chat, Message
from genai.methods.reward import Reward
from genai.modalities.chat_tokens import tokenize_chats
from genai.modalities.text import Text

RewardFunction = Callable[[str | Sequence[Message], str], float]
"""Returns the score of an answer to a question, or to the messages of a conversation."""


def load_reward(source: str | Path, device: str = "cpu") -> RewardFunction:
    """Load a run of ``method=reward`` as a function ``(prompt, sample) -> score``.

    Scores of answers to the same question can be compared; others hardly, because training only compares such pairs.

    Args:
        source: run folder, checkpoint or exported folder.
        device: of the network.

    Raises:
        UserError: it is no reward model; when it is called: a prompt that its template refuses, or that has no room
            for the answer.
    """
    model = load(source, device=device)
    method, modality = model.method, model.modality
    if not isinstance(method, Reward) or not isinstance(modality, Text):
        raise UserError(f"{source} is no reward model. Train one with method=reward data=preferences.")

    @torch.inference_mode()
    def reward(prompt: str | Sequence[Message], sample: str) -> float:
        question = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        (sequences,) = tokenize_chats(modality, [Chat.from_messages([*question, _answer(sample)])])
        if isinstance(sequences, UserError):
            raise sequences
        tokens = torch.from_numpy(sequences[0].tokens[: modality.block + 1])[None].to(method.device)
        if not sequences[0].is_target[: tokens.shape[1]].any():
            raise UserError(f"the prompt fills the context of {modality.block:,} tokens: no answer can be scored.")
        return float(method.ema_module(tokens, torch.tensor([tokens.shape[1] - 1], device=method.device)))

    return reward


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": text}
