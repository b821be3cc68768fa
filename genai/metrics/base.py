"""What a metric is: it looks at a trained model and its data, and returns named figures."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from genai.core.batch import batch_ranges
from genai.core.cache import cache_dir
from genai.core.data import PackedDataset, Source
from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.instantiate import import_class
from genai.core.progress import ProgressBar
from genai.inference.model import Model
from genai.inference.validation import at_once, held_out_losses

REGISTRY: dict[str, tuple[str, ...]] = {
    "val_loss": ("genai.metrics.loss.HeldOutLoss",),
    "bits_per_byte": ("genai.metrics.text.text.BitsPerByte",),
    "parses": ("genai.metrics.text.text.Parses",),
    "longest_copy": ("genai.metrics.text.text.LongestCopy",),
    "nearest": (
        "genai.metrics.image.nearest.Nearest",
        "genai.metrics.audio.nearest.NearestClip",
        "genai.metrics.video.nearest.NearestFilm",
    ),
    "classification_accuracy": ("genai.metrics.image.classification_accuracy.Serves",),
    "bits_per_sample": ("genai.metrics.audio.bits_per_sample.BitsPerSample",),
    "prompt_accuracy": ("genai.metrics.audio.prompt_accuracy.Judge",),
    "enhancement": ("genai.metrics.audio.enhancement.Enhancement",),
    "motion": ("genai.metrics.video.motion.Motion",),
    "frechet": ("genai.metrics.video.frechet_video.FilmDistance",),
    "prediction": ("genai.metrics.video.prediction.Prediction",),
    "drift": ("genai.metrics.video.drift.Drift",),
}
"""Classes by the name that people type, one for each kind of media where they differ.

