"""New lines: the proportion of generated lines that are not lines of the training data."""

from collections.abc import Iterator

from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.modalities.text import TextOptions


class NovelLines(Metric):
    """Proportion of generated lines that are new, for data of one item per line; the reference is held-out lines."""

    media = Document
    compares_with_training = True

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``novel_lines`` over the complete lines of samples without a prompt.

        Lines without text do not count; white space around a line does not matter. The last line of a sample counts if
        the sample ended before its maximum length.
        """
        samples = context.samples([""] * context.n)
        length = context.options.get("length", TextOptions().length)
        encode = context.model.modality.encode
        lines = [line for sample in samples for line in complete_lines(str(sample), len(encode(sample)) < length)]
        if not lines:
            return {"novel_lines": Result(None, "no sample has a complete line: set a larger length=")}
        training_lines = {line for example in context.source.train for line in complete_lines(str(example.media))}
        held_out = [line for example in context.source.val for line in complete_lines(str(example.media))]
        description = (
            f"share of {len(lines):,} generated lines, {len(set(lines)):,} of them different, that are not lines of "
            "the training data"
        )
        is_new = [line not in training_lines for line in lines]
        return {
            "novel_lines": proportion_result(is_new, description, [line not in training_lines for line in held_out])
        }


def complete_lines(text: str, has_end: bool = True) -> Iterator[str]:
    """Yield the lines of ``text`` that are not empty; the last one only if the text ``has_end``."""
    lines = text.split("\n")
    for line in lines if has_end else lines[:-1]:
        if stripped := line.strip():
            yield stripped
