"""Does a model reproduce its training items? Samples are compared with training items and with held-out items.

Two numbers have to agree before a model is said to copy.

*The test.* Each sample is nearest to one item among those of both splits. The statistic is the number of samples whose
item is a training item. If the model has no memory of single items, and both splits are drawn alike, then it does not
matter which items are called training items: the labels are exchanged at random, and the p-value is the share of labels
that do as well. Items are exchanged, not samples, because one item may be nearest to many samples: a binomial test over
samples would be too optimistic. All training items take part: a subset as large as the held-out split would miss
copies of the others, and the share that chance gives (``expected_nearer_train``) is part of the test. Half of
the prompts are captions of training items, the other half those of held-out items, of as many items and equally often;
memorized items are mostly reproduced when their own caption is asked for (Carlini et al. 2023, arXiv:2301.13188). The
labels of these items are exchanged among themselves.

*The size.* A sample is a copy if its distance to its nearest training item is less than a third of that to the next
item of either split (Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize"). Blurry
samples are near to everything, so they are no copies. Items that nothing tells from the nearest one count as the same.
The reference is the same share of held-out items in place of samples.

Splits by combination of attributes, as in the toy world, are not drawn alike. There, samples of held-out captions are
nearest to held-out items, which makes the test careful, and copies have to be found all the same.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import batch_ranges
from genai.core.data import PackedDataset, packed_prompts
from genai.core.progress import ProgressBar
from genai.data.canaries import WithCanaries
from genai.inference.model import Model
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.canaries import canary_p
from genai.metrics.exact_tests import ItemGroup, weight_test
from genai.metrics.nearest import squared_distances
from genai.modalities.optional import required_option

COPY_RATIO = 1 / 3
"""Largest ratio of the distances to the nearest and to the next item that makes a sample a copy."""
MAX_P = 0.01
"""Largest p-value with which a model is said to copy."""
MIN_COPIES = 0.05
"""Smallest share of copies, beyond that of held-out items, with which a model is said to copy."""
SAME_ITEM = 0.01
"""Items whose distances to all queries differ by less than this fraction of the mean distance count as the same."""
ITEMS_PER_CHUNK = 64


@dataclass(frozen=True)
class Items:
    """The items of one split that are compared, by their indices in it."""

    packed: PackedDataset
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def prompts(self) -> list[str]:
        """One prompt for each item; "" if there are none."""
        prompts = packed_prompts(self.packed)
        return [prompts[index] for index in self.indices] if prompts else [""] * len(self)


@dataclass(frozen=True)
class Neighbors:
    """Which items samples are nearest to; items of both splits are numbered, those of the training split first.

    Attributes:
        nearest: for each sample, the items that are nearest to it, equally near.
        is_copy: whether it is a copy of a training item.
        reference: the same of held-out items in place of samples.
        prompt_items: items whose captions are the prompts; empty if there are no captions.
        num_train, num_held_out: number of items of each split.
    """

    nearest: Sequence[Sequence[int]]
    is_copy: Sequence[bool]
    reference: Sequence[bool]
    prompt_items: Sequence[int]
    num_train: int
    num_held_out: int


@dataclass(frozen=True)
class CopyingResult:
    """What a comparison has found.

    Attributes:
        copies, reference_copies: share of samples, and of held-out items, that are copies of training items.
        nearer_train, expected_nearer_train: share of samples that are nearest to a training item, and what it is if
            labels are exchanged.
        p: p-value of the test.
        smallest_p: of the most that these samples could show.
        samples, train_items, held_out_items: numbers of them.
    """

    copies: float
    reference_copies: float | None
    nearer_train: float
    expected_nearer_train: float
    p: float
    smallest_p: float
    samples: int
    train_items: int
    held_out_items: int

    @property
    def alarm(self) -> bool | None:
        """Whether the model is said to copy; ``None``: there are copies, but too few items for the test."""
        if self.copies < MIN_COPIES + (self.reference_copies or 0.0):
            return False
        return None if self.smallest_p > MAX_P else self.p <= MAX_P

    @classmethod
    def of(cls, neighbors: Neighbors) -> "CopyingResult":
        """Count copies, and test whether samples are nearer to training items than chance explains."""
        count, num_train = len(neighbors.nearest), neighbors.num_train
        weights: dict[int, float] = {}
        for items in neighbors.nearest:
            for item in items:
                weights[item] = weights.get(item, 0.0) + 1 / len(items)
        total = num_train + neighbors.num_held_out
        prompt_items = set(neighbors.prompt_items)
        groups = [prompt_items, set(range(total)) - prompt_items]
        test = weight_test([_item_group(weights, group, num_train) for group in groups if group])
        nearer_train = sum(weight for item, weight in weights.items() if item < num_train)
        reference = sum(neighbors.reference) / len(neighbors.reference) if neighbors.reference else None
        return cls(
            sum(neighbors.is_copy) / count,
            reference,
            nearer_train / count,
            test.expected / count,
            test.p,
            test.smallest_p,
            count,
            num_train,
            neighbors.num_held_out,
        )


def _item_group(weights: dict[int, float], group: set[int], num_train: int) -> ItemGroup:
    items = sorted(item for item in group if item in weights)
    return ItemGroup(
        np.array([weights[item] for item in items], np.float64),
        np.array([item < num_train for item in items], bool),
        sum(item < num_train for item in group),
        len(group),
    )


class Copying(Metric):
    """Share of samples that are copies of training items, and whether samples are nearer to them than chance explains.

    Attributes:
        max_items: training items that are compared; of more, evenly spaced ones.
        before_chunk: called before each part of the comparison; an exception from it ends it.
    """

    compares_with_training = True
    quick_items: ClassVar[int] = 2**14
    """``max_items`` for a check at the end of a run."""
    max_items = 2**17

    def __init__(self) -> None:
        self.before_chunk: Callable[[], object] = lambda: None

    def unsupported_reason(self, model: Model) -> str:
        if not model.method.can_sample:
            return "the model makes no samples"
        name = required_option(model.modality)
        return f"the model's samples follow a given {name}" if name else ""

    @abstractmethod
    def neighbors(self, context: EvalContext) -> Neighbors:
        """Make samples and return the items that are nearest to them."""

    def measure(self, context: EvalContext) -> CopyingResult:
        """Make samples and compare them with the items of both splits."""
        return CopyingResult.of(self.neighbors(context))

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``copying``, ``copying_nearer_train`` and ``copying_p``; with canaries also ``canaries_p``."""
        found = self.measure(context)
        error = math.sqrt(found.copies * (1 - found.copies) / found.samples)
        items = f"{found.train_items:,} training and {found.held_out_items:,} held-out items"
        kinds = "share of samples nearest to a training item, not a held-out one; real: if labels are exchanged"
        limit = "" if found.smallest_p <= MAX_P else f"; with these items no p of {MAX_P} is possible"
        results = {
            "copying": Result(
                found.copies,
                f"share of {found.samples:,} samples that are copies of training items, {items}",
                error,
                found.reference_copies,
            ),
            "copying_nearer_train": Result(found.nearer_train, kinds, reference=found.expected_nearer_train),
            "copying_p": Result(found.p, f"p of samples as near to held-out items (exact test){limit}"),
        }
        if isinstance(context.source, WithCanaries) and context.model.run:  # an exported model is not whole
            p = canary_p(context.model, context.source, context.seed)
            count = context.source.num_canaries
            note = f"p of {count:,} planted canaries losing as much as {count:,} that were left out (exact test)"
            results["canaries_p"] = Result(p, note if p is not None else "this method has no loss of single items")
        return results


