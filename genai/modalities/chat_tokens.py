"""Tokens of conversations, and which of them are to be learned.

What is learned follows from the messages: an answer's tokens are those that its conversation has with the answer, and
not without it. No mark of a template is searched for. Supervised training, preferences and rewards all start from here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.cache import track_progress
from genai.core.errors import UserError
from genai.media.chat import Chat, Message
from genai.modalities.chat_template import ChatTemplate

MAX_GROUP, MAX_GROUP_CHARS = 500, 4_000_000
"""Conversations that are tokenized at once, and characters of all their beginnings that a template writes."""


class ChatModality(Protocol):
    """What tokens of conversations need of ``Text``."""

    chat_template: ChatTemplate | None
    block: int

    @property
    def end_token(self) -> int: ...

    @property
    def end_tokens(self) -> tuple[int, ...]: ...

    def encode_prompt(self, text: str) -> Tensor: ...

    def prompt_bytes(self, x: Tensor) -> bytes: ...

    def render_chats(self, conversations: Sequence[tuple[Sequence[Message], bool]]) -> list[str | UserError]: ...

    def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ChatTokens:
    """A conversation as a model reads it.

    Attributes:
        tokens: (time,) int64.
        is_target: (time,) bool, True at the tokens of answers, and at the token that ends each of them.
    """

    tokens: NDArray[np.int64]
    is_target: NDArray[np.bool_]


def tokenize_all(modality: ChatModality, chats: Sequence[Chat], label: str) -> Iterator[list[ChatTokens] | UserError]:
    """Yield what ``tokenize_chats`` returns, some conversations at a time, with a progress bar."""
    groups = group_chats(chats)
    for rows in track_progress(groups, label, len(groups)):
        yield from tokenize_chats(modality, chats[rows.start : rows.stop])


def group_chats(chats: Sequence[Chat]) -> list[range]:
    """Return the indices of consecutive conversations that fit ``MAX_GROUP`` and ``MAX_GROUP_CHARS``, or are alone."""
    groups, start, characters = list[range](), 0, 0
    for index, chat in enumerate(chats):
        size = 2 * len(chat) * len(chat.answers)
        if index > start and (index - start == MAX_GROUP or characters + size > MAX_GROUP_CHARS):
            groups.append(range(start, index))
            start, characters = index, 0
        characters += size
    return [*groups, range(start, len(chats))] if chats else []


def tokenize_chats(modality: ChatModality, chats: Sequence[Chat]) -> list[list[ChatTokens] | UserError]:
    """Return the tokens of each conversation up to its last answer.

    Args:
        modality: has a chat template.
        chats: conversations with at least one answer.

    Returns:
        For each conversation one sequence; several if the template writes earlier messages differently when others
        follow, so that an answer does not stand in the whole conversation as the model has to write it. Or the error of
        the template, such as roles that have to alternate, or of a message that contains a special token.
    """
    requests = [
        (chat.messages[: index + has_answer], not has_answer)
        for chat in chats
        for index in chat.answers
        for has_answer in (False, True)
    ]
    texts = iter(modality.render_chats(requests))
    return [_tokenize_chat(modality, [next(texts) for _ in range(2 * len(chat.answers))]) for chat in chats]


def _tokenize_chat(modality: ChatModality, texts: Sequence[str | UserError]) -> list[ChatTokens] | UserError:
    """Return the sequences of a conversation.

    Args:
        modality: see ``tokenize_chats``.
        texts: for each answer the text before it, and up to and with it.
    """
    if error := next((text for text in texts if isinstance(text, UserError)), None):
        return error
    encoded = [modality.encode_prompt(str(text)).numpy() for text in texts]
    answers = [_answer(*pair, modality.end_tokens) for pair in zip(encoded[::2], encoded[1::2], strict=True)]
    whole, sequences = answers[-1], [answers[-1]]
    for answer in answers[:-1]:
        size = len(answer.tokens)
        if np.array_equal(answer.tokens, whole.tokens[:size]):
            whole.is_target[:size] |= answer.is_target
        else:
            sequences.append(answer)
    return sequences


def _answer(question: NDArray[np.int64], tokens: NDArray[np.int64], end_tokens: Sequence[int]) -> ChatTokens:
    """Return a conversation whose last message is to be learned, up to the token that ends it.

    Args:
        question: tokens without the answer, with what a model reads before it.
        tokens: with the answer.
        end_tokens: tokens that end a text. If there is none after the answer, the first one is appended.
    """
    size = min(len(question), len(tokens))
    start = int(np.argmin(np.append(question[:size] == tokens[:size], False)))  # length of the common prefix
    ends = start + np.flatnonzero(np.isin(tokens[start:], end_tokens))
    tokens = tokens[: ends[-1] + 1] if len(ends) else np.append(tokens, end_tokens[0])
    return ChatTokens(tokens, np.arange(len(tokens)) >= start)


def target_parts(modality: ChatModality, chat: Chat) -> list[tuple[str, bool]] | None:
    """Return the parts of a conversation, and whether they are learned, as ``pack_chats`` has them; ``None``: the
    template refuses it."""
    sequences = tokenize_chats(modality, [chat])[0]
    if isinstance(sequences, UserError):
        return None
    tokens, is_target = sequences[0].tokens[: modality.block + 1], sequences[0].is_target[: modality.block + 1]
    bounds = np.flatnonzero(np.diff(is_target)) + 1
    texts = [modality.prompt_bytes(torch.from_numpy(part)) for part in np.split(tokens, bounds)]
    flags = [bool(part[0]) for part in np.split(is_target, bounds)]
    return [(text.decode("utf-8", "replace"), flag) for text, flag in zip(texts, flags, strict=True)]
