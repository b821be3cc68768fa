"""A text encoder that is trained together with the network it conditions. It accepts any word."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Literal
from zlib import crc32

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import PromptEmbedding, attention, choose_num_heads, rms_norm

Count = Annotated[int, Ge(1), Le(65_536)]
Segmentation = Literal["spaces", "unicode"]
PREFIXES = (b"", b"again ")
"""What is hashed before a word, for each table."""


class PromptEncoder(nn.Module):
    """A sum of word embeddings, plus a small transformer for what depends on word order.

    The sum learns quickly and generalizes to new combinations of words. The transformer, whose output starts at zero,
    tells "a red circle left of a blue square" from its opposite. A word's embedding is the sum of two rows, found by
    two hash functions (hash embeddings, Svenstrup et al. 2017, arXiv:1709.03933), so two words hardly ever share both.

    Args:
        width: size of the pooled embedding.
        word_width: size of the word embeddings and width of the transformer.
        layers: number of transformer blocks.
        rows: rows of each of the two embedding tables.
        max_words: words per prompt; later words are ignored.
        segmentation: how a prompt is split into words, see ``split_words``.
        neighbors: words on each side that a transformer block mixes by a depthwise convolution (as in Primer,
            arXiv:2109.08668), so that "red" belongs to "circle" from the first steps; 0: none.
    """

    def __init__(
        self,
        width: Count = 128,
        word_width: Count = 64,
        layers: Annotated[int, Ge(0), Le(64)] = 1,
        rows: Annotated[int, Ge(1), Le(10_000_000)] = 2048,
        max_words: Annotated[int, Ge(1), Le(4096)] = 64,
        segmentation: Segmentation = "spaces",
        neighbors: Annotated[int, Ge(0), Le(16)] = 0,
    ) -> None:
        super().__init__()
        self.segmentation: Segmentation = segmentation
        self.width, self.word_width, self.rows, self.max_words = width, word_width, rows, max_words
        self.words = nn.ModuleList(nn.Embedding(rows + 1, word_width, padding_idx=rows) for _ in range(2))
        self.places = nn.Embedding(max_words + 1, word_width)
        self.mlp = nn.Sequential(
            nn.Linear(word_width, 2 * word_width), nn.SiLU(), nn.Linear(2 * word_width, word_width)
        )
        self.sum_out = nn.Linear(word_width, width)
        self.blocks = nn.ModuleList(WordBlock(word_width, neighbors) for _ in range(layers))
        self.order_out = nn.Linear(word_width, width)
        for table in self.words:
            nn.init.normal_(table.weight, std=0.35)  # type: ignore[arg-type]
        nn.init.normal_(self.places.weight, std=0.1)
        nn.init.zeros_(self.order_out.weight)
        nn.init.zeros_(self.order_out.bias)

    def forward(self, prompts: list[str]) -> PromptEmbedding:
        """Encode prompts; "" is the null prompt of classifier-free guidance."""
        return self.encode(self.tokenize(prompts))

    def encode(self, ids: Tensor) -> PromptEmbedding:
        """Encode what ``tokenize`` returns."""
        mask = ids[..., 0] != self.rows
        embedded: list[Tensor] = [table(ids[..., column]) for column, table in enumerate(self.words)]
        words = (embedded[0] + embedded[1]) * mask[..., None]
        total = words.sum(1) / mask.sum(1, keepdim=True).clamp(min=1).sqrt()  # bag of words
        x = words + self.places.weight[: words.shape[1]]  # learned positions
        for block in self.blocks:
            x = block(x, mask)
        x = rms_norm(x)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = self.sum_out(total + self.mlp(total)) + self.order_out(mean)
        return PromptEmbedding(pooled, x, mask)

    def split(self, prompt: str) -> list[str]:
        """Return the words of a prompt, also those after the first ``max_words``."""
        return split_words(prompt, self.segmentation)

    def word_rows(self, words: Sequence[str]) -> list[list[int]]:
        """Return the row of each word in both tables."""
        return [[crc32(prefix + word.encode()) % self.rows for word in words] for prefix in PREFIXES]

    def tokenize(self, prompts: list[str]) -> Tensor:
        """Return the row of each word in both tables, (batch, words, 2): first that of the begin token "".

        Prompts are padded with row ``rows``.
        """
        lines = [["", *self.split(prompt)[: self.max_words]] for prompt in prompts]
        length = max(map(len, lines))
        padding = [self.rows] * len(PREFIXES)
        ids = [[*map(list, zip(*self.word_rows(line), strict=True))] for line in lines]
        padded = [[*line, *[padding] * (length - len(line))] for line in ids]
        return torch.tensor(padded, device=self.places.weight.device)


class WordBlock(nn.Module):
    """A pre-norm transformer block: a convolution over neighboring words, if any, then bidirectional attention."""

    def __init__(self, width: int, neighbors: int = 0) -> None:
        super().__init__()
        size = 2 * neighbors + 1
        self.neighbors = nn.Conv1d(width, width, size, padding=neighbors, groups=width) if neighbors else None
        self.heads = choose_num_heads(width, 32)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (batch, words, width) to the same shape; ``mask`` (batch, words) is False at padding."""
        if self.neighbors is not None:
            x = x + self.neighbors((rms_norm(x) * mask[..., None]).mT).mT  # (B, width, words) inside
        q, k, v = self.qkv(rms_norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        output = attention(q, k, v, mask[:, None, None])  # (B, H, words, D)
        x = x + self.out(output.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(rms_norm(x)), approximate="tanh"))


def split_words(prompt: str, segmentation: Segmentation = "spaces") -> list[str]:
    """Split into lower-case words and punctuation marks: ``"A red circle."`` gives a, red, circle, "."."

    Args:
        segmentation: ``spaces``: words end at spaces and punctuation marks. ``unicode``: also, "é" is one character
            however it is spelled (NFC), and in scripts without spaces each character is a word.
    """
    prompt = prompt.lower()
    if segmentation == "spaces" or prompt.isascii():
        return re.findall(r"\w+|[^\w\s]", prompt)
    words, joins = list[str](), False
    for character in unicodedata.normalize("NFC", prompt):
        is_mark, has_spaces = unicodedata.category(character).startswith("M"), not _NO_SPACES.match(character)
        if words and (is_mark or (joins and has_spaces and _is_letter(character))):
            words[-1] += character
        elif not character.isspace():
            words.append(character)
        joins = (is_mark and joins) or (has_spaces and _is_letter(character))
    return words


_NO_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Han
)
"""Characters of scripts that put no spaces between words."""


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"