class ItemFeatures(ABC):
    """Numbers of media, (d,), whose differences are their distance."""

    @abstractmethod
    def of_samples(self, samples: Sequence[Any]) -> Tensor:
        """Return (samples, d)."""

    @abstractmethod
    def of_items(self, packed: PackedDataset, indices: Sequence[int]) -> list[Tensor]:
        """Return (variants, d) for each item: first as it is, then mirrored or shifted as copies may be.

        An item that cannot be compared has no variants.
        """


class NearestCopying(Copying):
    """Copies among media whose distance is that of features."""

    @abstractmethod
    def item_features(self, context: EvalContext, samples: Sequence[Any]) -> ItemFeatures:
        """Return the features to compare ``samples`` by."""

    def neighbors(self, context: EvalContext) -> Neighbors:
        train = Items(context.train, _spaced_indices(num_real_items(context, len(context.train)), self.max_items))
        held_out = Items(context.val, _spaced_indices(len(context.val), self.max_items))
        prompts, prompt_items = choose_prompts(train.prompts, held_out.prompts, context.n, context.seed)
        samples = context.samples(prompts)
        features = self.item_features(context, samples)
        references = _spaced_indices(len(held_out), context.n)
        variants = [features.of_items(held_out.packed, [held_out.indices[number]])[0][:1] for number in references]
        references = [number for number, rows in zip(references, variants, strict=True) if len(rows)]
        queries = torch.cat([features.of_samples(samples), *variants])
        distances = self._distances(features, queries, [train, held_out])
        for row, number in enumerate(references, len(samples)):
            distances[row, len(train) + number] = np.inf  # not to itself
        same = _SameItems(distances)
        nearest = distances.argmin(1)
        is_copy = [
            bool(item < len(train) and row[item] < COPY_RATIO * same.next_distance(row, item))
            for row, item in zip(distances, nearest, strict=True)
        ]
        count = len(samples)
        return Neighbors(
            [[int(item)] for item in nearest[:count]],
            is_copy[:count],
            is_copy[count:],
            prompt_items,
            len(train),
            len(held_out),
        )

    def _distances(self, features: ItemFeatures, queries: Tensor, splits: Sequence[Items]) -> NDArray[np.float32]:
        """Return the distances (queries, items) to the nearest variant of each item; infinite without variants."""
        parts = []
        with ProgressBar("nearest items", sum(map(len, splits))) as bar:
            for items in splits:
                for rows in batch_ranges(len(items), ITEMS_PER_CHUNK):
                    self.before_chunk()
                    variants = features.of_items(items.packed, items.indices[rows.start : rows.stop])
                    owners = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(each) for each in variants]))
                    part = torch.full((len(queries), len(rows)), torch.inf)
                    if len(owners):
                        squared = squared_distances(queries, torch.cat(variants)).clamp(min=0).cpu()
                        part.scatter_reduce_(1, owners.expand(len(queries), -1), squared, "amin")
                    parts.append(part)
                    bar.step(len(rows))
        return torch.cat(parts, 1).sqrt().numpy()


