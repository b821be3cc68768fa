"""Rows of new words and voices in embedding tables: what an adapter learns besides low-rank changes.

A word that no caption of the base had begins with the random rows of its hashes, a voice with the mean of the others.
Nothing else of the tables changes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.errors import UserError, short_repr, short_text
from genai.networks.speech import SpeechNetwork
from genai.networks.text_encoder import PromptEncoder


class WordRows(nn.Module):
    """The change of some rows of an embedding table (rows, width); it starts as zeros.

    Attributes:
        rows: (words, width); it is an ``nn.Embedding``, so that it gets the learning rate of embeddings.
        numbers: (words,), the rows that they are added to.
        enabled: whether the layer uses it.
    """

    enabled = True
    numbers: Tensor

    def __init__(self, table: nn.Embedding, numbers: Sequence[int]) -> None:
        super().__init__()
        weight = table._parameters["weight"]
        assert weight is not None
        self.rows = nn.Embedding.from_pretrained(weight.new_zeros(len(numbers), weight.shape[1]), freeze=False)
        self.register_buffer("numbers", torch.tensor(numbers, device=weight.device), persistent=False)

    def delta(self, table: nn.Embedding) -> Tensor:
        """Return the change of the table, in its shape."""
        return torch.zeros_like(table._parameters["weight"]).index_add(0, self.numbers, self.rows.weight)  # type: ignore[arg-type]

    def forward(self, table: nn.Embedding, x: Tensor) -> Tensor:
        """Return the change of the output of ``table`` for the rows ``x``."""
        return F.embedding(x, self.delta(table))


def word_tables(module: nn.Module, words: Sequence[str]) -> list[tuple[nn.Embedding, list[int]]]:
    """Return the embedding tables of the prompt encoders in ``module``, each with the rows of ``words``.

    Raises:
        UserError: there are words but no encoder, or one of them is several words.
    """
    encoders = [child for child in module.modules() if isinstance(child, PromptEncoder)] if words else []
    if words and not encoders:
        raise UserError("adapter.words: this model has no prompts of words. Leave it out.")
    tables = []
    for encoder in encoders:
        for word in words:
            if len(parts := encoder.split(word)) != 1:
                what = f"it is {len(parts)}: {short_text(' '.join(parts))}" if parts else "it is none"
                raise UserError(f"adapter.words: {short_repr(word)} should be one word, and {what}.")
        rows = encoder.word_rows([encoder.split(word)[0] for word in words])
        tables += [(table, numbers) for table, numbers in zip(encoder.words, rows, strict=True)]
    return tables  # type: ignore[return-value]


def speaker_tables(module: nn.Module) -> list[tuple[nn.Embedding, list[int]]]:
    """Return the tables of speakers in ``module``, each with its last row, that of a new voice.

    Raises:
        UserError: there is none.
    """
    tables = [child.speakers for child in module.modules() if isinstance(child, SpeechNetwork)]
    if not tables:
        raise UserError("adapter.speaker: this model has no voices, as those of model=tts have. Leave it out.")
    return [(table, [table.num_embeddings - 1]) for table in tables]
