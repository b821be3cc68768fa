"""Do pictures show what their prompts name? A judge without pretrained weights finds it among 100 items."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.metrics.base import EvalContext, Metric, Result, mean_result, proportion_result
from genai.metrics.frechet import frechet_result
from genai.metrics.image.nearest import nearest_picture_distances
from genai.metrics.image.picture_features import picture_features
from genai.metrics.image.picture_items import PictureItem, PictureSplit
from genai.metrics.image.picture_texture import flat_share, gradient_energy, pixel_distances
from genai.metrics.image.retrieval_judge import RetrievalJudge, fit_judge, reference_folder
from genai.metrics.image.retrieval_matches import RetrievalMatches
from genai.metrics.image.retrieval_targets import RetrievalTargets
from genai.metrics.text.passes import wilson_interval
from genai.modalities.image import Image

FRECHET_DIMENSIONS, FRECHET_SCALE = 32, 10
"""First dimensions of the space that are compared, and the length of its vectors there."""
KINDS = (
    "top5", "shuffled", "in_group", "style", "composition", "nearest", "spread", "gradient", "flat", "frechet",
)  # fmt: skip
"""Names of the results besides the share itself."""
MAX_PARTS = 6
"""A column ``split`` of the held-out items with more values is ignored."""
NUM_REPEATS = 32
"""Prompts of each kind that are sampled twice."""
MAX_PAIRS = 500
"""Pairs of real pictures with one caption that are compared."""
MAX_OTHERS = 16
"""Training pictures of a label that a sample is compared with."""


class PromptRetrieval(Metric):
    """Share of samples that are nearest to what their prompt names, among 100 items; the reference is real pictures.

    What they are compared with was not trained on: pictures of ``references``, else those that the data leave out of
    both splits, else held-out pictures of the same label, else what the captions of other labels say.
    """

    media = Picture
    compares_with_training = True
    uses_references = True

    def check(self, context: EvalContext) -> None:
        if context.references:
            reference_folder(context.references)

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``prompt_retrieval`` and what has to be read beside it, for each kind of prompt with its own suffix.

        Raises:
            UserError: the pictures have no captions, or the references cannot be used.
        """
        judge = fit_judge(context)
        results: dict[str, Result] = {}
        for suffix, name, split, numbers in _parts(judge):
            targets, text = judge.targets([split.pictures[number] for number in numbers])
            numbers = [number for number in numbers if targets.has(split.pictures[number])]
            if len(numbers) < 2:
                note = f"{name}: no {text} of the same label, in another style where styles are known"
                results[f"prompt_retrieval{suffix}"] = Result(None, note)
                continue
            rng = np.random.default_rng(context.seed)
            numbers = rng.permutation(numbers)[: context.n].tolist()
            part = _sample_part(context, judge, split, numbers, f"{name} by {text}")
            found = {**_retrieval_results(part, targets, context.seed), **_style_results(part, judge)}
            found |= _picture_results(part, context, judge)
            results |= {f"prompt_retrieval{kind}{suffix}": result for kind, result in found.items()}
        if all(result.value is None for result in results.values()):
            raise UserError(f"'prompt_retrieval' has nothing to compare: {next(iter(results.values())).description}.")
        return results

    def judge(self, context: EvalContext) -> RetrievalMatches | None:
        """Return a judge of single samples if there are references that are in neither split."""
        if not context.references and context.source.excluded is None:
            return None
        judge = fit_judge(context)
        return None if judge.uses_captions else RetrievalMatches(judge, context.model.modality, context.seed)


