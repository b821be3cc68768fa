"""Text: strings <-> tokens, windows of a memory-mapped corpus, streams that never split a character."""

import codecs
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Batch, Request
from genai.core.cache import cache_key, cached_file, cached_json, track_progress
from genai.core.data import ItemRandom, Split
from genai.core.errors import UserError
from genai.media.text import Document
from genai.modalities import tokenizers
from genai.modalities.base import Decoder, Modality


@dataclass(frozen=True)
class TextOptions:
    """What a request for text may say.

    Attributes:
        length: the largest number of new tokens.
        stop: texts at which a sample ends; they are not part of it.
    """

    length: Annotated[int, Ge(1), Le(1_000_000)] = 256
    stop: Sequence[str] = ()


class Text(Modality):
    """Text as tokens.

    Args:
        tokenizer: ``bpe`` (trained on the training split), ``characters`` or ``bytes``.
        vocab_size: of ``bpe``; the others find their own.
        block: tokens that a network sees at once.
    """

    media = Document
    Options = TextOptions

    def __init__(
        self,
        tokenizer: Literal["bpe", "characters", "bytes"] = "bpe",
        vocab_size: Annotated[int, Ge(257), Le(1_000_000)] | None = None,
        block: Annotated[int, Ge(2), Le(1_000_000)] = 256,
    ) -> None:
        if tokenizer != "bpe" and vocab_size is not None:
            raise ValueError(
                f"vocab_size belongs to tokenizer=bpe; {tokenizer} finds its own. Set modality.vocab_size=null."
            )
        self.kind, self.vocab_size, self.block = tokenizer, vocab_size or 2048, block
        self.tokenizer: tokenizers.Tokenizer = tokenizers.Bytes()

    @property
    def end(self) -> int:
        """The token behind each document; no text encodes to it."""
        return len(self.tokenizer.pieces)

    @property
    def interface(self) -> dict[str, Any]:
        return {"vocab_size": self.end + 1, "block": self.block}

    def fit(self, split: Split, cache: Path) -> None:
        texts = (example.media for example in split)
        if self.kind == "characters":
            self.tokenizer = tokenizers.Characters.train(texts)
        elif self.kind == "bpe":
            key = cache_key(split.fingerprint, "bpe", self.vocab_size)
            train = lambda: tokenizers.BPE.train(texts, self.vocab_size).state()  # noqa: E731
            self.tokenizer = tokenizers.restore(cached_json(cache / f"{key}.json", train))

    def state(self) -> dict[str, Any]:
        return {**self.tokenizer.state(), "vocab_size": self.vocab_size}

    def restore(self, state: Mapping[str, Any]) -> None:
        tokenizer = tokenizers.restore(state)
        for label, its, mine in (
            ("tokenizer", state["kind"], self.kind),
            ("vocab_size", state["vocab_size"], self.vocab_size),
        ):
            if its != mine:
                raise ValueError(f"its modality.{label} is {its}, not {mine}")
        self.tokenizer = tokenizer

    def encode(self, media: Any) -> Tensor:
        """(tokens,) int64."""
        text = str(media).encode("utf-8", "replace").decode()  # a terminal can give half a surrogate pair
        return torch.from_numpy(self.tokenizer.encode(text))

    def decode(self, x: Tensor) -> Document:
        content = self.bytes_of(x)
        return Document(content.decode("utf-8", "replace"))

    def bytes_of(self, x: Tensor) -> bytes:
        """UTF-8 of the tokens before the first end token; it may begin or end inside a character."""
        ids = x.tolist()
        stop = ids.index(self.end) if self.end in ids else len(ids)
        return b"".join(self.tokenizer.pieces[index] for index in ids[:stop])

    def decoder(self, given: Tensor | None, options: TextOptions) -> Decoder:
        return TextDecoder(self, given, list(options.stop))

    def pack(self, split: Split, cache: Path) -> "PackedText":
        key = cache_key(split.fingerprint, "tokens", self.state())

        def write(path: Path) -> None:
            kind = np.uint16 if self.end < 2**16 else np.uint32
            with path.open("wb") as file:
                for example in track_progress(split, f"encoding text ({split.name})", len(split)):
                    tokens = np.append(self.tokenizer.encode(str(example.media)), self.end)
                    file.write(tokens.astype(kind).tobytes())

        path = cached_file(cache / f"{key}.{'u2' if self.end < 2**16 else 'u4'}", write)
        packed = PackedText(path, self.block)
        if split.name == "train" and len(packed.tokens) <= self.block:
            count, block = len(packed.tokens), self.block
            advice = f", or set modality.block={max(2, count // 4)}" if count > 2 else ""
            raise UserError(
                f"the training text has {count} tokens, fewer than a block of {block} needs. Give more text{advice}."
            )
        return packed

    def request(self, prompts: list[str], seeds: list[int], init: Document | None, options: TextOptions) -> Request:
        """A prompt is the beginning of its sample; ``init``, a text from a file, comes before it."""
        begin = [self.encode(f"{init or ''}{prompt}") for prompt in prompts]
        ended = torch.tensor([self.end])  # a document begins where another one has ended
        given = [tokens if len(tokens) else ended for tokens in begin]
        return Request([""] * len(prompts), seeds, (options.length,), init=given, end=self.end)

    def preview_prompts(self, split: Split) -> list[str]:
        """The first words of a few held-out documents."""
        count = min(4, len(split))
        chosen = [split[index * len(split) // count] for index in range(count)]
        texts = dict.fromkeys(" ".join(str(example.media).split(maxsplit=3)[:3])[:40] for example in chosen)
        return [text for text in texts if text] or [""]

    def show(self, writer: Any, tag: str, samples: Sequence[tuple[str, Document]], step: int) -> None:
        """A Markdown table, prompt -> sample."""
        rows = [f"| {_cell(prompt)} | {_cell(media)} |" for prompt, media in samples]
        writer.add_text(tag, "\n".join(["| prompt | sample |", "|---|---|", *rows]), step)


class TextDecoder:
    """Holds back what is not sure yet: half a character, the beginning of a stop text."""

    def __init__(self, text: Text, given: Tensor | None, stop: list[str]) -> None:
        self.text, self.stop, self.done = text, [s for s in stop if s], False
        self.bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self.given = Document(self.bytes.decode(text.bytes_of(given)) if given is not None else "")
        self.emitted = str(self.given)
        self.held = ""
        self.ended = False

    def push(self, start: int, x: Tensor) -> Document:
        if self.done or self.ended:
            return Document("")
        self.ended = self.text.end in x.tolist()
        self.held += self.bytes.decode(self.text.bytes_of(x), final=self.ended)
        found = [(position + len(s), position) for s in self.stop if (position := self.held.find(s)) >= 0]
        if found:  # the first to be complete, however the text was cut into tokens
            return self._emit(min(found)[1], finish=True)
        return self._emit(len(self.held) if self.ended else len(self.held) - self._overlap(), finish=self.ended)

    def result(self) -> Document:
        if not self.done:
            self.held += self.bytes.decode(b"", final=True)
            self._emit(len(self.held), finish=True)
        return Document(self.emitted)

    def _emit(self, count: int, finish: bool) -> Document:
        part, self.held, self.done = self.held[:count], self.held[count:], finish
        self.emitted += part
        return Document(part)

    def _overlap(self) -> int:
        """Length of the longest end of ``held`` that may yet grow into a stop text."""
        lengths = (n for s in self.stop for n in range(len(s) - 1, 0, -1) if self.held.endswith(s[:n]))
        return max(lengths, default=0)


class PackedText:
    """A corpus as one memory-mapped row of tokens, each document followed by the end token.

    Item ``i`` is the window of ``block`` tokens from ``i * block`` on, with the token that follows each; in training it
    begins up to a block later, at random.
    """

    def __init__(self, path: Path, block: int) -> None:
        self.path, self.block = path, block
        self.tokens: NDArray[Any] = np.memmap(path, np.uint16 if path.suffix == ".u2" else np.uint32, "r")

    def __len__(self) -> int:
        return max(1, -(-(len(self.tokens) - 1) // self.block))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "block": self.block}  # a worker process maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def batch(self, indices: Sequence[int], random: ItemRandom | None) -> Batch:
        """``x``: (batch, block + 1); the targets are ``x[:, 1:]``."""
        starts = np.asarray(indices) * self.block
        if random is not None:
            last = max(0, len(self.tokens) - self.block - 1)
            starts = np.minimum(starts + (random.uniform()[:, 0] * self.block).astype(np.int64), last)
        positions = starts[:, None] + np.arange(self.block + 1)
        inside = positions < len(self.tokens)
        x = torch.from_numpy(self.tokens[np.minimum(positions, len(self.tokens) - 1)].astype(np.int64))
        return Batch(x, valid=None if inside.all() else torch.from_numpy(inside[:, 1:]))


def _cell(text: str) -> str:
    """Text inside a Markdown table, as it is: nothing in it is mark-up."""
    return "<br>".join(line.translate(_MARKUP).replace("  ", "&nbsp; ") for line in text.splitlines()) or " "


_MARKUP = {ord(c): f"\\{c}" for c in "\\`*_[]|"} | {ord(c): html.escape(c) for c in "<>&"}
