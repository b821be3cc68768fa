"""Base class of metrics, the registry of their names, and what they share: data, samples and losses of a model."""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from genai.core.batch import batch_ranges
from genai.core.cache import cache_dir
from genai.core.data import PackedDataset, Source
from genai.core.energy import Energy, EnergyMeter, energy_of
from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.instantiate import import_class
from genai.core.place import Place, find_place
from genai.core.process_group import gather_shares, share_of
from genai.core.progress import ProgressBar
from genai.core.renamed import current_metrics, module_getattr
from genai.core.terminal import one_line
from genai.inference.model import Model
from genai.inference.reference import with_stored_reference
from genai.inference.validation import validation_batch_size, validation_losses
from genai.metrics.judge_options import JudgeOptions
from genai.metrics.sample_judge import Judge

REGISTRY: dict[str, tuple[str, ...]] = {
    "val_loss": ("genai.metrics.loss.ValidationLoss",),
    "bits_per_byte": ("genai.metrics.text.text.BitsPerByte",),
    "parses": ("genai.metrics.text.text.ParseRate",),
    "infill": ("genai.metrics.text.infill.Infill",),
    "novel_lines": ("genai.metrics.text.novel_lines.NovelLines",),
    "exact_match": ("genai.metrics.text.exact_match.ExactMatch",),
    "token_f1": ("genai.metrics.text.token_f1.TokenF1",),
    "chrf": ("genai.metrics.text.chrf.ChrF",),
    "forgetting": ("genai.metrics.text.forgetting.Forgetting",),
    "passes": ("genai.metrics.text.passes.PassRate",),
    "longest_copy": ("genai.metrics.text.text.LongestCopy",),
    "nearest": (
        "genai.metrics.image.nearest.NearestPicture",
        "genai.metrics.audio.nearest.NearestSound",
        "genai.metrics.video.nearest.NearestClip",
    ),
    "subject": ("genai.metrics.image.subject.Subject",),
    "prompt_retrieval": ("genai.metrics.image.prompt_retrieval.PromptRetrieval",),
    "copying": (
        "genai.metrics.text.copying.CopiedTexts",
        "genai.metrics.image.copying.CopiedPictures",
        "genai.metrics.audio.copying.CopiedSounds",
        "genai.metrics.video.copying.CopiedClips",
    ),
    "upscaling": ("genai.metrics.image.upscaling.Upscaling",),
    "classification_accuracy": ("genai.metrics.image.classification_accuracy.ClassificationAccuracy",),
    "bits_per_sample": ("genai.metrics.audio.bits_per_sample.BitsPerSample",),
    "word_error": ("genai.metrics.audio.word_error.WordError",),
    "speaker_similarity": ("genai.metrics.audio.speaker_similarity.SpeakerSimilarity",),
    "dnsmos": ("genai.metrics.audio.dnsmos.SpeechQuality",),
    "copy_synthesis": ("genai.metrics.audio.copy_synthesis.CopySynthesis",),
    "prompt_accuracy": ("genai.metrics.audio.prompt_accuracy.PromptAccuracy",),
    "enhancement": ("genai.metrics.audio.enhancement.Enhancement",),
    "motion": ("genai.metrics.video.motion.MotionStatistics",),
    "frechet": ("genai.metrics.video.frechet_video.FrechetVideo",),
    "prediction": ("genai.metrics.video.prediction.ClipPrediction",),
    "first_frame": ("genai.metrics.video.first_frame.FirstFrame",),
    "drift": ("genai.metrics.video.drift.Drift",),
}
"""Metric classes by name; several classes share a name if each is for another kind of media.

A source adds its own (``Source.own_metrics``). A metric of a plugin is named by its class: ``mypackage.metrics.Mine``.
"""


@dataclass(frozen=True)
class Result:
    """A measured value with its standard error and a reference value.

    Attributes:
        value: ``None`` if it could not be measured.
        description: what was measured, with its unit.
        standard_error: of ``value``, over the random choice of prompts and samples.
        reference: the same measurement on real held-out data.
    """

    value: float | None
    description: str
    standard_error: float | None = None
    reference: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "standard_error", "reference"):
            if hasattr(number := getattr(self, name), "item"):  # of NumPy or torch, which JSON does not take
                object.__setattr__(self, name, number.item())


