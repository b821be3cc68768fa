"""How well the samples of sounds are predicted, beside tables that know the level before at most."""

import math

import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.mel import audio_of, batches_of
from genai.metrics.base import EvalContext, Metric, Result

SMOOTHING = 0.02
"""Added to each count of a table."""
ITEMS = 20_000
"""Of the training split that the tables are made of, evenly spaced: more would not change them."""


class BitsPerSample(Metric):
    """The held-out loss of levels in bits, beside what two tables of the training split need for the same targets."""

    media = Sound

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``bits_per_sample``; ``bits_order_0`` of a histogram, ``bits_order_1`` of a table of level after level.

        Targets are all samples of the held-out split; what stands before the first of a clip is silence.
        """
        classes = audio_of(study, "bits_per_sample").classes
        if classes is None:
            about = "no bits: this model makes waveforms, not levels, so it gives a sample no probability"
            return {"bits_per_sample": Result(None, about)}
        held = transitions(study.val, classes, None, "held-out samples")
        learnt = transitions(study.train, classes, ITEMS, "training samples")
        other = "" if study.own else " of other data"
        kinds = {"0": "the frequency of each level", "1": "the frequency of each level after each"}
        tables = {"0": learnt.sum(0, keepdim=True), "1": learnt}
        about = f"of held-out sound{other}, {classes} levels, {int(held.sum()):,} samples"
        return {"bits_per_sample": Result(study.losses["loss"] / math.log(2), about)} | {
            f"bits_order_{order}": Result(bits(held, counts), f"of the same by {kinds[order]} in the training split")
            for order, counts in tables.items()
        }


def transitions(packed: PackedDataset, classes: int, limit: int | None, label: str) -> Tensor:
    """(classes, classes) int64: how often each level, a column, follows each, a row, among the targets of the loss."""
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    for batch in batches_of(packed, limit, label):
        pairs = batch.x[:, :-1].long() * classes + batch.x[:, 1:]
        counts += (pairs if batch.valid is None else pairs[batch.valid]).flatten().bincount(minlength=len(counts))
    return counts.view(classes, classes)


def bits(held: Tensor, learnt: Tensor) -> float:
    """A transition of ``held``, by the shares of each row of ``learnt``, smoothed; one row serves for all."""
    smooth = learnt.double() + SMOOTHING
    shares = smooth / smooth.sum(1, keepdim=True)
    return float(-(held * shares.log2()).sum() / held.sum())
