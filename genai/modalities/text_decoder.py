"""Text from tokens while they are generated: whole characters, without stop strings, with log-probabilities."""

import codecs
from collections.abc import Callable, Sequence

from torch import Tensor

from genai.media.text import Document, TokenProbability


class TextDecoder:
    """A ``Decoder`` that holds back incomplete characters and possible beginnings of a stop string.

    Args:
        join_bytes: returns the bytes of token ids.
        end_tokens: tokens before which the text ends.
        beginning: UTF-8 of the prompt.
        stop: strings before which the text ends.
        num_top: number of most probable tokens whose log-probabilities are recorded at each position, if
            ``push_log_probs`` is called.
    """

    def __init__(
        self,
        join_bytes: Callable[[Sequence[int]], bytes],
        end_tokens: Sequence[int],
        beginning: bytes,
        stop: Sequence[str],
        num_top: int = 0,
    ) -> None:
        self.join_bytes, self.end_tokens = join_bytes, frozenset(end_tokens)
        self.stop, self.done, self.num_top = [s for s in stop if s], False, num_top
        self.utf8_decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.initial = Document(self.utf8_decoder.decode(beginning))
        self.emitted = str(self.initial)
        self.pending = ""
        self.ended = False
        self.tokens: list[TokenProbability] = []

    def push(self, start: int, x: Tensor) -> Document:
        if self.done or self.ended:
            return Document("")
        ids = x.tolist()
        end = next((position for position, index in enumerate(ids) if index in self.end_tokens), None)
        self.ended = end is not None
        self.pending += self.utf8_decoder.decode(self.join_bytes(ids[:end]), final=self.ended)
        matches = [(position + len(s), position) for s in self.stop if (position := self.pending.find(s)) >= 0]
        if matches:  # the one that is complete first, however the text is split into tokens
            return self._emit(min(matches)[1], finish=True)
        return self._emit(len(self.pending) if self.ended else len(self.pending) - self._overlap(), finish=self.ended)

    def push_log_probs(self, x: Tensor, log_probs: Tensor) -> None:
        """Record the log-probabilities (n, classes) of the tokens ``x`` (n,); called before ``push``."""
        for index, row in zip(x.tolist(), log_probs, strict=True):
            if self.done or self.ended or index in self.end_tokens:
                return
            values, ids = row.topk(min(self.num_top, len(row)))
            top_log_probs = zip(ids.tolist(), values.tolist(), strict=True)
            self.tokens.append(
                TokenProbability(
                    self.join_bytes([index]),
                    float(row[index]),
                    [(self.join_bytes([each]), value) for each, value in top_log_probs],
                )
            )

    def result(self) -> Document:
        if not self.done:
            self.pending += self.utf8_decoder.decode(b"", final=True)
            self._emit(len(self.pending), finish=True)
        document = Document(self.emitted)
        document.tokens = tuple(self.tokens)
        return document

    def _emit(self, count: int, finish: bool) -> Document:
        part, self.pending, self.done = self.pending[:count], self.pending[count:], finish
        self.emitted += part
        return Document(part)

    def _overlap(self) -> int:
        """Return the length of the longest suffix of ``pending`` that is a prefix of a stop string."""
        lengths = (n for s in self.stop for n in range(len(s) - 1, 0, -1) if self.pending.endswith(s[:n]))
        return max(lengths, default=0)