@dataclass(frozen=True)
class RetrievalPart:
    """Samples for the prompts of some pictures of a split.

    Attributes:
        description: of their prompts and the judge, for people.
        pictures: those whose prompts were sampled.
        split: where they are from.
        real: their pixels (pictures, channels, height, width) uint8.
        samples: pixels of the samples; those after the first ``len(pictures)`` repeat the prompts with other seeds.
        judge: embeds both.
    """

    description: str
    pictures: Sequence[PictureItem]
    split: PictureSplit
    real: Tensor
    samples: Tensor
    judge: RetrievalJudge

    @cached_property
    def styles(self) -> list[str]:
        return [picture.style for picture in self.pictures]

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Features (pictures, features) of the samples and of the real pictures."""
        pixels = (self.samples[: len(self.pictures)], self.real)
        first, second = (
            picture_features(lambda rows, x=x: x[rows.start : rows.stop], len(x), "features")  # type: ignore[misc]
            for x in pixels
        )
        return first, second

    @cached_property
    def vectors(self) -> tuple[Tensor, Tensor]:
        """The same in the space (pictures, dimensions)."""
        first, second = (self.judge.space.embed(features, self.styles) for features in self.features)
        return first, second


def _parts(judge: RetrievalJudge) -> Iterator[tuple[str, str, PictureSplit, list[int]]]:
    """Yield kinds of items: suffix, name, split, and their indices in the split."""
    yield "", "trained items", judge.train, list(range(len(judge.train)))
    names = [_part_name(picture.part) for picture in judge.val.pictures]
    if not 1 < len(set(names)) <= MAX_PARTS:
        yield "_held_out", "held-out items", judge.val, list(range(len(judge.val)))
        return
    for name in sorted(set(names)):
        yield f"_{name}", f"held-out items ({name})", judge.val, [i for i, each in enumerate(names) if each == name]


def _part_name(part: str) -> str:
    """Return a value of the column ``split`` as a part of the name of a result."""
    name = re.sub(r"\W+", "_", part.casefold(), flags=re.ASCII)[:30] or "other"
    return f"held_out_{name}" if name in KINDS else name


def _sample_part(
    context: EvalContext, judge: RetrievalJudge, split: PictureSplit, numbers: Sequence[int], description: str
) -> RetrievalPart:
    pictures = [split.pictures[number] for number in numbers]
    prompts = [picture.prompt for picture in pictures]
    samples = context.samples([*prompts, *prompts[:NUM_REPEATS]])
    pixels = torch.stack([context.model.modality.encode(sample) for sample in samples])
    return RetrievalPart(description, pictures, split, split.pixels(numbers), pixels, judge)


def share_result(hits: Sequence[bool], description: str, reference: Sequence[bool] | None = None) -> Result:
    """Return a proportion whose description has its Wilson interval."""
    result = proportion_result(hits, description, reference)
    if result.value is None:
        return result
    low, high = wilson_interval(result.value, len(hits))
    return replace(result, description=f"{description} (95 %: {low:.2f} to {high:.2f}, {len(hits)} samples)")


# --------------------------------------------------------------------------------------------------- what is shown


def _retrieval_results(part: RetrievalPart, targets: RetrievalTargets, seed: int) -> dict[str, Result]:
    """Return the shares of samples that are found: best of 100, among the best five, in their group, and shuffled."""
    samples, real = (_ranks(vectors, part.pictures, targets, seed) for vectors in part.vectors)
    count = max(candidates for _, candidates in samples)
    top1, real1, top5, real5 = ([rank < k for rank, _ in ranks] for k in (1, 5) for ranks in (samples, real))
    others = _shuffled(part, targets)
    shuffled = _ranks(part.vectors[0][[number for number, _ in others]], [other for _, other in others], targets, seed)
    found = f"found best of {count}: {part.description}"
    results = {
        "": share_result(top1, found, real1),
        "_top5": share_result(top5, f"found among the best 5 of {count}", real5),
        "_shuffled": share_result([rank < 1 for rank, _ in shuffled], f"best of {count} for another sample's prompt"),
    }
    if len(set(targets.groups) - {""}) > 1:
        members = [number for number, picture in enumerate(part.pictures) if picture.group]
        pictures = [part.pictures[number] for number in members]
        ranks = [_ranks(vectors[members], pictures, targets, seed, in_group=True) for vectors in part.vectors]
        samples, real = ([pair for pair in pairs if pair[1] > 1] for pairs in ranks)
        if samples:
            size = round(float(np.mean([candidates for _, candidates in samples])))
            hits, real_hits = ([rank < 1 for rank, _ in pairs] for pairs in (samples, real))
            results["_in_group"] = share_result(hits, f"found best of {size} (mean) of its own group", real_hits)
    return results


def _ranks(
    vectors: Tensor, pictures: Sequence[PictureItem], targets: RetrievalTargets, seed: int, in_group: bool = False
) -> list[tuple[int, int]]:
    """Return ranks and numbers of candidates; the candidates of a row depend on ``seed`` and the row alone."""
    return [
        targets.rank(vector, picture, np.random.default_rng([seed, row]), in_group)
        for row, (vector, picture) in enumerate(zip(vectors, pictures, strict=True))
    ]


def _shuffled(part: RetrievalPart, targets: RetrievalTargets) -> list[tuple[int, PictureItem]]:
    """Return samples by their numbers, each with what another sample's prompt names; only different things."""
    count = len(part.pictures)
    pairs = []
    for number, picture in enumerate(part.pictures):
        for step in range(1, count):
            other = replace(part.pictures[(number + step) % count], style=picture.style)
            if other.family != picture.family and targets.has(other):
                pairs.append((number, other))
                break
    return pairs


# -------------------------------------------------------------------------------------------------------- its style


def _style_results(part: RetrievalPart, judge: RetrievalJudge) -> dict[str, Result]:
    """Return the share of samples in the style that was asked for, and of those that are no copies of other styles."""
    if judge.styles is None:
        return {}
    is_trained = part.split is judge.train
    real_features, real_styles = (
        (judge.val.features, judge.val.styles) if is_trained else (part.features[1], part.styles)
    )
    hits, real_hits = (
        [found == style for found, style in zip(judge.styles.classify(features), styles, strict=True)]
        for features, styles in ((part.features[0], part.styles), (real_features, real_styles))
    )
    count = len(judge.styles.names)
    results = {"_style": share_result(hits, f"style of the prompt recognized among {count}", real_hits)}
    return results if is_trained else results | _composed_results(part, judge)