@dataclass
class EvalContext:
    """A model, its data, and what several metrics share: packed splits, losses and samples, each computed once.

    Attributes:
        model: the model to evaluate.
        source: the data.
        own_data: whether the model was trained on the training split of ``source``, verified by content hash.
        n: number of samples, or pairs, of each kind.
        seed: of prompts and samples.
        batch: samples generated at once.
        options: parsed options of the modality and the method.
        problems: file of programming problems; ``None``: those of genai.
        references: folder of captioned pictures that the model was not trained on; ``None``: held-out items.
        plugins: packages besides genai whose classes are allowed.
        judge: weights and sentences for metrics of speech.
        notes: what ``note`` has printed.
        place: of this process among those that share the samples.
        sampling_energy: what ``samples`` has used, in all processes.
    """

    model: Model
    source: Source
    own_data: bool = True
    n: int = 160
    seed: int = 0
    batch: int = 32
    options: Mapping[str, Any] = field(default_factory=dict)
    problems: Path | None = None
    references: Path | None = None
    plugins: Sequence[str] = ()
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    notes: list[str] = field(default_factory=list)
    place: Place = field(default_factory=find_place)
    sampling_energy: Energy = field(default_factory=Energy)
    _sample_cache: dict[tuple[str, ...], list[Any]] = field(default_factory=dict)

    @cached_property
    def train(self) -> PackedDataset:
        """The training split, encoded by the model's modality."""
        return self.model.modality.pack_split(self.source.train, cache_dir())

    @cached_property
    def val(self) -> PackedDataset:
        """The held-out split, encoded by the model's modality."""
        return self.model.modality.pack_split(self.source.val, cache_dir())

    @cached_property
    def losses(self) -> dict[str, float]:
        """Validation losses of the method by name, averaged over the whole held-out split."""
        model = self.model
        val = with_stored_reference(model.method, model.modality, model.header, self.val, self.plugins)
        with ProgressBar("held-out loss", -(-len(self.val) // validation_batch_size(self.val))) as bar:
            sums, weight = validation_losses(model.method, val, seed=self.seed, before_batch=bar.step)
        return {name: float(value / weight) for name, value in sums.items()}

    def prompt_sets(self) -> dict[str, tuple[list[str], str]]:
        """Return ``n`` new prompts of each kind: metric name suffix -> (prompts, description of the kind).

        The kinds are combinations of the training split and, with suffix ``_held_out``, of the held-out split. For data
        other than the model's own it is unknown what was held out, so both kinds are merged.
        """
        trained, held_out = (
            self.source.prompts(split, self.n, self.seed) for split in (self.source.train, self.source.val)
        )
        if not self.own_data:
            return {"": (trained + held_out, "all combinations")}
        return {"": (trained, "trained combinations"), "_held_out": (held_out, "held-out combinations")}

    @property
    def num_samples(self) -> int:
        """Number of samples that ``samples`` has made."""
        return sum(map(len, self._sample_cache.values()))

    def note(self, text: str) -> None:
        """Print a line on standard error, once."""
        if text not in self.notes:
            self.notes.append(text)
            print(one_line(f"note: {text}"), file=sys.stderr, flush=True)

    def samples(self, prompts: Sequence[str], **defaults: Any) -> list[Any]:
        """Return one sample of the model's first part for each prompt. They are cached, so that metrics share them.

        The processes of a launcher make batches in turn; each gets all samples.

        Args:
            prompts: one for each sample.
            defaults: options where ``options`` has none.
        """
        model, options = self.model.parts["ckpt"], {**defaults, **self.options}
        key = (*prompts, repr(defaults))
        if key not in self._sample_cache:
            place, batches, meter = self.place, list[list[Any]](), EnergyMeter(str(model.method.device))
            ranges = share_of(place, [*batch_ranges(len(prompts), self.batch)])
            with ProgressBar("samples", sum(map(len, ranges))) as bar:
                for rows in ranges:
                    batch_prompts, seed = prompts[rows.start : rows.stop], self.seed + rows.start
                    batches.append(model.sample(batch_prompts, seed=seed, batch=self.batch, **options))
                    bar.step(len(rows))
            joules = gather_shares(place, [meter.joules() / max(1, len(batches))] * len(batches))
            self.sampling_energy += energy_of(sum(joules), meter.how)
            self._sample_cache[key] = [sample for batch in gather_shares(place, batches) for sample in batch]
        return self._sample_cache[key]


class Metric(ABC):
    """A metric computes named results for a model. It is constructed without arguments."""

    media: ClassVar[type] = object
    """Kind of media that the data must have."""

    source: ClassVar[type] = object
    """Class that the data source must have."""

    compares_with_training: ClassVar[bool] = False
    """Whether it compares samples with the training data, so that it is meaningless for other data."""

    required_part: ClassVar[str] = ""
    """Part that the model must be composed of (``Model.parts``); empty: none."""

    needs_data: ClassVar[bool] = True
    """Whether it uses the data. If no metric does, and no data are named, none are loaded."""

    uses_problems: ClassVar[bool] = False
    """Whether it uses ``EvalContext.problems``."""

    uses_references: ClassVar[bool] = False
    """Whether it uses ``EvalContext.references``."""

    uses_judge: ClassVar[bool] = False
    """Whether it uses ``EvalContext.judge``."""

    def check(self, context: EvalContext) -> None:
        """Check what it needs before anything is computed. Raises ``UserError``."""
        return

    def unsupported_reason(self, model: Model) -> str:
        """Return why ``model`` cannot be measured; "": it can be."""
        return ""

    def record_entries(self, context: EvalContext) -> dict[str, Any]:
        """Return entries for ``record.json`` of the model's run, after ``compute`` on its own data."""
        return {}

    def lines(self, context: EvalContext) -> list[str]:
        """Return lines that people read below the table, such as samples, after ``compute``."""
        return []

    def report_entries(self, context: EvalContext) -> dict[str, Any]:
        """Return entries for the results file besides the results, after ``compute``."""
        return {}

    def judge(self, context: EvalContext) -> Judge | None:
        """Return what tells of a single sample whether it is as prompted, for groups; ``None``: it cannot."""
        return None

    def features(self, context: EvalContext, samples: list[Any], real: list[Any]) -> tuple[Tensor, Tensor] | None:
        """Return (samples, d) and (real, d) features whose Euclidean distances compare media; ``None``: it has none."""
        return None

    @abstractmethod
    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return the results by name."""


def select_metrics(
    names: Sequence[str] | None,
    source: Source,
    own_data: bool,
    plugins: Sequence[str] = (),
    default_names: Sequence[str] = (),
) -> tuple[dict[str, Metric], list[str]]:
    """Return the metrics by name, and the names of those that were skipped because the data are not the model's own.

    If ``names`` is ``None``, ``default_names`` are selected or, if these are empty, the default metrics of ``source``.

    Raises:
        UserError: a name is unknown or does not fit the data.
    """
    selected = (default_names or source.metrics) if names is None else current_metrics(names)
    if not selected:
        raise UserError(f"metrics=[]: name at least one. There are: {_fitting_names(source, plugins)}.")
    metrics = {name: metric_class(name, source, plugins)() for name in dict.fromkeys(selected)}
    skipped = [name for name, metric in metrics.items() if metric.compares_with_training and not own_data]
    if skipped and names is not None:
        raise UserError(
            f"'{skipped[0]}' compares samples with the data that the model was trained on, and these are other data: "
            f"leave out '{skipped[0]}' or data=."
        )
    return {name: metric for name, metric in metrics.items() if name not in skipped}, skipped


def need_no_data(names: Sequence[str] | None, plugins: Sequence[str] = ()) -> bool:
    """Return whether all these metrics work without data. Raises ``UserError`` for a class that is no metric."""
    selected = current_metrics(names) if names else []
    if not selected or any(name not in REGISTRY and "." not in name for name in selected):
        return False  # a source may have it
    targets = [target for name in selected for target in REGISTRY.get(name, (name,))]
    return not any(_import_metric(target, plugins).needs_data for target in targets)


def supported_metrics(metrics: Mapping[str, Metric], model: Model, are_default: bool) -> dict[str, Metric]:
    """Return the metrics that fit ``model``. Raises ``UserError`` if one does not, unless they are the default ones."""
    reasons = {name: reason for name, metric in metrics.items() if (reason := metric.unsupported_reason(model))}
    if reasons and not are_default:
        name, reason = next(iter(reasons.items()))
        raise UserError(f"metrics: '{name}' does not fit, because {reason}. Leave it out.")
    return {name: metric for name, metric in metrics.items() if name not in reasons}


def proportion_result(hits: Sequence[bool], description: str, reference: Sequence[bool] | None = None) -> Result:
    """Return the proportion of ``hits`` with its binomial standard error, and that of ``reference``."""
    if not hits:
        return Result(None, description)
    value = sum(hits) / len(hits)
    reference_value = sum(reference) / len(reference) if reference else None
    return Result(value, description, math.sqrt(value * (1 - value) / len(hits)), reference_value)


def mean_result(values: Tensor, description: str, reference: Tensor | None = None) -> Result:
    """Return the mean of ``values`` (items,) with its standard error, and that of ``reference``."""
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return Result(float(values.mean()), description, error, None if reference is None else float(reference.mean()))


def attribute_results(
    answers: Sequence[Mapping[str, bool]],
    reference_answers: Sequence[Mapping[str, bool]],
    descriptions: Mapping[str, str],
) -> dict[str, Result]:
    """Return, for each attribute of the prompts, the proportion of samples that have it right.

    Args:
        answers: for each sample, whether each attribute is right.
        reference_answers: the same for real data.
        descriptions: of attributes; the default is "share with the <name> right".
    """
    return {
        name: proportion_result(
            [answer[name] for answer in answers],
            descriptions.get(name, f"share with the {name} right"),
            [answer[name] for answer in reference_answers],
        )
        for name in answers[0]
    }


def available_metrics(source: Source) -> dict[str, tuple[str, ...]]:
    """Return the metric classes by name for ``source``; its own metrics take precedence."""
    own_metrics = {name: (target,) for name, target in source.own_metrics.items()}
    return {**REGISTRY, **own_metrics}


def metric_class(name: str, source: Source, plugins: Sequence[str] = ()) -> type[Metric]:
    """Return the metric class called ``name`` that fits ``source``. Raises ``UserError`` if there is none."""
    available = available_metrics(source)
    if name not in available and "." not in name:
        raise UserError(
            f"There is no metric '{name}'.{did_you_mean(name, available)} "
            f"For these data there are: {_fitting_names(source, plugins)}."
        )
    candidates = [_import_metric(target, plugins) for target in available.get(name, (name,))]
    fitting = [candidate for candidate in candidates if _fits(candidate, source)]
    if not fitting:
        kind = f"{type(source).__name__}, which holds values of type {source.media.__name__}"
        raise UserError(f"'{name}' does not fit {kind}. For it there are: {_fitting_names(source, plugins)}.")
    return fitting[0]


def _import_metric(target: str, plugins: Sequence[str]) -> type[Metric]:
    return import_class(target, Metric, "metrics", plugins)  # type: ignore[type-abstract]


def _fits(metric: type[Metric], source: Source) -> bool:
    return issubclass(source.media, metric.media) and isinstance(source, metric.source)


def _fitting_names(source: Source, plugins: Sequence[str]) -> str:
    """List the names of the metrics that fit ``source``."""
    available = available_metrics(source).items()
    return join_names(
        name for name, targets in available if any(_fits(_import_metric(target, plugins), source) for target in targets)
    )


__getattr__ = module_getattr(__name__)
