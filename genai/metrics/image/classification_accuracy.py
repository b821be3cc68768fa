"""Do samples serve in the place of data? A classifier trained on them is tested on real pictures."""

from collections.abc import Sequence
from statistics import mean, variance

import numpy as np
import torch
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.loader import held_out
from genai.media.picture import Picture
from genai.metrics.audio.prompt_attributes import MOST, OFTEN, classes
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.classifier import AT_ONCE, hits, learn, numbered

STEPS, TRIES = 300, 3
"""Of each classifier's training; classifiers on each side, with a seed each."""
HELD_OUT = 10_000
"""Pictures of the held-out split that are looked at, at most, evenly spaced."""


class Serves(Metric):
    """The accuracy on held-out pictures of classifiers that saw samples alone, beside that of classifiers that saw as
    many real training pictures of the same classes (classification accuracy score: Ravuri & Vinyals 2019,
    arXiv:1905.10887). Prompts have to be classes.
    """

    media = Picture

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``serves``, the accuracy, and ``serves_ratio``, its share of that of real pictures.

        Raises:
            UserError: the prompts are no classes.
        """
        names = named(study)
        asked = study.source.prompts(study.source.val, study.n, study.seed)
        samples = study.samples(asked)
        pairs = [(sample, prompt) for sample, prompt in zip(samples, asked, strict=True) if prompt in names]
        prompts = [prompt for _, prompt in pairs]
        made = torch.stack([study.model.modality.encode(sample) for sample, _ in pairs])
        real = alike(study.train, study.source.train.prompts, prompts, study.seed)
        device, labels = study.model.method.device, numbered(prompts, names)
        tested = tuple(each.to(device) for each in held_pictures(study.val, names))
        ours, theirs = (accuracy(pixels.to(device), labels.to(device), len(names), *tested) for pixels in (made, real))
        count = f"{len(prompts):,} of {len(names)} classes; {TRIES} classifiers, tested on {len(tested[1]):,} held out"
        figures = {
            "serves": Result(ours[0], f"accuracy of classifiers trained on samples alone, {count}", ours[1], theirs[0])
        }
        if theirs[0]:
            ratio = ours[0] / theirs[0]
            error = sum((error / theirs[0]) ** 2 for error in (ours[1], ratio * theirs[1])) ** 0.5
            about = "the same as a share of that of classifiers trained on as many real pictures"
            figures["serves_ratio"] = Result(ratio, about, error)
        return figures


def named(study: EvalContext) -> tuple[str, ...]:
    """The classes that the prompts of the training split are. Raises ``UserError`` where they are something else."""
    split = study.source.train
    known = split.prompts if split.prompts is not None else [example.prompt for example in split]
    if not (names := classes(known)):
        raise UserError(
            f"'serves' trains a classifier, so the prompts have to be classes: 2 to {MOST}, each of {OFTEN} or "
            f"more pictures. Here {len(known):,} have {len(set(known)):,} different ones. Leave it out of metrics=."
        )
    return names


def alike(train: PackedDataset, known: Sequence[str] | None, prompts: Sequence[str], seed: int) -> Tensor:
    """(prompts, channels, height, width) uint8: training pictures of these prompts, drawn at random.

    None comes twice before all of its prompt have come once.
    """
    if known is None:
        known = [prompt for batch, _ in held_out(train, AT_ONCE, None) for prompt in batch.prompts]
    draw = np.random.default_rng(seed)
    of, found = np.array(known), np.empty(len(prompts), np.int64)
    for name in sorted(set(prompts)):
        rows = np.flatnonzero(np.array(prompts) == name)
        found[rows] = np.resize(draw.permutation(np.flatnonzero(of == name)), len(rows))
    return train.batch(found.tolist(), None).x


def held_pictures(val: PackedDataset, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """(pictures, channels, height, width) uint8 of the held-out split, and their classes; others are left out."""
    batches = [batch for batch, _ in held_out(val, AT_ONCE, HELD_OUT)]
    said = [prompt for batch in batches for prompt in batch.prompts]
    kept = [prompt in names for prompt in said]
    pixels = torch.cat([batch.x for batch in batches])[torch.tensor(kept)]
    return pixels, numbered([prompt for prompt, keep in zip(said, kept, strict=True) if keep], names)


def accuracy(pixels: Tensor, labels: Tensor, count: int, tested: Tensor, right: Tensor) -> tuple[float, float]:
    """The mean of classifiers of these pictures on those ``tested``, and its standard error: of what was tested, and of
    the classifiers' seeds."""
    shares = [
        hits(learn(pixels, labels, count, STEPS, seed), tested, right).float().mean().item() for seed in range(TRIES)
    ]
    share = mean(shares)
    return share, (share * (1 - share) / len(right) + variance(shares) / TRIES) ** 0.5