def _composed_results(part: RetrievalPart, judge: RetrievalJudge) -> dict[str, Result]:
    """Return the share of samples nearer to the held-out picture than to any trained one of the same label."""
    numbers: dict[str, list[int]] = {}
    for number, label in enumerate(judge.train.labels):
        numbers.setdefault(label, []).append(number)
    hits, other_hits = list[bool](), list[bool]()
    samples = part.samples[: len(part.pictures)]
    for picture, sample, other, real in zip(part.pictures, samples, samples.roll(1, 0), part.real, strict=True):
        others = [
            number for number in numbers.get(picture.label, []) if judge.train.pictures[number].style != picture.style
        ]
        if others:
            pixels = torch.cat([real[None], judge.train.pixels(others[:MAX_OTHERS])])
            for answers, candidate in ((hits, sample), (other_hits, other)):
                own, *known = pixel_distances(pixels, candidate[None]).tolist()
                answers.append(own < min(known))
    if not hits:
        return {}
    chance = sum(other_hits) / len(other_hits)
    description = "nearer to the held-out picture than to those trained on of the same label, in other styles"
    return {"_composition": share_result(hits, f"{description}; for another sample's prompt {chance:.2f}")}


# ----------------------------------------------------------------------------------- what a judge of content misses


def _picture_results(part: RetrievalPart, context: EvalContext, judge: RetrievalJudge) -> dict[str, Result]:
    """Return the distance to training pictures, variety, grain, and the Frechet distance."""
    samples = part.samples[: len(part.pictures)]
    energy, flat = ([function(pixels) for pixels in (samples, part.real)] for function in (gradient_energy, flat_share))
    results = {
        "_nearest": _nearest_result(samples, context, judge),
        "_spread": _spread_result(part),
        "_gradient": mean_result(energy[0], "mean squared step between neighboring pixels, of 0..1: grain", energy[1]),
        "_flat": mean_result(flat[0], "share of neighboring pixels that differ by 4 of 255 or less", flat[1]),
    }
    if part.split is judge.val:
        real = judge.space.embed(judge.val.features, judge.val.styles)
        of_part = {picture.part for picture in part.pictures}
        real = real[torch.tensor([picture.part in of_part for picture in judge.val.pictures])]
        vectors, real_vectors = (each[:, :FRECHET_DIMENSIONS] * FRECHET_SCALE for each in (part.vectors[0], real))
        results["_frechet"] = frechet_result(vectors, real_vectors, context.seed, "the judge", "pictures")
    return results


def _nearest_result(samples: Tensor, context: EvalContext, judge: RetrievalJudge) -> Result:
    """Return the mean distance of samples to their nearest training pictures; the reference is held-out pictures."""
    modality, count = context.model.modality, min(context.n, len(judge.val))
    real = judge.val.pixels([number * len(judge.val) // count for number in range(count)])
    flip = isinstance(modality, Image) and modality.flip
    distances = torch.from_numpy(
        nearest_picture_distances(torch.cat([samples, real]), judge.train.packed, context.model.method.device, flip)
    )
    description = "mean distance to the nearest training picture, RMS in 0..1"
    return mean_result(distances[: len(samples)], description, distances[len(samples) :])


def _spread_result(part: RetrievalPart) -> Result:
    """Return how much two samples of a prompt differ; the reference is that of real pictures with one caption."""
    count = len(part.pictures)
    repeats = part.samples[count:]
    others = pixel_distances(part.samples[:count], part.samples[:count].roll(1, 0)).mean()
    description = f"RMS difference of two seeds of a prompt, in 0..1; two prompts: {others:.3f}"
    pairs = _caption_pairs(part.split)
    if not pairs:
        description += "; no two real pictures have one caption"
    real = pixel_distances(*(part.split.pixels(numbers) for numbers in zip(*pairs, strict=True))) if pairs else None
    return mean_result(pixel_distances(part.samples[: len(repeats)], repeats), description, real)


def _caption_pairs(split: PictureSplit) -> list[tuple[int, int]]:
    """Return pairs of pictures that follow each other among those of one caption and style."""
    keys = [(picture.prompt, picture.style) for picture in split.pictures]
    repeated = {key for key, count in Counter(keys).items() if count > 1}
    last: dict[Any, int] = {}
    pairs = []
    for number, key in enumerate(keys):
        if key in repeated and key in last:
            pairs.append((last[key], number))
        last[key] = number
    return pairs[:: max(1, len(pairs) // MAX_PAIRS)][:MAX_PAIRS]
