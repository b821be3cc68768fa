"""Metrics of text: bits per byte, the share of valid Python, and copies of the training text."""

import ast
import math
import re
import warnings
from dataclasses import dataclass

import numpy as np

from genai.core.data import PackedDataset, Split
from genai.core.errors import UserError
from genai.core.loader import validation_batches
from genai.inference.validation import validation_batch_size
from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.metrics.text.longest_match import longest_match_lengths
from genai.modalities.base import Modality
from genai.modalities.text import Text

MAX_PROMPT_CHARS = 40
"""Maximum length of the real text that a sample continues."""
MIN_REMAINING_CHARS = 400
"""Characters that should follow a starting point, if there are such points."""


class BitsPerByte(Metric):
    """Validation loss in units that do not depend on the tokenizer."""

    media = Document

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``bits_per_byte`` and ``perplexity`` per token.

        Both are over all targets of the held-out split. The token after each document counts as a target, but has no
        bytes.
        """
        nats = context.losses["loss"]
        num_tokens, num_bytes = count_targets(context.val, context.model.modality)
        split = "held-out text" if context.own_data else "held-out text of other data"
        bits_per_byte = nats / math.log(2) * num_tokens / num_bytes if num_bytes else None
        return {
            "bits_per_byte": Result(bits_per_byte, f"of UTF-8, {split}"),
            "perplexity": Result(
                math.exp(min(nats, 700)), f"per token ({num_tokens:,} tokens, {num_bytes:,} bytes), {split}"
            ),
        }


class ParseRate(Metric):
    """Proportion of samples that are valid Python; the reference is real text at the same places, equally long."""

    media = Document

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``parses``: the proportion that ``ast.parse`` accepts, up to the last complete line.

        Real text can fail too: if it is cut inside brackets, inside a string, or right after a ``def`` line.
        """
        completions = sample_completions(context)
        valid = [is_python(each.prompt + each.sample) for each in completions]
        real_valid = [is_python(each.prompt + each.real) for each in completions]
        return {"parses": proportion_result(valid, "share that is Python up to its last complete line", real_valid)}


class LongestCopy(Metric):
    """Longest runs of characters that are also in the training text; the reference is held-out text, equally long."""

    media = Document
    compares_with_training = True

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``longest_copy`` over all samples and ``mean_copy``, the mean of the longest run in each sample."""
        completions = sample_completions(context)
        texts = [each.sample for each in completions] + [each.real for each in completions]
        lengths = longest_match_lengths(texts, (str(example.media) for example in context.source.train))
        sample_lengths, real_lengths = lengths[: len(completions)], lengths[len(completions) :]
        count = len(sample_lengths)
        standard_error = float(np.std(sample_lengths, ddof=1) / count**0.5) if count > 1 else None
        total = sum(len(each.sample) for each in completions)
        copied = "characters that are verbatim in the training text"
        return {
            "longest_copy": Result(
                max(sample_lengths), f"longest run of {copied}, in {total:,}", reference=max(real_lengths)
            ),
            "mean_copy": Result(
                sum(sample_lengths) / count,
                f"mean over samples of the longest run of {copied}",
                standard_error,
                sum(real_lengths) / len(real_lengths),
            ),
        }


@dataclass(frozen=True)
class Completion:
    """What a model wrote after ``prompt``, and as many characters of the real text there."""

    prompt: str
    sample: str
    real: str


def sample_completions(context: EvalContext) -> list[Completion]:
    """Return ``context.n`` completions of real prompts from held-out text."""
    prompts = random_prompts(context.source.val, context.n, context.seed)
    samples = context.samples([prompt for prompt, _ in prompts])
    completions = []
    for (prompt, real), document in zip(prompts, samples, strict=True):
        sample = str(document)[len(prompt) :]
        count = min(len(sample), len(real))
        completions.append(Completion(prompt, sample[:count], real[:count]))
    return completions


def random_prompts(split: Split, count: int, seed: int) -> list[tuple[str, str]]:
    """Draw random pairs (prompt, text after it) from starts of documents and of paragraphs that are not indented.

    A prompt is the start of the first line: whole words, at most ``MAX_PROMPT_CHARS`` characters. Pairs repeat if there
    are fewer than ``count`` places.
    """
    documents = [str(example.media) for example in split]
    starts = [(i, 0) for i in range(len(documents))]
    starts += [(i, start) for i, text in enumerate(documents) for start in section_starts(text)]
    starts = [(i, start) for i, start in starts if len(documents[i]) - start >= MIN_REMAINING_CHARS] or starts
    indices = np.random.default_rng(seed).choice(len(starts), count, replace=len(starts) < count)
    texts = [documents[i][start:] for i, start in (starts[index] for index in indices)]
    prompts = [first_words(text) for text in texts]
    return [(prompt, text[len(prompt) :]) for prompt, text in zip(prompts, texts, strict=True)]


def section_starts(text: str) -> list[int]:
    """Return where paragraphs that are not indented start, but for the first one."""
    return [match.end() for match in re.finditer(r"\n[ \t\r]*\n(?=\S)", text)]


def is_python(text: str) -> bool:
    """Whether ``text``, up to its last complete line, is valid Python with at least one statement."""
    complete_lines = text[: text.rfind("\n") + 1] or text
    try:
        with warnings.catch_warnings(action="ignore"):
            return bool(ast.parse(complete_lines).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def count_targets(packed: PackedDataset, modality: Modality) -> tuple[int, int]:
    """Return the number of target tokens of a split, and the number of bytes that they encode."""
    if not isinstance(modality, Text):
        raise UserError(f"'bits_per_byte' needs a tokenizer, and {type(modality).__name__} has none.")
    sizes = np.array([*map(len, modality.tokenizer.token_bytes), 0])
    num_tokens = num_bytes = 0
    for batch, _ in validation_batches(packed, validation_batch_size(packed), None):
        targets = batch.x[:, 1:] if batch.valid is None else batch.x[:, 1:][batch.valid]
        num_tokens += targets.numel()
        num_bytes += int(sizes[targets.numpy()].sum())
    return num_tokens, num_bytes


def first_words(text: str, limit: int = MAX_PROMPT_CHARS) -> str:
    """Return the start of the first line: whole words, at most ``limit`` characters."""
    line = text.partition("\n")[0]
    if len(line) <= limit:
        return line
    words = line[: limit + 1].rpartition(" ")[0]  # tokens start with a space
    return words or line[:limit]
