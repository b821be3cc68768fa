"""Of texts: how well they are predicted, whether code is code, and whether they are copies."""

import ast
import math
import re
import warnings
from dataclasses import dataclass

import numpy as np

from genai.core.data import PackedDataset, Split
from genai.core.errors import UserError
from genai.core.loader import held_out
from genai.inference.validation import at_once
from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result, share
from genai.metrics.text.longest_match import longest_shared
from genai.modalities.base import Modality
from genai.modalities.text import Text

PROMPT = 40
"""Characters of a real beginning, at most, that a sample goes on from."""
LEFT = 400
"""Characters that should follow a place, where there are places with so many."""


class BitsPerByte(Metric):
    """The held-out loss in units that do not depend on the tokenizer."""

    media = Document

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``bits_per_byte`` and, a token, ``perplexity``.

        Both are over all targets of the held-out split. The token behind each document is predicted and paid for, too,
        but has no bytes.
        """
        nats = study.losses["loss"]
        tokens, size = targets(study.val, study.model.modality)
        held = "held-out text" if study.own else "held-out text of other data"
        return {
            "bits_per_byte": Result(nats / math.log(2) * tokens / size if size else None, f"of UTF-8, {held}"),
            "perplexity": Result(math.exp(min(nats, 700)), f"a token ({tokens:,} of them, {size:,} bytes), {held}"),
        }


class Parses(Metric):
    """Is it Python? Of samples, beside real text from the same places, cut to the same number of characters."""

    media = Document

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``parses``: the share that ``ast.parse`` accepts, up to the last complete line.

        Real text fails as well where the cut falls within brackets, a text, or right behind a ``def`` line.
        """
        pairs = continuations(study)
        made, real = [parses(p.prompt + p.made) for p in pairs], [parses(p.prompt + p.real) for p in pairs]
        return {"parses": share(made, "share that is Python up to its last complete line", real)}


class LongestCopy(Metric):
    """Runs of characters that are also in the training text, beside those of held-out text of the same length."""

    media = Document
    of_training = True

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``longest_copy`` of all samples, and ``mean_copy``, the mean over samples of the longest run in each."""
        pairs = continuations(study)
        texts = [pair.made for pair in pairs] + [pair.real for pair in pairs]
        lengths = longest_shared(texts, (str(example.media) for example in study.source.train))
        ours, theirs = lengths[: len(pairs)], lengths[len(pairs) :]
        error = float(np.std(ours, ddof=1) / len(ours) ** 0.5) if len(ours) > 1 else None
        total = sum(len(pair.made) for pair in pairs)
        about = "characters that are verbatim in the training text"
        return {
            "longest_copy": Result(max(ours), f"longest run of {about}, in {total:,}", beside=max(theirs)),
            "mean_copy": Result(
                sum(ours) / len(ours), f"longest run of a sample of {about}, mean", error, sum(theirs) / len(theirs)
            ),
        }


@dataclass(frozen=True)
class Pair:
    """What a model wrote after ``prompt``, and as many characters of what really stands there."""

    prompt: str
    made: str
    real: str


def continuations(study: EvalContext) -> list[Pair]:
    """``study.n`` samples that go on from real beginnings in held-out text, each beside the text itself."""
    found = places(study.source.val, study.n, study.seed)
    samples = study.samples([prompt for prompt, _ in found])
    pairs = []
    for (prompt, real), sample in zip(found, samples, strict=True):
        made = str(sample)[len(prompt) :]
        count = min(len(made), len(real))
        pairs.append(Pair(prompt, made[:count], real[:count]))
    return pairs


def places(split: Split, count: int, seed: int) -> list[tuple[str, str]]:
    """Beginnings drawn at random, (prompt, what follows it): of documents, and of paragraphs that are not indented.

    A prompt is the first line there, whole words of it and ``PROMPT`` characters at most. Places repeat where there are
    too few.
    """
    documents = [str(example.media) for example in split]
    starts = [(i, 0) for i in range(len(documents))]
    starts += [(i, m.end()) for i, text in enumerate(documents) for m in re.finditer(r"\n[ \t\r]*\n(?=\S)", text)]
    starts = [(i, at) for i, at in starts if len(documents[i]) - at >= LEFT] or starts
    drawn = np.random.default_rng(seed).choice(len(starts), count, replace=len(starts) < count)
    rests = [documents[i][at:] for i, at in (starts[index] for index in drawn)]
    prompts = [_beginning(rest) for rest in rests]
    return [(prompt, rest[len(prompt) :]) for prompt, rest in zip(prompts, rests, strict=True)]


def parses(text: str) -> bool:
    """Whether ``text``, up to its last complete line, is Python and says something."""
    complete = text[: text.rfind("\n") + 1] or text
    try:
        with warnings.catch_warnings(action="ignore"):
            return bool(ast.parse(complete).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def targets(packed: PackedDataset, modality: Modality) -> tuple[int, int]:
    """How many tokens are predicted in a split, and how many bytes they stand for."""
    if not isinstance(modality, Text):
        raise UserError(f"'bits_per_byte' counts the bytes of tokens, which {type(modality).__name__} does not have.")
    sizes = np.array([*map(len, modality.tokenizer.pieces), 0])
    tokens = size = 0
    for batch, _ in held_out(packed, at_once(packed), None):
        predicted = batch.x[:, 1:] if batch.valid is None else batch.x[:, 1:][batch.valid]
        tokens += predicted.numel()
        size += int(sizes[predicted.numpy()].sum())
    return tokens, size


def _beginning(rest: str) -> str:
    line = rest.partition("\n")[0]
    if len(line) <= PROMPT:
        return line
    words = line[: PROMPT + 1].rpartition(" ")[0]  # tokens begin with a space
    return words or line[:PROMPT]
