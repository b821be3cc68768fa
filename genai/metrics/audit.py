"""Audit of groups: does a model serve all groups of its data alike? Scores of each group with intervals, compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch

from genai.core.errors import UserError, join_names, short_text
from genai.core.place import find_place
from genai.core.process_group import gather_shares, share_of
from genai.core.progress import ProgressBar
from genai.core.seeding import seed_noise
from genai.core.terminal import one_line
from genai.inference.reference import with_stored_reference
from genai.metrics.base import EvalContext, Metric
from genai.metrics.coverage import NUM_NEIGHBORS, coverage
from genai.metrics.groups import Group, Grouping
from genai.metrics.intervals import (
    Estimate,
    Ratio,
    coverage_estimate,
    mean_estimate,
    proportion_estimate,
    worst_to_best,
)
from genai.metrics.judge import Judge

MIN_ITEMS = 10
"""Fewer items, or samples, are too few to say anything about a group."""
MIN_EXPECTED = 5
"""Samples without a prompt that should be of a group; fewer are too few to say anything about its share."""
MAX_LOSS_ITEMS = 100
"""Held-out items of each group whose loss is computed, evenly spaced."""
NOISE_REPEATS = 4
"""Draws of noise for the loss of an item, if the loss is random."""
MAX_REAL_ITEMS = 200
"""Held-out items of each group that samples are compared with, evenly spaced."""
SCORES = {
    "loss": "mean loss of held-out items; lower is better. It also depends on what is in the items of a group",
    "obedience": "share of samples that are as their prompts of the group say",
    "obedience_of_real": "the same of held-out items: what it recognizes if nothing is wrong",
    "coverage": f"share of held-out items with a sample as near as their {NUM_NEIGHBORS}th neighbor",
    "balance": "share of the group in samples without a prompt / share in training; 1: alike",
}
LOWER_IS_BETTER = ("loss",)
TOO_SMALL = "too few to say"


@dataclass(frozen=True)
class Audit:
    """Scores of groups.

    Attributes:
        grouping: the groups.
        scores: for each score, the estimates of the groups by their names; a group with too few items has none.
        notes: what people should know besides.
    """

    grouping: Grouping
    scores: Mapping[str, Mapping[str, Estimate]]
    notes: Sequence[str] = ()

    @property
    def ratios(self) -> dict[str, Ratio]:
        """For each score of two groups or more, the worst group compared with the best one."""
        ratios = {name: worst_to_best(groups, name in LOWER_IS_BETTER) for name, groups in self.scores.items()}
        return {name: ratio for name, ratio in ratios.items() if ratio}

    @property
    def all_notes(self) -> list[str]:
        """Notes, beginning with the groups that have too few items for a score."""
        return [*self._missing_notes, *self.notes, *([] if self.ratios else ["No score compares two groups."])]

    @property
    def _missing_notes(self) -> list[str]:
        missing = {
            score: [group.name for group in self.grouping.groups if group.name not in estimates]
            for score, estimates in self.scores.items()
        }
        return [
            f"{score}: {TOO_SMALL} of {', '.join(map(short_text, names))} ({_min_count(score)})."
            for score, names in missing.items()
            if names
        ]

    def entries(self) -> dict[str, Any]:
        """Return plain values for the results file."""
        ratio_keys = ("value", "low", "high", "worst", "best")
        return {
            "column": self.grouping.column,
            "groups": [
                {
                    "name": group.name,
                    "train_items": len(group.train),
                    "held_out_items": len(group.val),
                    "scores": {
                        score: {key: getattr(estimates[group.name], key) for key in ("value", "low", "high")}
                        for score, estimates in self.scores.items()
                        if group.name in estimates
                    },
                }
                for group in self.grouping.groups
            ],
            "worst_to_best": {
                score: {key: getattr(ratio, key) for key in ratio_keys} for score, ratio in self.ratios.items()
            },
            "note": " ".join(self.all_notes),
        }


def audit_groups(context: EvalContext, metrics: Mapping[str, Metric], grouping: Grouping) -> Audit:
    """Compute the scores of each group that ``metrics`` can tell.

    ``val_loss`` gives the loss, a metric with a ``judge`` obedience and balance, one with ``features`` coverage.
    """
    judge = next((judge for metric in metrics.values() if (judge := metric.judge(context))), None)
    notes = [f"{grouping.num_omitted:,} smaller groups are left out."] if grouping.num_omitted else []
    prompts = {group.name: draw_prompts(context, grouping, group) for group in grouping.groups}
    found: dict[str, dict[str, Estimate] | None] = {}
    if "val_loss" in metrics:
        found["loss"] = _losses(context, grouping, notes)
    if judge and any(map(any, prompts.values())):
        found["obedience"] = _sample_matches(context, prompts, judge)
        found["obedience_of_real"] = _real_matches(context, grouping, judge)
    found["coverage"] = _coverage(context, metrics, grouping, prompts, notes)
    if judge:
        found["balance"] = _balance(context, grouping, judge, notes)
    scores = {name: estimates for name, estimates in found.items() if estimates is not None}
    if not scores:
        raise UserError(f"audit_group={grouping.column}: none of the metrics ({join_names(metrics)}) scores groups.")
    return Audit(grouping, scores, notes)


def draw_prompts(context: EvalContext, grouping: Grouping, group: Group) -> list[str]:
    """Return ``n`` prompts of the shuffled items of a group, each as often as the others; "" for items without."""
    prompts = grouping.prompts(group)
    return [prompts[row] for row in np.resize(shuffled_rows(context, group, len(prompts)), context.n)]


def shuffled_rows(context: EvalContext, group: Group, count: int) -> list[int]:
    """Return the numbers below ``count`` in an order that depends on the seed and the name of the group."""
    rng = np.random.default_rng([context.seed, crc32(group.name.encode("utf-8", "replace"))])
    return [int(row) for row in rng.permutation(count)]


def _estimates(values: Mapping[str, Sequence[Any]], estimate: Callable[..., Estimate]) -> dict[str, Estimate]:
    """Return ``estimate(values, rng)`` of each group with enough values."""
    return {
        name: estimate(group_values, np.random.default_rng([0, index]))
        for index, (name, group_values) in enumerate(values.items())
        if len(group_values) >= MIN_ITEMS
    }


def _min_count(score: str) -> str:
    return f"fewer than {MIN_EXPECTED} expected samples" if score == "balance" else f"fewer than {MIN_ITEMS}"


# ---------------------------------------------------------------------------------------------------------- quality


def _losses(context: EvalContext, grouping: Grouping, notes: list[str]) -> dict[str, Estimate] | None:
    """Estimate the loss of the held-out items of each group. The processes of a launcher take groups in turn."""
    if len(context.val) != len(grouping.val_prompts):
        notes.append("The held-out items are cut into pieces, so there is no loss by group.")
        return None
    place = find_place()
    share = share_of(place, list(grouping.groups))
    with ProgressBar("losses of groups", sum(min(MAX_LOSS_ITEMS, len(group.val)) for group in share)) as bar:
        losses = gather_shares(place, [item_losses(context, group.val, bar.step) for group in share])
    return _estimates({group.name: row for group, row in zip(grouping.groups, losses, strict=True)}, mean_estimate)


@torch.no_grad()
def item_losses(
    context: EvalContext, indices: Sequence[int], after_item: Callable[[], object] = lambda: None
) -> list[float]:
    """Return the losses of up to ``MAX_LOSS_ITEMS`` of these held-out items; the k-th of each group has equal noise."""
    model, count = context.model, min(len(indices), MAX_LOSS_ITEMS)
    val = with_stored_reference(model.method, model.modality, model.header, context.val, context.plugins)

    def loss(index: int, seed: int, repeats: int) -> float:
        batch = val.batch([index] * repeats, None).to(model.method.device)
        seed_noise(context.seed, -1 - seed)
        return float(model.method.validation_loss(batch)["loss"])

    with torch.random.fork_rng([model.method.device] if model.method.device.type == "cuda" else []):
        is_random = count > 0 and loss(indices[0], 0, 1) != loss(indices[0], 1, 1)
        losses = []
        for position, index in enumerate(subsample(indices, count)):
            losses.append(loss(index, position, NOISE_REPEATS if is_random else 1))
            after_item()
    return losses


# -------------------------------------------------------------------------------------------------------- obedience


def _sample_matches(context: EvalContext, prompts: Mapping[str, Sequence[str]], judge: Judge) -> dict[str, Estimate]:
    matches = {name: judge.matches(context.samples(group), group) for name, group in prompts.items() if any(group)}
    return _estimates(
        {name: [hit for hit in row if hit is not None] for name, row in matches.items()}, proportion_estimate
    )


def _real_matches(context: EvalContext, grouping: Grouping, judge: Judge) -> dict[str, Estimate] | None:
    """Estimate how often the judge agrees with the prompts of held-out items: a group that it cannot tell looks bad."""
    if len(context.source.val) != len(grouping.val_prompts):
        return None
    matches = {}
    for group in grouping.groups:
        rows = [row for row in subsample(group.val, MAX_REAL_ITEMS) if grouping.val_prompts[row]]
        media = [context.source.val[row].media for row in rows]
        matches[group.name] = judge.matches(media, [grouping.val_prompts[row] for row in rows]) if rows else []
    return _estimates(
        {name: [hit for hit in row if hit is not None] for name, row in matches.items()}, proportion_estimate
    )


def subsample(rows: Sequence[int], limit: int) -> list[int]:
    """Return up to ``limit`` of ``rows``, at even distances."""
    count = min(len(rows), limit)
    return [rows[position * len(rows) // count] for position in range(count)]


# --------------------------------------------------------------------------------------------------------- coverage


def _coverage(
    context: EvalContext,
    metrics: Mapping[str, Metric],
    grouping: Grouping,
    prompts: Mapping[str, Sequence[str]],
    notes: list[str],
) -> dict[str, Estimate] | None:
    """Estimate the coverage of each group. It depends on the numbers of items and samples, so they are all equal.

    The samples have the prompts of the items.
    """
    with_features = [metric for metric in metrics.values() if type(metric).features is not Metric.features]
    if not with_features or len(context.source.val) != len(grouping.val_prompts):
        return None
    groups = [group for group in grouping.groups if len(group.val) >= MIN_ITEMS]
    count = min([context.n, MAX_REAL_ITEMS, *(len(group.val) for group in groups)])
    if len(groups) < 2 or count < MIN_ITEMS:
        return None
    estimates: dict[str, Estimate] = {}
    for index, group in enumerate(groups):
        rows = shuffled_rows(context, group, len(group.val))[:count]
        real = [context.source.val[group.val[row]].media for row in rows]
        samples = context.samples(prompts[group.name])[:count]
        pairs = (metric.features(context, samples, real) for metric in with_features)
        if (features := next((pair for pair in pairs if pair), None)) is None:
            return None
        found = coverage(*(part.float().cpu() for part in features))
        estimates[group.name] = coverage_estimate((*found, count), np.random.default_rng([0, index]))
    notes.append(f"coverage: {count:,} samples and held-out items of each group.")
    return estimates


# ---------------------------------------------------------------------------------------------------------- balance


def _balance(context: EvalContext, grouping: Grouping, judge: Judge, notes: list[str]) -> dict[str, Estimate] | None:
    """Estimate the share of each group in samples without a prompt, relative to that in training."""
    if not getattr(context.model.method, "prompt_drop", 0):
        return None
    if not any(grouping.of_prompt(prompt) for prompt in dict.fromkeys(grouping.train_prompts)):
        notes.append("balance: prompts do not tell the group.")
        return None
    names = [set(grouping.of_prompt(text)) for text in judge.caption(context.samples([""] * context.n))]
    notes.append(f"balance: {context.n:,} samples without a prompt.")
    return {
        group.name: proportion_estimate(
            [group.name in each for each in names],
            np.random.default_rng([0, index]),
            grouping.num_train / len(group.train),
        )
        for index, group in enumerate(grouping.groups)
        if context.n * len(group.train) >= MIN_EXPECTED * grouping.num_train
    }


# ------------------------------------------------------------------------------------------------------------ table


def format_audit(audit: Audit, n: int) -> str:
    """Format the groups as aligned lines, then a line for each ratio and each note."""
    scores = audit.scores
    rows = [("", "train", "held out", *scores)]
    for group in audit.grouping.groups:
        cells = [_format_estimate(estimates.get(group.name)) for estimates in scores.values()]
        rows.append((short_text(group.name), f"{len(group.train):,}", f"{len(group.val):,}", *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"groups by {short_text(audit.grouping.column)}, 95 % intervals, {n:,} samples of each"]
    for row in rows:
        numbers = [f"{cell:>{width}}" for cell, width in zip(row[1:3], widths[1:3], strict=True)]
        cells = [f"{cell:<{width}}" for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join([f"{row[0]:<{widths[0]}}", *numbers, *cells]).rstrip())
    lines += [_format_ratio(score, ratio) for score, ratio in audit.ratios.items()]
    return "\n".join([*lines, *(f"{score}: {SCORES[score]}" for score in scores), *map(one_line, audit.all_notes)])


def _format_estimate(estimate: Estimate | None) -> str:
    return TOO_SMALL if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _format_ratio(score: str, ratio: Ratio) -> str:
    result = "they differ" if ratio.is_different else "no difference is shown"
    names = f"{short_text(ratio.worst)} / {short_text(ratio.best)}"
    return f"worst to best {score}: {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}), {names}: {result}"
