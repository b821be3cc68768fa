"""Tokenizers of the text models that are known here, with which texts are searched for a watermark."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from genai.core.errors import UserError
from genai.inference.build import build_modality
from genai.modalities.base import Modality
from genai.modalities.text import Text
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.run import all_runs

Tokenizer = Callable[[str], Sequence[int]]
MAX_RUNS, MAX_TOKENIZERS = 20, 8
"""Newest runs with texts that are looked at, and different tokenizers that are taken."""


def known_tokenizers(root: Path) -> list[Tokenizer]:
    """Return the different tokenizers of the newest runs with texts below ``root``."""
    found: dict[str, Tokenizer] = {}
    for text in islice(_text_modalities(root), MAX_RUNS):
        found.setdefault(json.dumps(text.tokenizer.state(), sort_keys=True, default=str), tokenizer_of(text))
        if len(found) == MAX_TOKENIZERS:
            break
    return list(found.values())


def tokenizer_of(modality: Modality) -> Tokenizer:
    """Return the tokenizer of a modality. Raises ``UserError`` if it has none."""
    if not isinstance(modality, Text):
        raise UserError(f"a model of {type(modality).__name__.lower()} has no tokenizer: name one of texts.")
    return lambda text: modality.encode(text).tolist()


def _text_modalities(root: Path) -> Iterator[Text]:
    for run in all_runs(root):
        if run.record.modality == "text":
            with suppress(UserError):  # a run that cannot be read says nothing of a file
                _, state, _ = run.load("best")
                modality = build_modality(CheckpointHeader.read(state))
                if isinstance(modality, Text):
                    yield modality
