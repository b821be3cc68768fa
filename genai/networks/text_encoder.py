"""Prompts -> vectors, learnt along with the network that they guide. No word is unknown to it."""

import re
from typing import Annotated
from zlib import crc32

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Context, attention, heads_for, rms_norm

Count = Annotated[int, Ge(1), Le(65_536)]


class PromptEncoder(nn.Module):
    """A sum of word vectors, and a small transformer that adds what depends on their order.

    The sum learns at once and composes to combinations never seen; the transformer, whose readout starts at zero, tells
    "a red circle left of a blue square" from its opposite. A word's vector is the sum of two rows found by two hashes
    (Svenstrup et al. 2017, arXiv:1709.03933), so that two words all but never share both.

    Args:
        width: of the vectors it gives.
        word_width, layers: of the transformer.
        rows: of each of the two tables.
        longest: words of a prompt that are heard; the rest is not.
    """

    def __init__(
        self,
        width: Count = 128,
        word_width: Count = 64,
        layers: Annotated[int, Ge(0), Le(64)] = 1,
        rows: Annotated[int, Ge(1), Le(10_000_000)] = 2048,
        longest: Annotated[int, Ge(1), Le(4096)] = 64,
    ) -> None:
        super().__init__()
        self.width, self.word_width, self.rows, self.longest = width, word_width, rows, longest
        self.words = nn.ModuleList(nn.Embedding(rows + 1, word_width, padding_idx=rows) for _ in range(2))
        self.places = nn.Embedding(longest + 1, word_width)
        self.mlp = nn.Sequential(
            nn.Linear(word_width, 2 * word_width), nn.SiLU(), nn.Linear(2 * word_width, word_width)
        )
        self.sum_out = nn.Linear(word_width, width)
        self.blocks = nn.ModuleList(WordBlock(word_width) for _ in range(layers))
        self.order_out = nn.Linear(word_width, width)
        for table in self.words:
            nn.init.normal_(table.weight, std=0.35)  # type: ignore[arg-type]
        nn.init.normal_(self.places.weight, std=0.1)
        nn.init.zeros_(self.order_out.weight)
        nn.init.zeros_(self.order_out.bias)

    def forward(self, prompts: list[str]) -> Context:
        """The ``Context`` of each prompt; "" is the null prompt of guidance."""
        rows, mask = self._rows(prompts)
        embedded: list[Tensor] = [table(ids) for table, ids in zip(self.words, rows, strict=True)]
        words = (embedded[0] + embedded[1]) * mask[..., None]
        total = words.sum(1) / mask.sum(1, keepdim=True).clamp(min=1).sqrt()
        x = words + self.places.weight[: words.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        x = rms_norm(x)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = self.sum_out(total + self.mlp(total)) + self.order_out(mean)
        return Context(pooled, x, mask)

    def _rows(self, prompts: list[str]) -> tuple[list[Tensor], Tensor]:
        """The two tables' rows of each word (batch, words), and the mask; the begin mark is the word ""."""
        words = [["", *split_words(prompt)[: self.longest]] for prompt in prompts]
        longest = max(map(len, words))
        device = self.places.weight.device
        padded = [[*line, *[None] * (longest - len(line))] for line in words]
        rows = [
            torch.tensor(
                [
                    [self.rows if word is None else crc32(salt + word.encode()) % self.rows for word in line]
                    for line in padded
                ],
                device=device,
            )
            for salt in (b"", b"again ")
        ]
        return rows, torch.tensor([[word is not None for word in line] for line in padded], device=device)


class WordBlock(nn.Module):
    """A pre-norm transformer block over words, each seeing all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = heads_for(width, 32)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(batch, words, width) -> the same; ``mask`` (batch, words) says which words are there."""
        q, k, v = self.qkv(rms_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = attention(q, k, v, mask[:, None, None])
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(rms_norm(x)), approximate="tanh"))


def split_words(prompt: str) -> list[str]:
    """Lower-case words and marks: ``"A red circle."`` is a, red, circle, and a full stop."""
    return re.findall(r"\w+|[^\w\s]", prompt.lower())
