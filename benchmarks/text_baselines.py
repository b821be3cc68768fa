"""Bits per byte of the default text model on held-out files, beside xz and n-gram models on the same split.

    python benchmarks/text_baselines.py [--minutes 5] [--json OUT] [words ...]

xz -9 compresses the held-out files, alone and after the training files; then its figure is how many bytes they add. Its
dictionary of 64 MiB holds all of them, so it finds copies of any length anywhere. The n-gram models count bytes, or the
model's own tokens, and interpolate the orders 1 to 5 as Witten and Bell do (1991, IEEE Transactions on Information
Theory 37(4), method C). The model is trained on all cores, for the given time with its start; its bits per byte are
those of ``genai.evaluate``.
"""

import argparse
import lzma
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import save, train
from numpy.typing import NDArray

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.base import EvalContext
from genai.metrics.text.text import BitsPerByte

ORDER = 5
Ids = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: data=text_folder data.path=FILE")
    arguments = parser.parse_intermixed_args()
    words = ["modality=text", *arguments.words]
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    texts = [[str(example.media).encode() for example in split] for split in (source.train, source.val)]
    num_bytes = sum(map(len, texts[1]))
    model = train(*words, f"minutes={arguments.minutes}")
    bits = BitsPerByte().compute(EvalContext(model, source))["bits_per_byte"].value
    encode = model.modality.tokenizer.encode
    tokens = [[encode(text.decode()) for text in split] for split in texts]
    size = len(model.modality.tokenizer.token_bytes)
    results: dict[str, Any] = {
        "model": bits,
        "xz -9, held-out files alone": xz_bits([], texts[1]) / num_bytes,
        "xz -9, after the training files": xz_bits(*texts) / num_bytes,
        f"{ORDER}-gram of bytes": ngram_bits(*[[np.frombuffer(t, np.uint8) for t in s] for s in texts], 256)
        / num_bytes,
        f"{ORDER}-gram of tokens": ngram_bits(*tokens, size) / num_bytes,
    }
    record = {name: model.record[name] for name in ("steps", "seconds", "cpu_seconds", "precision", "threads")}
    print(f"{num_bytes:,} held-out bytes; trained: {record}")
    for name, value in results.items():
        print(f"{name:<34}{value:.3f} bits per byte{'' if name == 'model' else f'  ({value / bits - 1:+.0%})'}")
    save(arguments.json, results | record)


def xz_bits(train_texts: Sequence[bytes], val_texts: Sequence[bytes]) -> float:
    """Return the bits that ``val_texts`` add to what xz makes of ``train_texts``."""
    sizes = [len(lzma.compress(b"".join(texts), preset=9)) for texts in (train_texts, [*train_texts, *val_texts])]
    return 8.0 * (sizes[1] - sizes[0])


def ngram_bits(train_texts: Sequence[Ids], val_texts: Sequence[Ids], size: int) -> float:
    """Return the bits of ``val_texts``, with one end symbol after each text, under a model of ``train_texts``."""
    train_ids, val_ids = (join_texts(texts, size) for texts in (train_texts, val_texts))
    probability = np.full(len(val_ids) - ORDER, 1 / (size + 1))  # of each symbol, under order 0
    for order in range(1, ORDER + 1):
        grams, counts = np.unique(keys(train_ids, order, size), return_counts=True)
        contexts, starts = np.unique(grams // (size + 1), return_index=True)
        totals, kinds = np.add.reduceat(counts, starts), np.diff([*starts, len(grams)])
        wanted = keys(val_ids, order, size)
        count = lookup(grams, counts, wanted)
        total, distinct = (lookup(contexts, values, wanted // (size + 1)) for values in (totals, kinds))
        probability = np.where(
            total > 0, (count + distinct * probability) / np.maximum(total + distinct, 1), probability
        )
    return float(-np.log2(probability).sum())


def join_texts(texts: Sequence[Ids], size: int) -> Ids:
    """Return the texts as one array; ``size`` is the end symbol, ``ORDER`` of them begin it."""
    end = np.full(1, size, np.int64)
    return np.concatenate([np.full(ORDER, size, np.int64), *(part for text in texts for part in (text, end))]).astype(
        np.int64
    )


def keys(ids: Ids, order: int, size: int) -> Ids:
    """Return a number for the ``order`` symbols that end at each position from ``ORDER`` on."""
    assert order * math.log2(size + 1) < 63
    key = np.zeros(len(ids) - ORDER, np.int64)
    for distance in range(order - 1, -1, -1):
        key = key * (size + 1) + ids[ORDER - distance : len(ids) - distance]
    return key


def lookup(sorted_keys: Ids, values: Ids, wanted: Ids) -> Ids:
    """Return the value of each wanted key; 0 if it is not there."""
    places = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == wanted, values[places], 0)


if __name__ == "__main__":
    main()
