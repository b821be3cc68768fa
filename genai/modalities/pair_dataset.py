"""Pairs of conversations packed into rows: the tokens with the chosen and with the rejected answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.batch import PairBatch
from genai.core.cache import cache_key, cached_file
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.chat_pair import ChatPair
from genai.modalities.chat_tokens import ChatModality, ChatTokens, tokenize_all
from genai.modalities.memmap_rows import MemmapRows, describe_rows, write_rows
from genai.modalities.skipped_rows import SUFFIX, print_skipped, write_skipped


@dataclass(frozen=True)
class PairCounts:
    """Sizes of a packed split of pairs.

    Attributes:
        row_size: tokens of a conversation, with padding.
        pairs: number of pairs.
        chosen_tokens, rejected_tokens: numbers of tokens of the answers.
        truncated: pairs of which an answer is cut off at the end of the context.
        equal: pairs that are left out, because their tokens are equal within the context.
        without_target: pairs that are left out, because an answer does not begin within the context.
        errors: pairs that are left out, because the template refuses them.
    """

    row_size: int
    pairs: int
    chosen_tokens: int
    rejected_tokens: int
    truncated: int
    equal: int
    without_target: int
    errors: int


class PackedPairs(MemmapRows[PairCounts]):
    """Pairs: of the chosen and of the rejected conversation, tokens, and whether they belong to an answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, PairCounts, (2, 2))

    @property
    def summary(self) -> str:
        """What is in the rows, for people."""
        counts, size = self.counts, max(1, self.counts.pairs)
        lengths = f"{counts.chosen_tokens / size:.0f} and {counts.rejected_tokens / size:.0f}"
        what = f"{counts.pairs:,} pairs; chosen and rejected answers have {lengths} tokens on average"
        notes = {
            "cut off at the end of the context": counts.truncated,
            "left out, because the answers are equal within the context": counts.equal,
            "left out, because no answer begins within the context": counts.without_target,
            "left out, because the chat template refuses them": counts.errors,
        }
        return describe_rows(what, notes)

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> PairBatch:
        """Return a batch as long as its longest conversation."""
        rows = torch.from_numpy(self.rows[indices].astype(np.int64))
        x, is_target = rows[:, :, 0], rows[:, :, 1].bool()
        size = int(is_target.flatten(0, 1).any(0).nonzero().max()) + 1  # an answer ends its conversation
        return PairBatch(x[..., :size], valid=is_target[..., 1:size])


def pack_pairs(modality: ChatModality, split: Split, cache: Path) -> PackedPairs:
    """Return pairs in rows, cached. Raises ``UserError`` if none can be used."""
    key = cache_key(split.content_hash, "pairs", 2, modality.state(), modality.block, modality.end_tokens)
    pairs: list[ChatPair] = [example.media for example in split]

    def write(path: Path) -> None:
        chats = [chat for pair in pairs for chat in (pair.chosen, pair.rejected)]
        results = tokenize_all(modality, chats, f"encoding pairs ({split.name})")
        usable, errors = list[tuple[ChatTokens, ChatTokens]](), list[tuple[int, str]]()
        for index, sides in enumerate(zip(results, results, strict=True)):  # both sides come from one iterator
            error = next((side for side in sides if isinstance(side, UserError)), None)
            sequences = [side[0] for side in sides if not isinstance(side, UserError) and len(side) == 1]
            if error or len(sequences) < 2:
                errors.append((index, str(error or "the chat template rewrites its answers.")))
            else:
                usable.append((sequences[0], sequences[1]))
        write_pairs(path, usable, modality.block, modality.end_token, len(errors))
        write_skipped(path, errors)

    packed = PackedPairs(cached_file(cache / f"{key}.p4", write, SUFFIX))
    print_skipped(packed.path, [pair.place for pair in pairs])
    if not len(packed):
        raise UserError(
            f"no pair ({split.name}) can be used with a context of {modality.block:,}: {packed.summary}. "
            "A larger modality.block= holds longer questions, if the model can have it."
        )
    return packed


def write_pairs(
    path: Path, pairs: Sequence[tuple[ChatTokens, ChatTokens]], block: int, padding: int, num_errors: int
) -> None:
    """Write pairs to a file for ``PackedPairs``.

    Args:
        path: the file.
        pairs: the chosen and the rejected conversation of each.
        block: context length in tokens; what is longer is cut off.
        padding: token at the end of rows.
        num_errors: number of pairs that are not among ``pairs``.
    """
    rows, truncated, equal, without_target = list[list[ChatTokens]](), 0, 0, 0
    for pair in pairs:
        cut = [ChatTokens(side.tokens[: block + 1], side.is_target[: block + 1]) for side in pair]
        if not all(side.is_target[1:].any() for side in cut):
            without_target += 1
        elif np.array_equal(cut[0].tokens, cut[1].tokens):
            equal += 1
        else:
            truncated += any(len(side.tokens) > block + 1 for side in pair)
            rows.append(cut)
    row_size = max((len(side.tokens) for row in rows for side in row), default=2)
    chosen, rejected = (sum(int(row[side].is_target[1:].sum()) for row in rows) for side in (0, 1))
    counts = PairCounts(row_size, len(rows), chosen, rejected, truncated, equal, without_target, num_errors)
    write_rows(path, counts, (np.stack([_fill(side, row_size, padding) for side in row]) for row in rows))


def _fill(sequence: ChatTokens, row_size: int, padding: int) -> NDArray[np.int32]:
    """Return (2, row_size): tokens, and whether they belong to an answer."""
    row = np.zeros((2, row_size), np.int32)
    row[0] = padding
    row[:, : len(sequence.tokens)] = sequence.tokens, sequence.is_target
    return row
