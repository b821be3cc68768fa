"""Training and validation of conversations, of which no two with the same question are in both."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from genai.core.data import Example, Split
from genai.data.weighted_split import select_by_weight
from genai.media.chat import Chat

T = TypeVar("T")


def split_by_question(
    items: Mapping[str, T], chat_of: Callable[[T], Chat], fraction: float, val: Mapping[str, T] | None = None
) -> tuple[dict[str, T], dict[str, T]]:
    """Return the items to train on and the held-out ones.

    Args:
        items: different ones by their keys.
        chat_of: returns the conversation of an item, whose question counts.
        fraction: of the characters, to be held out.
        val: the held-out items, instead; those of the same question are not trained on.
    """
    if val is not None:
        questions = {_question(chat_of(item)) for item in val.values()}
        return {key: item for key, item in items.items() if _question(chat_of(item)) not in questions}, dict(val)
    keys = _select({key: chat_of(item) for key, item in items.items()}, fraction)
    return (
        {key: item for key, item in items.items() if key not in keys},
        {key: item for key, item in items.items() if key in keys},
    )


def _select(chats: Mapping[str, Chat], fraction: float) -> set[str]:
    """Select about ``fraction`` of the characters of conversations, by their content.

    Those that begin with the same messages, up to the first answer, are selected together, if there are several groups.

    Args:
        chats: different conversations by their keys.
        fraction: of the characters.

    Returns:
        The keys of the selected ones; at least one, and not all.
    """
    groups = dict[str, list[str]]()
    for key, chat in chats.items():
        groups.setdefault(_question(chat), []).append(key)
    if len(groups) == 1:
        groups = {key: [key] for key in chats}
    hashes = {hashlib.sha256(question.encode()).hexdigest(): keys for question, keys in groups.items()}
    weights = {digest: float(sum(len(chats[key]) for key in hashes[digest])) for digest in sorted(hashes)}
    count = min(len(weights) - 1, max(1, round(len(weights) * fraction)))
    selection = select_by_weight(weights, fraction, set(list(weights)[:count]))
    return {key for digest in selection for key in hashes[digest]}


def _question(chat: Chat) -> str:
    """Return the messages before the first answer to learn, as a key."""
    return json.dumps([list(message.items()) for message in chat.messages[: chat.answers[0]]])


def make_chat_split(name: str, chats: Sequence[Chat]) -> Split:
    """Return conversations as a split."""
    digest = hashlib.sha256("\n".join(chat.key for chat in chats).encode()).hexdigest()
    return Split(name, len(chats), lambda index: Example(chats[index]), digest)