A source adds its own (``Source.own_metrics``); a metric of a plugin goes by its class, ``mypackage.metrics.Mine``.
"""


@dataclass(frozen=True)
class Result:
    """A number, and what it is to be read beside.

    Attributes:
        value: ``None`` where nothing could be measured.
        about: what it is, with its unit.
        error: its standard error, of the draw of prompts and samples.
        beside: the same of real, held-out data.
    """

    value: float | None
    about: str
    error: float | None = None
    beside: float | None = None


@dataclass
class EvalContext:
    """A model and data, and what several metrics need of them, made once.

    Attributes:
        model: with the weights to measure.
        source: the data.
        own: whether they are what the model was trained on and held out from, shown by their hash.
        n: samples, or pairs, of each kind.
        seed: of prompts and of samples.
        batch: samples made at once.
        options: of the modality and the method, in their types.
        sound: a second model, that makes the sound of the samples.
    """

    model: Model
    source: Source
    own: bool = True
    n: int = 160
    seed: int = 0
    batch: int = 32
    options: Mapping[str, Any] = field(default_factory=dict)
    sound: Model | None = None
    _drawn: dict[tuple[str, ...], list[Any]] = field(default_factory=dict)

    @cached_property
    def train(self) -> PackedDataset:
        """The training split as tensors of the model's modality."""
        return self.model.modality.pack(self.source.train, cache_dir())

    @cached_property
    def val(self) -> PackedDataset:
        """The held-out split."""
        return self.model.modality.pack(self.source.val, cache_dir())

    @cached_property
    def losses(self) -> dict[str, float]:
        """The losses of the method by name, means over the whole held-out split."""
        with ProgressBar("held-out loss", -(-len(self.val) // at_once(self.val))) as bar:
            sums, weight = held_out_losses(self.model.method, self.val, seed=self.seed, between=bar.step)
        return {name: float(value / weight) for name, value in sums.items()}

    def asked(self) -> dict[str, tuple[list[str], str]]:
        """``n`` fresh prompts of each kind, by the suffix of their figures, and the name of the kind.

        For other data than the model's own it is not known what was held out, so both kinds are put together.
        """
        trained, held = (
            self.source.prompts(split, self.n, self.seed) for split in (self.source.train, self.source.val)
        )
        if not self.own:
            return {"": (trained + held, "all combinations")}
        return {"": (trained, "trained combinations"), "_held_out": (held, "held-out combinations")}

    def samples(self, prompts: Sequence[str]) -> list[Any]:
        """One sample of each prompt; drawn once, whoever asks for them."""
        key = tuple(prompts)
        if key not in self._drawn:
            made: list[Any] = []
            with ProgressBar("samples", len(prompts)) as bar:
                for rows in batch_ranges(len(prompts), self.batch):
                    asked, seed = prompts[rows.start : rows.stop], self.seed + rows.start
                    made += self.model.sample(asked, seed=seed, batch=self.batch, **self.options)
                    bar.step(len(rows))
            self._drawn[key] = made
        return self._drawn[key]


class Metric(ABC):
    """One way to look at a model. Built without arguments."""

    media: ClassVar[type] = object
    """What the data have to hold."""

    source: ClassVar[type] = object
    """What the data have to be."""

    of_training: ClassVar[bool] = False
    """Whether it compares with what was trained on, so that other data would make it say something false."""

    hears: ClassVar[bool] = False
    """Whether it hears the sound that another model makes of samples."""

    @abstractmethod
    def compute(self, study: EvalContext) -> dict[str, Result]:
        """The figures by name."""


def chosen(
    names: Sequence[str] | None,
    source: Source,
    own: bool,
    plugins: Sequence[str] = (),
    usual: Sequence[str] = (),
) -> tuple[dict[str, Metric], list[str]]:
    """The metrics that ``names`` mean, and the names of what has to be left out.

    Where ``names`` is ``None``, they are the ``usual`` ones of the method, or else those of the data.

    Raises:
        UserError: for a name that there is not, and for one that does not fit the data.
    """
    wanted = (usual or source.metrics) if names is None else names
    if not wanted:
        raise UserError(f"metrics=[]: name at least one. There are: {_fitting(source)}.")
    metrics = {name: metric_class(name, source, plugins)() for name in dict.fromkeys(wanted)}
    left_out = [name for name, metric in metrics.items() if metric.of_training and not own]
    if left_out and names is not None:
        raise UserError(
            f"'{left_out[0]}' compares with what the model was trained on, and these data are not that: leave out "
            f"'{left_out[0]}', or data=."
        )
    return {name: metric for name, metric in metrics.items() if name not in left_out}, left_out


def share(hits: Sequence[bool], about: str, beside: Sequence[bool] | None = None) -> Result:
    """The share of ``hits`` with its binomial standard error, beside that of real data."""
    if not hits:
        return Result(None, about)
    value = sum(hits) / len(hits)
    real = sum(beside) / len(beside) if beside else None
    return Result(value, about, math.sqrt(value * (1 - value) / len(hits)), real)


def attributes(
    ours: Sequence[Mapping[str, bool]], theirs: Sequence[Mapping[str, bool]], said: Mapping[str, str]
) -> dict[str, Result]:
    """One figure an attribute that was asked for: the share of answers of samples, beside that of real data.

    Args:
        said: what is said of an attribute, where it is not "share with the <name> right".
    """
    return {
        name: share(
            [answer[name] for answer in ours],
            said.get(name, f"share with the {name} right"),
            [answer[name] for answer in theirs],
        )
        for name in ours[0]
    }


def registry(source: Source) -> dict[str, tuple[str, ...]]:
    """The classes by name for ``source``: its own before the general ones."""
    own = {name: (target,) for name, target in source.own_metrics.items()}
    return {**REGISTRY, **own}


def metric_class(name: str, source: Source, plugins: Sequence[str] = ()) -> type[Metric]:
    """The class that ``name`` means for ``source``. Raises ``UserError`` for a name that does not fit."""
    known = registry(source)
    if name not in known and "." not in name:
        raise UserError(
            f"There is no metric '{name}'.{did_you_mean(name, known)} For these data there are: {_fitting(source)}."
        )
    candidates = [_locate(target, plugins) for target in known.get(name, (name,))]
    fitting = [candidate for candidate in candidates if _fits(candidate, source)]
    if not fitting:
        kind = f"{type(source).__name__}, which holds values of type {source.media.__name__}"
        raise UserError(f"'{name}' does not fit {kind}. For it there are: {_fitting(source)}.")
    return fitting[0]


def _locate(target: str, plugins: Sequence[str] = ()) -> type[Metric]:
    return import_class(target, Metric, "metrics", plugins)  # type: ignore[type-abstract]


def _fits(metric: type[Metric], source: Source) -> bool:
    return issubclass(source.media, metric.media) and isinstance(source, metric.source)


def _fitting(source: Source) -> str:
    """Names of the metrics that fit ``source``."""
    known = registry(source).items()
    return join_names(name for name, targets in known if any(_fits(_locate(each), source) for each in targets))