class _SameItems:
    """Tells items apart by their distances (queries, items) to all queries."""

    def __init__(self, distances: NDArray[np.float32]) -> None:
        self.distances = distances
        finite = distances[np.isfinite(distances)]
        self.tolerance = SAME_ITEM * float(finite.mean()) if finite.size else 0.0

    def next_distance(self, row: NDArray[np.float32], item: int, count: int = 8) -> float:
        """Return the smallest distance in ``row`` to an item that is another one than ``item``; 0 without one."""
        nearest = np.argpartition(row, min(count, len(row) - 1))[: count + 1]
        with np.errstate(invalid="ignore"):  # inf - inf
            differences = np.nanmax(np.abs(self.distances[:, nearest] - self.distances[:, [item]]), 0)
        others = row[nearest[differences > self.tolerance]]
        return float(others.min()) if len(others) and np.isfinite(others.min()) else 0.0


def num_real_items(context: EvalContext, count: int) -> int:
    """Return the number of training items that are no canaries, of ``count``."""
    return count - (context.source.num_canaries if isinstance(context.source, WithCanaries) else 0)


def choose_prompts(train: Sequence[str], held_out: Sequence[str], count: int, seed: int) -> tuple[list[str], list[int]]:
    """Choose about ``count`` prompts: captions of as many training as held-out items, each equally often.

    Returns:
        The prompts, and the numbers of their items, those of the training split first; ``count`` times "" and no items
        if there are no captions.
    """
    if not any(train):
        return [""] * count, []
    num_items = max(1, min(count // 2, len(train), len(held_out)))
    rng = np.random.default_rng(seed)
    numbers = [rng.choice(len(prompts), num_items, replace=False) for prompts in (train, held_out)]
    prompts = [train[number] for number in numbers[0]] + [held_out[number] for number in numbers[1]]
    items = [*map(int, numbers[0]), *(len(train) + int(number) for number in numbers[1])]
    return prompts * max(1, count // len(prompts)), items


def _spaced_indices(count: int, limit: int) -> list[int]:
    selected = min(count, limit)
    return [position * count // selected for position in range(selected)]
