"""Conversations packed into rows: several share one, and none sees another."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import Batch
from genai.core.cache import cache_key, cached_file
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.chat import Chat
from genai.modalities.chat_tokens import ChatModality, ChatTokens, tokenize_all
from genai.modalities.memmap_rows import MemmapRows, describe_rows, write_rows
from genai.modalities.skipped_rows import SUFFIX, print_skipped, write_skipped


@dataclass(frozen=True)
class PackedCounts:
    """Sizes of a packed split.

    Attributes:
        row_size: tokens of a row.
        rows: number of rows.
        sequences: number of conversations in them.
        tokens, targets: numbers of tokens that are no padding, and of those that are learned.
        truncated: conversations whose end is cut off.
        without_target: conversations that are left out, because no answer begins within the context.
        errors: conversations that are left out, because the template refuses them.
    """

    row_size: int
    rows: int
    sequences: int
    tokens: int
    targets: int
    truncated: int
    without_target: int
    errors: int


class PackedChats(MemmapRows[PackedCounts]):
    """Rows of conversations: tokens, their conversation's number in the row, and whether they are learned."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, PackedCounts, (3,))

    @property
    def summary(self) -> str:
        """What is in the rows, for people."""
        counts = self.counts
        what = (
            f"{counts.sequences:,} conversations in {counts.rows:,} rows of {counts.row_size - 1:,} tokens, "
            f"{counts.tokens / max(1, counts.rows * counts.row_size):.0%} full; {counts.targets:,} tokens "
            f"({counts.targets / max(1, counts.tokens):.0%}) are learned"
        )
        notes = {
            "cut off at the end of the context": counts.truncated,
            "left out, because no answer begins within the context": counts.without_target,
            "left out, because the chat template refuses them": counts.errors,
        }
        return describe_rows(what, notes)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """Return a batch whose ``x`` is (batch, row_size); the targets are ``x[:, 1:]`` where ``valid`` is True."""
        x, segments, is_target = (torch.from_numpy(part.astype(np.int64)) for part in self.rows[indices].swapaxes(0, 1))
        return Batch(x, valid=is_target[:, 1:].bool(), segments=segments)


def pack_chats(modality: ChatModality, split: Split, cache: Path) -> PackedChats:
    """Return conversations in rows, cached. Raises ``UserError`` if none can be used."""
    key = cache_key(split.content_hash, "chat", 2, modality.state(), modality.block, modality.end_tokens)
    chats: list[Chat] = [example.media for example in split]

    def write(path: Path) -> None:
        usable, errors = list[list[ChatTokens]](), list[tuple[int, str]]()
        for index, result in enumerate(tokenize_all(modality, chats, f"encoding conversations ({split.name})")):
            if isinstance(result, UserError):
                errors.append((index, str(result)))
            else:
                usable.append(result)
        write_chats(path, usable, modality.block, modality.end_token, len(errors))
        write_skipped(path, errors)

    packed = PackedChats(cached_file(cache / f"{key}.i4", write, SUFFIX))
    print_skipped(packed.path, [chat.place for chat in chats])
    if not len(packed):
        raise UserError(
            f"no conversation ({split.name}) can be learned with a context of {modality.block:,}: {packed.summary}."
        )
    return packed


def write_chats(path: Path, chats: Iterable[Sequence[ChatTokens]], block: int, padding: int, num_errors: int) -> None:
    """Write conversations to a file for ``PackedChats``.

    The beginning of a conversation is kept if it is longer than the context; it is left out if no answer is in it. Rows
    are as long as the longest conversation, at most ``block + 1``.

    Args:
        path: the file.
        chats: the sequences of each conversation.
        block: context length in tokens.
        padding: token at the end of rows.
        num_errors: number of conversations that are not among ``chats``.
    """
    sequences, truncated, without_target = list[ChatTokens](), 0, 0
    for chat in chats:
        cut = [ChatTokens(each.tokens[: block + 1], each.is_target[: block + 1]) for each in chat]
        usable = [each for each in cut if each.is_target[1:].any()]
        without_target += not usable
        truncated += bool(usable) and any(len(each.tokens) > block + 1 for each in chat)
        sequences += usable
    row_size = max((len(each.tokens) for each in sequences), default=2)
    rows = pack_rows([len(each.tokens) for each in sequences], row_size)
    tokens, targets = sum(len(each.tokens) for each in sequences), sum(int(each.is_target.sum()) for each in sequences)
    counts = PackedCounts(
        row_size, len(rows), len(sequences), tokens, targets, truncated, without_target, num_errors
    )  # fmt: skip
    write_rows(path, counts, (_fill_row([sequences[index] for index in row], row_size, padding) for row in rows))


def pack_rows(lengths: Sequence[int], row_size: int) -> list[list[int]]:
    """Put sequences into as few rows as best-fit decreasing finds; return the indices of each row's sequences."""
    rows, spaces = list[list[int]](), list[tuple[int, int]]()  # (free tokens, row), sorted
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        place = bisect_left(spaces, (lengths[index], -1))
        if place == len(spaces):
            spaces.append((row_size, len(rows)))
            rows.append([])
        free, row = spaces.pop(place)
        rows[row].append(index)
        if free > lengths[index]:
            insort(spaces, (free - lengths[index], row))
    return rows


def _fill_row(sequences: Sequence[ChatTokens], row_size: int, padding: int) -> NDArray[np.int32]:
    """Return (3, row_size): tokens, numbers of the sequences, and whether a token is learned."""
    row = np.zeros((3, row_size), np.int32)
    row[0], row[1] = padding, len(sequences)
    start = 0
    for number, sequence in enumerate(sequences):
        end = start + len(sequence.tokens)
        row[:, start:end] = sequence.tokens, np.full(end - start, number), sequence.is_target
        row[2, start] = 0  # nothing stands before it
        start = end
    return row
