"""A trained model for use from Python; the commands, previews and tools are built on it."""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any, get_type_hints

from torch import nn

from genai.core.batch import Chunk, Interpolation, Request, batch_ranges
from genai.core.errors import UserError, did_you_mean, join_names, short_repr, short_text
from genai.core.instantiate import parse_dataclass
from genai.core.limits import check_batch
from genai.core.renamed import module_getattr
from genai.inference.adapters import parse_adapters
from genai.inference.stored_model import read_model
from genai.media.base import Media
from genai.methods.base import Method, NetworkCall, map_steps
from genai.modalities.base import Modality
from genai.modalities.optional import length_unit, push_log_probs
from genai.networks.native.weight_format import describe_rung, set_weight_format
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.record import AdapterRecord, VoiceRecord
from genai.runs.run import Run
from genai.runs.voices import check_voices, read_voices, unique_voices

ARGUMENTS = ("prompt", "n", "seed", "init", "batch")
"""Arguments of ``Model.sample`` besides options."""
DTYPES, QUANTIZATIONS = ("float32", "bfloat16"), ("int8", "int4")
MAX_REPR_PROMPTS = 3
"""Prompts in the ``repr`` of a model."""


class Model:
    """A trained method with its modality.

    Attributes:
        modality: converts between media and tensors.
        method: the network and its sampling procedure.
        record: the run's ``record.json``; empty if there is none.
        file, digest, step: the checkpoint, its sha256, and the training step at which it was saved.
        weights: ``ema`` or ``raw``.
        notes: one message per damaged checkpoint that was skipped.
        parts: the models that it is composed of, by the keys of the command line that name them: itself as ``ckpt``.
        header: of the checkpoint; ``None`` for a model that has none.
        adapters: those that are merged into its weights.
        dtype, quantize: format of the weights, if it is not that of the file.
    """

    def __init__(
        self,
        modality: Modality,
        method: Method,
        record: Mapping[str, Any] | None = None,
        file: Path | None = None,
        digest: str = "",
        step: int = 0,
        notes: Sequence[str] = (),
        weights: str = "ema",
        header: CheckpointHeader | None = None,
        adapters: Sequence[AdapterRecord] = (),
    ) -> None:
        self.modality, self.method, self.record = modality, method, dict(record or {})
        self.file, self.digest, self.step, self.notes = file, digest, step, list(notes)
        self.weights, self.parts, self.header = weights, {"ckpt": self}, header
        self.adapters = list(adapters)
        self.dtype: str | None = None
        self.quantize: str | None = None

    def __repr__(self) -> str:
        parts = [
            *(type(part).__name__ for part in (self.modality, self.method)),
            f"{count_parameters(self.method):,} parameters",
            f"step {self.step:,}",
            f"weights={self.weights!r}",
            f"file={str(self.file)!r}",
        ]
        prompts = self.record.get("prompts")
        if isinstance(prompts, list) and any(prompts):
            names = [repr(short_text(prompt)) for prompt in prompts[:MAX_REPR_PROMPTS]]
            parts.append(f"prompts such as {', '.join(names)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def run(self) -> Run | None:
        """The run whose checkpoint it is; ``None`` for other models, and for a checkpoint outside of its run."""
        is_checkpoint = self.file is not None and "started" in self.record
        return Run(self.file.parent.parent) if self.file and is_checkpoint else None

    @property
    def voices(self) -> list[VoiceRecord]:
        """The voices in it and in its parts, with the consent for them."""
        headers = [part.header for part in self.parts.values() if part.header]
        return unique_voices(*(read_voices(header.consent) for header in headers))

    @property
    def makes_voices(self) -> bool:
        """Whether its files always say that their voice is synthetic."""
        return bool(self.voices) or any(part.method.needs_consent for part in self.parts.values())

    @property
    def metrics(self) -> Sequence[str]:
        """Names of its default metrics; empty: those of the data."""
        return self.method.metrics

    @property
    def rung(self) -> str:
        """How a text model generates: ``"native loop, int8 weights"``; "" for other models."""
        return describe_rung(getattr(self.method, "network", None))

    def set_weight_format(self, dtype: str | None = None, quantize: str | None = None) -> None:
        """Round the weights of a GPT to a format, in which they are also read; see ``load``. Raises ``UserError``."""
        if dtype is None and quantize is None:
            return
        for name, value, allowed in (("dtype", dtype, DTYPES), ("quantize", quantize, QUANTIZATIONS)):
            if value not in (None, *allowed):
                raise UserError(f"{name}={short_repr(value)}: it should be {' or '.join(allowed)}.")
        if dtype and quantize:
            raise UserError("dtype= and quantize=: give one of them.")
        network = getattr(self.method, "network", None)
        if not describe_rung(network):
            raise UserError(f"{'dtype' if dtype else 'quantize'}= is for text models. Leave it out.")
        set_weight_format(network, str(dtype or quantize))
        self.dtype, self.quantize = dtype, quantize

    def sample(
        self,
        prompt: str | Sequence[str] = "",
        *,
        n: int = 1,
        seed: int = 0,
        init: Media | str | Path | None = None,
        batch: int = 32,
        **options: Any,
    ) -> "Samples":
        """Draw ``n`` samples of each prompt.

        Args:
            prompt: one text or several.
            n: number of samples per prompt.
            seed: of the first sample; sample ``i`` has ``seed + i``.
            init: media, or the path of a file, to start from or to continue.
            batch: number of samples per batch.
            options: of the modality and the method, such as ``length``, ``temperature``, ``stop``.

        Returns:
            The samples, prompt by prompt.

        Raises:
            UserError: an unknown option, a value out of range, a prompt that does not fit.
        """
        prompts, seeds = expand_prompts(prompt, n, seed)
        samples = Samples()
        for rows in batch_ranges(len(prompts), batch):
            stream = self.open_stream(prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], init, options)
            stream.check_options(options)
            for _ in stream:
                pass
            samples += stream.results()
        return samples

    def stream(
        self,
        prompt: str | Sequence[str] = "",
        *,
        n: int = 1,
        seed: int = 0,
        init: Media | str | Path | None = None,
        **options: Any,
    ) -> "Stream":
        """Draw samples like ``sample``, in one batch, and yield intermediate results.

        Each step yields a list with one media value per sample: the next part (often empty) of a text or sound, the
        whole current state of a picture or clip. ``results()`` returns the samples.
        """
        stream = self.open_stream(*expand_prompts(prompt, n, seed), init, options)
        stream.check_options(options)
        return stream

    def open_stream(
        self,
        prompts: list[str],
        seeds: list[int],
        init: Media | str | Path | None,
        options: Mapping[str, Any],
        interpolation: list[Interpolation] | None = None,
    ) -> "Stream":
        """Start one batch, with a prompt and a seed for each sample. Raises ``UserError``."""
        check_voices(self.voices, "this model")  # a consent may be revoked while a server runs
        return Stream(self, prompts, seeds, init, options, interpolation)

    @property
    def option_names(self) -> tuple[set[str], set[str]]:
        """Names of the modality's and of the method's options."""
        modality_names, method_names = (
            {field.name for field in dataclass_fields(part.Options)} for part in (self.modality, self.method)
        )
        return modality_names, method_names

    def build_options(self, values: Mapping[str, Any], strict: bool = True) -> tuple[Any, Any]:
        """Build the modality's and the method's ``Options``. ``strict=False`` parses numbers from strings.

        Raises:
            UserError: an unknown name, a wrong type, a value out of range.
        """
        modality_names, method_names = self.option_names
        for name in values:
            if name not in modality_names | method_names:
                raise self.unknown_option_error(name, {*modality_names, *method_names, *ARGUMENTS})
        values = {k: [v] if isinstance(v, str) and k in self.text_list_options() else v for k, v in values.items()}
        modality_values = {name: value for name, value in values.items() if name in modality_names}
        method_values = {name: value for name, value in values.items() if name in method_names}
        return (
            parse_dataclass(self.modality.Options, modality_values, strict=strict),
            parse_dataclass(self.method.Options, {**self.method.sampling, **method_values}, strict=strict),
        )

    def text_list_options(self) -> set[str]:
        """Names of the options that are lists of texts; a single text is taken for a list of one."""
        hints = [get_type_hints(part.Options, include_extras=True) for part in (self.modality, self.method)]
        return {name for part_hints in hints for name, hint in part_hints.items() if hint == Sequence[str]}

    def unknown_option_error(self, name: str, allowed: Iterable[str]) -> UserError:
        """Return the error for an option that is not among the ``allowed`` ones."""
        if name in signature(type(self.modality)).parameters:
            return UserError(f"{name}= was fixed in training, by modality.{name}=, and cannot change. Leave it out.")
        return UserError(f"There is no option '{name}'.{did_you_mean(name, allowed)} There are: {join_names(allowed)}.")


