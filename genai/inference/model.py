"""A trained model as a Python value: the face that the command line, the previews and every tool stand on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from genai.core.batch import Interpolation, Request, batch_ranges
from genai.core.device import select_device
from genai.core.errors import CorruptCheckpoint, UserError, did_you_mean, join_names, short_repr
from genai.core.instantiate import instantiate, parse_dataclass
from genai.media.base import Media
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.runs.checkpoint import file_hash, load_checkpoint
from genai.runs.run import Run, find_run, latest_run


class Model:
    """A modality and a method that was trained on it.

    Attributes:
        modality: media <-> tensors.
        method: the network, and how it samples.
        record: the ``record.json`` of its run; empty where there is none.
        file, digest, step: the checkpoint that it comes from, its sha256, the training step it was saved at.
        weights: ``ema`` or ``raw``.
        notes: a line about each damaged checkpoint that was passed over.
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
    ) -> None:
        self.modality, self.method, self.record = modality, method, dict(record or {})
        self.file, self.digest, self.step, self.notes = file, digest, step, list(notes)
        self.weights = weights

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
            prompt: a text, or several.
            n: samples of each.
            seed: of the first sample; the others count on from it.
            init: what to start from or to continue: media, or the path of a file.
            batch: samples made at once.
            options: of the modality and the method, such as ``length``, ``temperature``, ``stop``.

        Returns:
            Media, prompt by prompt.

        Raises:
            UserError: an unknown option, a value out of range, a prompt that does not fit.
        """
        prompts, seeds = items(prompt, n, seed)
        made = Samples()
        for rows in batch_ranges(len(prompts), batch):
            stream = Stream(self, prompts[rows.start : rows.stop], seeds[rows.start : rows.stop], init, options)
            for _ in stream:
                pass
            made += stream.results()
        return made

    def stream(
        self,
        prompt: str | Sequence[str] = "",
        *,
        n: int = 1,
        seed: int = 0,
        init: Media | str | Path | None = None,
        **options: Any,
    ) -> "Stream":
        """Like ``sample``, in one batch, but as it is made.

        Iterating gives at each step a list with one piece of media a sample: of texts and sounds the next part (often
        empty), of pictures and clips the whole so far. ``results()`` are then the samples.
        """
        return Stream(self, *items(prompt, n, seed), init, options)

    def split_options(self, values: Mapping[str, Any], strict: bool = True) -> tuple[Any, Any]:
        """``values`` as the modality's and the method's ``Options``. ``strict=False`` reads numbers out of strings.

        Raises:
            UserError: a name that neither has, a wrong type, a value out of range.
        """
        ours = {field.name for field in dataclass_fields(self.modality.Options)}
        theirs = {field.name for field in dataclass_fields(self.method.Options)}
        for name in values:
            if name not in ours | theirs:
                raise self.no_option(name, ours | theirs)
        modality = parse_dataclass(self.modality.Options, {k: v for k, v in values.items() if k in ours}, strict=strict)
        chosen = {**self.method.sampling, **{k: v for k, v in values.items() if k in theirs}}
        return modality, parse_dataclass(self.method.Options, chosen, strict=strict)

    def no_option(self, name: str, known: Iterable[str]) -> UserError:
        """What to say of an option that is not among the ``known`` ones."""
        if name in signature(type(self.modality)).parameters:
            return UserError(
                f"{name}= was decided in training, by modality.{name}=: this model knows no other. Leave it out."
            )
        return UserError(f"There is no option '{name}'.{did_you_mean(name, known)} There are: {join_names(known)}.")


class Samples(list[Any]):
    """A list of media that shows itself in a notebook."""

    def _repr_html_(self) -> str:
        return "".join(media._repr_html_() for media in self)


class Stream:
    """Samples while they are made: see ``Model.stream``.

    Attributes:
        init: the media that it starts from, read.
        unit: what the modality counts the length of a sample in; ``None``: nothing.
        made, total: how long each sample is, and will be at most, in that unit.
        share: of the work that is done, where the length of samples does not tell.
    """

    def __init__(
        self,
        model: Model,
        prompts: list[str],
        seeds: list[int],
        init: Media | str | Path | None,
        options: Mapping[str, Any],
        between: list[Interpolation] | None = None,
    ) -> None:
        self.prompts, self.seeds = prompts, seeds
        modality = model.modality
        ours, theirs = model.split_options(options)
        if init is not None and not model.method.edits:
            raise UserError("init=: this model makes everything anew and cannot start from a file. Leave it out.")
        if isinstance(init, str | Path) and not isinstance(init, modality.media):
            init = modality.media.read(Path(init).expanduser())
        self.init = init
        request: Request = replace(modality.request(prompts, seeds, init, ours), between=between)
        given: Sequence[Tensor | None] = request.init or [None] * len(prompts)
        self.decoders = [modality.decoder(tensor, ours) for tensor in given]
        self.unit, self._per_unit = modality.unit, modality.per_unit
        self.made, self.total = 0.0, request.size[0] / modality.per_unit
        self.share: float | None = None
        model.method.eval()
        self.pieces = model.method.stream(request, theirs)

    def given(self, item: int) -> str:
        """What a terminal can show of the beginning that an item was given, before anything is added to it."""
        return str(self.decoders[item].given.on_terminal)

    def __iter__(self) -> Iterator[list[Any]]:
        for piece in self.pieces:
            self.made = (piece.start + piece.x.shape[1]) / self._per_unit
            self.share = piece.share
            yield [decoder.push(piece.start, x) for decoder, x in zip(self.decoders, piece.x, strict=True)]
            if all(decoder.done for decoder in self.decoders):
                return

    def results(self) -> Samples:
        """The samples as far as they have been made."""
        return Samples(decoder.result() for decoder in self.decoders)


def items(prompt: str | Sequence[str], n: int, seed: int) -> tuple[list[str], list[int]]:
    """The prompt and the seed of each sample. Raises ``UserError``."""
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if n < 1 or not prompts:
        raise UserError(f"n={n} samples of {len(prompts)} prompts: both have to be 1 or more.")
    if not 0 <= seed < 2**62:
        raise UserError(f"seed={seed}: it should be between 0 and {2**62 - 1}.")
    repeated = [text for text in prompts for _ in range(n)]
    return repeated, [seed + index for index in range(len(repeated))]


def load(
    source: str | Path | None = None,
    *,
    modality: str | None = None,
    weights: str = "ema",
    device: str = "auto",
    runs_folder: str | Path = "runs",
    plugins: Sequence[str] = (),
) -> Model:
    """The model of a run folder or a checkpoint file; of the newest run (of ``modality``) where ``source`` is ``None``.

    Args:
        weights: ``ema``, averaged over training, or ``raw``, as the optimizer had left them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        plugins: packages besides genai whose classes the checkpoint may name.

    Raises:
        UserError: there is no such run or file; ``CorruptCheckpoint``: it is not a good checkpoint.
    """
    if weights not in ("ema", "raw"):
        raise UserError(f"weights={weights!r}: it should be 'ema' or 'raw'.")
    target = select_device(device)
    file, state, notes = open_checkpoint(source, modality, Path(runs_folder))
    about = state["genai"]
    try:
        codec, method = rebuild(about, state["state_dict"], file.stat().st_size, plugins)
        restore(method, state["state_dict"], weights)
        if any(not torch.isfinite(value).all() for value in method.sampled.state_dict().values()):
            raise CorruptCheckpoint("it has weights that are not numbers.")
    except UserError as error:
        raise type(error)(f"{file}: {error}") from error
    except Exception as error:  # whatever comes of building what a stranger describes
        reason = f"{type(error).__name__}: {str(error)[:120]}".splitlines()[0]
        raise CorruptCheckpoint(f"{file} does not describe the model of its weights ({reason}).") from error
    record = Run(file.parent.parent).record
    if modality is not None and record.get("modality", modality) != modality:
        raise UserError(f"{file} is a model of {record['modality']}, not of {modality}.")
    digest = file_hash(file)
    return Model(codec, method.to(target).eval(), record, file, digest, about["step"], notes, weights)


def open_checkpoint(
    source: str | Path | None, modality: str | None = None, root: Path = Path("runs")
) -> tuple[Path, dict[str, Any], list[str]]:
    """The checkpoint that ``source`` means: its path, content, and notes about damaged ones. Raises ``UserError``."""
    if source is None:
        return latest_run(root, modality).load("best")
    if "://" in str(source):
        raise UserError(f"'{source}' looks like an address: only files on this machine are loaded.")
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return find_run(path).load("best")
    if not path.exists():
        near = (
            did_you_mean(path.name, [sibling.name for sibling in path.parent.glob("*")]) if path.parent.is_dir() else ""
        )
        raise UserError(f"there is no run folder or checkpoint {source}.{near}")
    return path, load_checkpoint(path), []


def rebuild(
    about: Mapping[str, Any], weights: Mapping[str, Tensor], size: int, plugins: Sequence[str] = ()
) -> tuple[Modality, Method]:
    """The modality and the untrained method that a checkpoint of ``size`` bytes describes.

    The method's shapes are compared with the ``weights`` before any memory is spent on it. That is not enough: a
    tensor can have any shape over a single number, or share it with others.

    Raises:
        UserError: a class that may not be built; ``CorruptCheckpoint``: a description that does not fit. Whatever else a
        description of nonsense can lead to.
    """
    modality = instantiate(about["modality"], Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]
    modality.restore(about["modality_state"])
    with torch.device("meta"), Uninitialised(), at_most(5_000):
        described = build_method(about["model"], modality, plugins)
    numbers = sum(tensor.numel() for tensor in (*described.parameters(), *described.buffers()))
    if numbers > size:
        raise CorruptCheckpoint(f"it describes a model of {numbers:,} numbers in {size:,} bytes.")
    shapes = {name: value.shape for name, value in described.state_dict().items()}
    stored = {name: value.shape for name, value in _below(weights, "method.").items()}
    if wrong := next((name for name in shapes.keys() | stored.keys() if shapes.get(name) != stored.get(name)), None):
        raise CorruptCheckpoint(
            f"its weights do not fit its model: {short_repr(wrong)} is {stored.get(wrong)}, not {shapes.get(wrong)}."
        )
    return modality, build_method(about["model"], modality, plugins)


class Uninitialised(TorchFunctionMode):
    """Within it random initialisation does nothing.

    Shapes need no values, and torch's random functions on the meta device import its compiler, a second and a half.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **kwargs)


@contextmanager
def at_most(limit: int) -> Iterator[None]:
    """Within it modules may register ``limit`` parameters. Raises ``CorruptCheckpoint`` at the next one."""
    numbers = count(1)

    def check(*_: Any) -> None:
        if next(numbers) > limit:
            raise CorruptCheckpoint(f"it describes a model of more than {limit:,} tensors.")

    hook = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()


def build_method(node: Mapping[str, Any], modality: Modality, plugins: Sequence[str] = ()) -> Method:
    """The method that a model config describes, with the sizes of ``modality``. Raises ``UserError``."""
    return instantiate(node, Method, "model", modality.interface, plugins)  # type: ignore[type-abstract]


def restore(method: Method, state: Mapping[str, Tensor], weights: str) -> None:
    """Put a checkpoint's weights into ``method``. Raises ``RuntimeError`` where they do not fit."""
    method.load_state_dict(_below(state, "method."))
    if weights == "ema":
        method.sampled.load_state_dict(_below(state, "ema.module."))


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
