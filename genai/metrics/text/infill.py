"""Infill of code: a line of a held-out function is removed, and the model writes it again from what is around it."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from genai.core.data import Split
from genai.core.progress import ProgressBar
from genai.inference.model import Model
from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.modalities.text import Text

MAX_CONTEXT_CHARS = 2_000
"""Characters before and after the gap that the model is given at most."""
MAX_TOKENS = 128
"""Tokens of a middle at most, unless ``length`` says otherwise."""


@dataclass(frozen=True)
class Gap:
    """A line of a function, and what is around it.

    The gap is from the end of a line to the end of the next one. There a prefix ends with a whole token, as in text
    that is not cut; the spaces before a line are one token with its line break.

    Attributes:
        prefix, middle, suffix: text before the line and its line break, both of them, and the text after the line.
        function: the lines of the function before the line, and those after it.
    """

    prefix: str
    middle: str
    suffix: str
    function: tuple[str, str]


class Infill(Metric):
    """Single-line infilling (arXiv:2207.14255, section 4) of held-out Python, with the most probable tokens."""

    media = Document

    def unsupported_reason(self, model: Model) -> str:
        modality = model.modality
        can_fill = isinstance(modality, Text) and modality.infill_marks is not None
        return "" if can_fill else "this model was not trained to fill gaps, as with modality.infill=0.5"

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return proportions of the gaps.

        ``infill_exact``: the middle is the removed line, up to white space at its ends, so the model ends it in time.
        ``infill_first_line``: the first line of the middle is. ``infill_first_line_without_suffix``: the same for what
        the model writes after the prefix alone. ``infill_parses``: the function with the middle is valid Python.
        ``infill_parses_without_line``: the function without the line is.
        """
        gaps = random_gaps(context.source.val, context.n, context.seed)
        if not gaps:
            return {"infill_exact": Result(None, "no held-out document is Python with functions of two lines or more")}
        middles, completions = _sample_middles(context, gaps), _sample_completions(context, gaps)
        lines = [gap.middle.strip() for gap in gaps]
        exact = [middle.strip() == line for middle, line in zip(middles, lines, strict=True)]
        first = [_first_line(middle) == line for middle, line in zip(middles, lines, strict=True)]
        without_suffix = [_first_line(text) == line for text, line in zip(completions, lines, strict=True)]
        valid = [_is_valid(gap, middle) for gap, middle in zip(gaps, middles, strict=True)]
        without_line = [_is_valid(gap, "") for gap in gaps]
        shares = {
            "infill_exact": (exact, "share of removed lines of held-out functions that are written, and no more"),
            "infill_first_line": (first, "share of them that are written first"),
            "infill_first_line_without_suffix": (without_suffix, "the same without the text after the line"),
            "infill_parses": (valid, "share of these functions that are valid Python"),
            "infill_parses_without_line": (without_line, "the same without the line"),
        }
        real = [True] * len(gaps)
        return {name: proportion_result(hits, description, real) for name, (hits, description) in shares.items()}


def random_gaps(split: Split, count: int, seed: int) -> list[Gap]:
    """Draw a line of each of ``count`` random functions; they repeat if there are fewer."""
    functions = [(text, lines) for example in split for text in [str(example.media)] for lines in _functions(text)]
    if not functions:
        return []
    rng = np.random.default_rng(seed)
    indices = rng.choice(len(functions), count, replace=len(functions) < count)
    return [_make_gap(text, lines, int(rng.choice(lines[1:]))) for text, lines in (functions[i] for i in indices)]


def _functions(text: str) -> Iterator[list[int]]:
    """Yield, for each function, the number of its first line, and of the lines of its body that are not empty.

    A docstring is no part of the body. Lines count from 0. A body has two such lines or more.
    """
    lines = text.split("\n")
    for node in ast.walk(_parse(text) or ast.Module([], [])):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first, last = node.lineno - 1, node.end_lineno or 0
        body = node.body[ast.get_docstring(node, clean=False) is not None :]
        if not body or body[0].lineno - 1 == first or last > len(lines):
            continue
        numbers = [first, *(i for i in range(body[0].lineno - 1, last) if lines[i].strip())]
        if len(numbers) > 2 and _is_valid(gap := _make_gap(text, numbers, numbers[-1]), gap.middle):
            yield numbers


def _make_gap(text: str, lines: list[int], line: int) -> Gap:
    """Return the gap at a line of a function, which has ``lines``."""
    starts = [0]
    for part in text.split("\n"):
        starts.append(starts[-1] + len(part) + 1)
    begin, end = starts[line] - 1, starts[line + 1] - 1
    function = text[starts[lines[0]] : begin], text[end : starts[lines[-1] + 1]]
    prefix, suffix = text[max(0, begin - MAX_CONTEXT_CHARS) : begin], text[end : end + MAX_CONTEXT_CHARS]
    return Gap(prefix, text[begin:end], suffix, function)


def _sample_middles(context: EvalContext, gaps: list[Gap]) -> list[str]:
    """Return what the model writes into each gap."""
    middles = []
    with ProgressBar("infill", len(gaps)) as bar:
        for number, gap in enumerate(gaps):
            options = {"temperature": 0.0, "length": MAX_TOKENS, **context.options, "suffix": gap.suffix, "stop": ()}
            sample = str(context.model.sample(gap.prefix, seed=context.seed + number, **options)[0])
            middles.append(sample[len(gap.prefix) : len(sample) - len(gap.suffix)])
            bar.step(1)
    return middles


def _sample_completions(context: EvalContext, gaps: list[Gap]) -> list[str]:
    """Return what the model writes after each prefix, without a suffix."""
    options = {"temperature": 0.0, "length": MAX_TOKENS, **context.options, "suffix": (), "stop": ()}
    prefixes = [gap.prefix for gap in gaps]
    samples = context.model.sample(prefixes, seed=context.seed, batch=context.batch, **options)
    return [str(sample)[len(prefix) :] for sample, prefix in zip(samples, prefixes, strict=True)]


def _first_line(text: str) -> str:
    """Return the first line that is not empty, without the spaces around it."""
    return text.strip().partition("\n")[0].rstrip()


def _is_valid(gap: Gap, middle: str) -> bool:
    """Whether the function with ``middle`` in its gap is valid Python."""
    before, after = gap.function
    return _parse("if True:\n" * before[:1].isspace() + before + middle + after) is not None


def _parse(text: str) -> ast.Module | None:
    """Return the syntax tree; ``None`` if it is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
