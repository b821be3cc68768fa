"""Questions of conversations as prompts: a method samples answers to them itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from genai.core.batch import PromptBatch
from genai.core.cache import cache_key, cached_file
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.chat import Chat, Question
from genai.modalities.chat_tokens import ChatModality
from genai.modalities.memmap_dataset import MemmapDataset
from genai.modalities.skipped_rows import SUFFIX, print_skipped, write_skipped


class PackedPrompts(MemmapDataset):
    """Prompts: their tokens in a file, and their questions in memory.

    Args:
        path: file of int32: number of prompts, number of tokens of each (0: it is left out), the tokens.
        questions: of all prompts, also of those that are left out.
    """

    def __init__(self, path: Path, questions: Sequence[Question]) -> None:
        super().__init__(path, questions)
        values = self.memmap(np.int32)
        lengths = values[1 : 1 + values[0]].astype(np.int64)
        self.tokens, self.questions = values[1 + values[0] :], questions
        self.ends = lengths.cumsum()
        self.indices = np.flatnonzero(lengths)  # of the prompts that are not left out

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def summary(self) -> str:
        """What is in it, for people."""
        num_rejected = len(self.questions) - len(self)
        note = f"; {num_rejected:,} left out, because they do not fit into the context or the chat template"
        return f"{len(self):,} different prompts{note * bool(num_rejected)}"

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> PromptBatch:
        """Return a batch as long as its longest prompt."""
        numbers = [int(self.indices[index]) for index in indices]
        starts = [int(self.ends[number - 1]) if number else 0 for number in numbers]
        rows = [self.tokens[start : self.ends[number]] for start, number in zip(starts, numbers, strict=True)]
        x = pad_sequence([torch.from_numpy(row.astype(np.int64)) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        valid = torch.arange(x.shape[1]) < lengths[:, None]
        return PromptBatch(x, [self.questions[number] for number in numbers], valid)


def pack_prompts(modality: ChatModality, split: Split, cache: Path) -> PackedPrompts:
    """Return the different questions of conversations, up to the last answer of each, as prompts; cached.

    Raises:
        UserError: no question can be used.
    """
    chats = dict[str, list[Chat]]()
    for example in split:
        chat: Chat = example.media
        chats.setdefault(json.dumps(list(chat.question)), []).append(chat)
    questions = [Question.from_chats(group) for group in chats.values()]
    key = cache_key(split.content_hash, "prompts", 2, modality.state(), modality.block)

    def write(path: Path) -> None:
        errors = list[tuple[int, str]]()
        texts = modality.render_chats([(question.chat.question, True) for question in questions])
        rows = list[np.ndarray]()
        for index, text in enumerate(texts):
            tokens = [] if isinstance(text, UserError) else modality.encode_prompt(text).tolist()
            if not 0 < len(tokens) < modality.block:
                reason = text if isinstance(text, UserError) else f"{len(tokens):,} tokens."
                errors.append((index, str(reason)))
                tokens = []
            rows.append(np.array(tokens, np.int32))
        lengths = np.array([len(rows), *map(len, rows)], np.int32)
        path.write_bytes(lengths.tobytes() + b"".join(row.tobytes() for row in rows))
        write_skipped(path, errors)

    packed = PackedPrompts(cached_file(cache / f"{key}.i4", write, SUFFIX), questions)
    print_skipped(packed.path, [question.chat.place for question in questions])
    if not len(packed):
        raise UserError(f"no question ({split.name}) can be used with a context of {modality.block:,} tokens.")
    return packed
