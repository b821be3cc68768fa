"""Bits per audio sample, with the bits that simple tables of level frequencies need."""

import math

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.mel import iterate_batches, require_audio
from genai.metrics.base import EvalContext, Metric, Result

SMOOTHING = 0.02
"""Added to each count of a table."""
MAX_TRAIN_ITEMS = 20_000
"""Evenly spaced items of the training split that the tables are computed from; more do not change them."""


class BitsPerSample(Metric):
    """Validation loss of levels in bits, and the bits that tables of the training split need for the same targets."""

    media = Sound

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``bits_per_sample``; ``bits_order_0`` of a histogram; ``bits_order_1`` of a table of transitions.

        Targets are all samples of the held-out split. The first sample of a clip follows silence.
        """
        num_classes = require_audio(context, "bits_per_sample").num_classes
        if num_classes is None:
            description = "no bits: this model generates waveforms, not levels, so samples have no probability"
            return {"bits_per_sample": Result(None, description)}
        val_counts = count_transitions(context.val, num_classes, None, "held-out samples")
        train_counts = count_transitions(context.train, num_classes, MAX_TRAIN_ITEMS, "training samples")
        source = " of other data" if not context.own_data else ""
        description = f"of held-out sound{source}, {num_classes} levels, {int(val_counts.sum()):,} samples"
        tables = {
            "0": (train_counts.sum(0, keepdim=True), "the frequency of each level"),
            "1": (train_counts, "the frequency of each level after each"),
        }
        return {"bits_per_sample": Result(context.losses["loss"] / math.log(2), description)} | {
            f"bits_order_{order}": Result(
                cross_entropy_bits(val_counts, table), f"of the same by {kind} in the training split"
            )
            for order, (table, kind) in tables.items()
        }


def count_transitions(packed: PackedDataset, num_classes: int, limit: int | None, label: str) -> Tensor:
    """Count how often each level (column) follows each level (row) among the targets of the loss.

    Returns:
        (num_classes, num_classes) int64.
    """
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64)
    for batch in iterate_batches(packed, limit, label):
        pairs = batch.x[:, :-1].long() * num_classes + batch.x[:, 1:]
        counts += (pairs if batch.valid is None else pairs[batch.valid]).flatten().bincount(minlength=len(counts))
    return counts.view(num_classes, num_classes)


def cross_entropy_bits(counts: Tensor, table: Tensor) -> float:
    """Mean bits per transition of ``counts`` under the smoothed row frequencies of ``table``.

    Args:
        counts: (num_classes, num_classes).
        table: (num_classes, num_classes), or (1, num_classes) for all rows.
    """
    smooth = table.double() + SMOOTHING
    probabilities = smooth / smooth.sum(1, keepdim=True)
    return float(-(counts * probabilities.log2()).sum() / counts.sum())