class Samples(list[Any]):
    """A list of media with a notebook display."""

    def _repr_html_(self) -> str:
        return "".join(media._repr_html_() for media in self)


class Stream:
    """Samples in progress; see ``Model.stream``.

    Attributes:
        init: the media to start from; ``None`` if there is none.
        unused_options: options that change nothing here, with the reason.
        unit: unit in which the modality measures length; ``None``: samples have no length.
        length, max_length: current and maximum length of each sample, in that unit.
        progress: completed fraction of the work, from 0 to 1; ``None`` if ``length`` shows it.
        num_values: number of values of a new sample, such as tokens, or pixels times channels.
    """

    def __init__(
        self,
        model: Model,
        prompts: list[str],
        seeds: list[int],
        init: Media | str | Path | None,
        options: Mapping[str, Any],
        interpolation: list[Interpolation] | None = None,
    ) -> None:
        self.prompts, self.seeds = prompts, seeds
        modality = model.modality
        modality_options, method_options = model.build_options(options)
        if init is not None and not model.method.supports_init:
            raise UserError("init=: this model cannot start from a file. Leave it out.")
        if isinstance(init, str | Path) and not isinstance(init, modality.media):
            init = modality.media.read(Path(init).expanduser())
        self.init = init
        request: Request = modality.request(prompts, seeds, init, modality_options)
        self.unused_options = model.method.unused_options(request, method_options)
        request = replace(request, interpolation=interpolation)
        self.num_values = math.prod(request.size)
        check_batch(len(prompts), self.num_values)
        self.decoders = modality.decoders(request, modality_options)
        self.unit, self._elements_per_unit = length_unit(modality)
        self.length, self.max_length = 0.0, request.size[0] / self._elements_per_unit
        self.progress: float | None = None
        self.method, self._request, self._method_options = model.method.eval(), request, method_options
        self._parts = self._iterate()

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise ``UserError`` if one of the given options changes nothing."""
        for name in self.unused_options.keys() & options.keys():
            raise UserError(f"{name}= changes nothing here: {self.unused_options[name]}. Leave it out.")

    def init_text(self, item: int) -> str:
        """Terminal text of the beginning that an item continues."""
        return str(self.decoders[item].initial.on_terminal)

    def __iter__(self) -> Iterator[list[Any]]:
        return self._parts

    def steps(self) -> Generator[list[Any] | NetworkCall, Any, None]:
        """Yield what iteration yields, and each ``NetworkCall`` that streams can share, see ``JointSampling``."""
        yield from map_steps(self.method.steps(self._request, self._method_options), self._push, self._is_done)

    def _iterate(self) -> Iterator[list[Any]]:
        for chunk in self.method.stream(self._request, self._method_options):
            yield self._push(chunk)
            if self._is_done():
                return

    def _is_done(self) -> bool:
        return all(decoder.done for decoder in self.decoders)

    def _push(self, chunk: Chunk) -> list[Any]:
        """Add a chunk, and return the intermediate results."""
        self.length = (chunk.start + chunk.x.shape[1]) / self._elements_per_unit
        self.progress = chunk.progress
        if chunk.log_probs is not None:
            for decoder, x, log_probs in zip(self.decoders, chunk.x, chunk.log_probs, strict=True):
                push_log_probs(decoder, x, log_probs)
        return [decoder.push(chunk.start, x) for decoder, x in zip(self.decoders, chunk.x, strict=True)]

    def results(self) -> Samples:
        """Return the samples in their current state."""
        return Samples(self.iter_results())

    def iter_results(self, items: Sequence[int] | None = None) -> Iterator[Any]:
        """Yield the samples, or those of ``items``, in their current state, each as soon as it is complete."""
        for item in range(len(self.decoders)) if items is None else items:
            yield self.decoders[item].result()

    def texts(self) -> list[str]:
        """Terminal text of each sample in its current state; empty if it cannot be shown there."""
        return [str(decoder.result().on_terminal) for decoder in self.decoders]


def expand_prompts(prompt: str | Sequence[str], n: int, seed: int) -> tuple[list[str], list[int]]:
    """Return the prompt and the seed of each sample. Raises ``UserError``."""
    if not isinstance(prompt, str | Sequence) or not all(isinstance(text, str) for text in prompt):
        raise UserError(f"prompt={short_repr(prompt)}: it should be a text or a list of texts.")
    for name, number in (("n", n), ("seed", seed)):
        if not isinstance(number, Integral):
            raise UserError(f"{name}={short_repr(number)}: it should be an integer.")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if n < 1 or not prompts:
        raise UserError(f"n={n} samples of {len(prompts)} prompts: both have to be 1 or more.")
    if not 0 <= seed < 2**62:
        raise UserError(f"seed={seed}: it should be between 0 and {2**62 - 1}.")
    sample_prompts = [text for text in prompts for _ in range(n)]
    return sample_prompts, [seed + index for index in range(len(sample_prompts))]


def load(
    source: str | Path | None = None,
    *,
    modality: str | None = None,
    weights: str = "ema",
    device: str = "auto",
    runs_folder: str | Path = "runs",
    plugins: Sequence[str] = (),
    adapter: str | Path | Mapping[str | Path, float] | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
) -> Model:
    """Load the model of a run folder, a checkpoint file or an exported folder.

    Args:
        source: the run folder, checkpoint file, exported folder, folder of transformers, or GGUF file; ``None``: the
            newest finished run.
        modality: of the newest run, or the one that ``source`` must have.
        weights: ``ema`` (averaged over training) or ``raw`` (as the optimizer left them). An exported folder has one
            of them, which ``Model.weights`` tells.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        runs_folder: where to look for the newest run.
        plugins: packages besides genai whose classes the checkpoint may name.
        adapter: a run with ``adapter=lora``, or a folder of peft, that changes ``source``; or several with factors,
            ``{"runs/a": 0.7, "runs/b": 0.3}``. Without ``source``, the model that the first one changes.
        dtype: format in which a GPT's weights are read while it generates: ``float32`` or ``bfloat16``; ``None``: that
            of the file.
        quantize: the same in fewer bits: ``int8`` or ``int4``.

    Raises:
        UserError: there is no such run or file.
        CorruptCheckpoint: the checkpoint is damaged or refused.
    """
    adapters = parse_adapters(adapter)
    model = Model(**vars(read_model(source, modality, weights, device, Path(runs_folder), plugins, adapters)))
    model.set_weight_format(dtype, quantize)
    return model


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


__getattr__ = module_getattr(__name__)
