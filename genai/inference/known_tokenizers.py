"""Tokenizers of the models that are known here, with which texts are searched for a watermark."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from genai.core.errors import UserError
from genai.core.instantiate import import_class
from genai.inference.build import build_modality
from genai.modalities.base import Modality
from genai.modalities.optional import watermark_tokenizer
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.checkpoint_files import read_hashes
from genai.runs.run import Run, all_runs
from genai.trust.watermarks.files import Tokenizer

MAX_RUNS, MAX_TOKENIZERS = 20, 8
"""Newest runs that are looked at, and different tokenizers that are taken."""
MAX_CHECKPOINT_BYTES = 2**29
"""Of a larger checkpoint, the tokenizer is read only if it is named."""
PROBE = "The quick brown fox: 0123456789 + Äß\n"
"""Text that different tokenizers split differently."""


def known_tokenizers(root: Path) -> list[Tokenizer]:
    """Return the different tokenizers of the newest runs below ``root``."""
    found: dict[tuple[int, ...], Tokenizer] = {}
    for tokenizer in islice(_tokenizers(root), MAX_RUNS):
        found.setdefault(tuple(tokenizer(PROBE)), tokenizer)
        if len(found) == MAX_TOKENIZERS:
            break
    return list(found.values())


def tokenizer_of(modality: Modality) -> Tokenizer:
    """Return the tokenizer of a modality. Raises ``UserError`` if it has none."""
    tokenizer = watermark_tokenizer(modality)
    if tokenizer is None:
        raise UserError(f"a model of {type(modality).__name__.lower()} has no tokenizer: name one of texts.")
    return tokenizer


def _tokenizers(root: Path) -> Iterator[Tokenizer]:
    for run in all_runs(root):
        try:
            target = str(run.read_config()["modality"]["_target_"])
            if not hasattr(import_class(target, Modality, "modality"), "watermark_tokens"):  # type: ignore[type-abstract]
                continue
            file = next(
                file for name in ("best", "last") if (file := run.folder / "checkpoints" / f"{name}.ckpt").exists()
            )
            if file.stat().st_size <= MAX_CHECKPOINT_BYTES:
                yield _read_tokenizer(str(file), tuple(read_hashes(file)))
        except (UserError, OSError, KeyError, TypeError, StopIteration):
            continue  # a run that cannot be read says nothing of a file


@lru_cache(maxsize=2 * MAX_RUNS)
def _read_tokenizer(file: str, hashes: tuple[str, ...]) -> Tokenizer:
    """Return the tokenizer in a checkpoint; one with the same hash is read once. Raises ``UserError``."""
    _, state, _ = Run(Path(file).parent.parent).load(Path(file).stem)
    return tokenizer_of(build_modality(CheckpointHeader.read(state)))
