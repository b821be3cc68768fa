"""Models from the description in a checkpoint: checked on the meta device first, which takes no memory."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from genai.adapters.lora import LoRA
from genai.core.errors import CorruptCheckpoint, UserError, short_repr, short_text
from genai.core.instantiate import instantiate
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.runs.checkpoint import CheckpointHeader

SAMPLING_PREFIXES = ("method.ema_module.", "ema.module.", "method.codec.")
"""Start of the names of weights that sampling needs."""
MAX_PARAMETERS = 5_000
"""Tensors of a model that a checkpoint describes."""


def build_from_checkpoint(
    header: CheckpointHeader,
    weights: Mapping[str, Tensor],
    num_bytes: int,
    plugins: Sequence[str] = (),
    partial: bool = False,
) -> tuple[Modality, Method]:
    """Build the modality and the untrained method that a checkpoint describes, after ``check_description``."""
    modality, _ = check_description(header, weights, num_bytes, plugins, partial)
    return modality, build_method(header.model or {}, modality, plugins)


def check_description(
    header: CheckpointHeader,
    weights: Mapping[str, Tensor],
    num_bytes: int,
    plugins: Sequence[str] = (),
    partial: bool = False,
) -> tuple[Modality, Method]:
    """Return the modality that a checkpoint of ``num_bytes`` bytes describes, and the method on the meta device.

    Its shapes are compared with the ``weights`` before any memory is allocated. Its number of elements is compared with
    the file size too, because a stored tensor can repeat a single element (stride 0) or share storage with others. Of
    a model with an adapter, only what is trained is in the checkpoint.

    Args:
        header, weights, num_bytes: of the checkpoint.
        plugins: packages besides genai whose classes are allowed.
        partial: whether weights that only training needs, such as those of a discriminator, may be missing.

    Raises:
        UserError: a class that is not allowed.
        CorruptCheckpoint: a description that does not fit the weights.
        Exception: any other error from building an invalid description.
    """
    modality = build_modality(header, plugins)
    with torch.device("meta"), SkipInit(), limit_parameters(MAX_PARAMETERS):
        method = build_method(header.model or {}, modality, plugins)
        if header.adapter is not None:
            instantiate(header.adapter, LoRA, "adapter", plugins=plugins).attach(method)
    check_tensors(method, weights, num_bytes, header.adapter is not None, partial)
    return modality, method


def build_modality(header: CheckpointHeader, plugins: Sequence[str] = ()) -> Modality:
    """Return the modality that a checkpoint describes, with its state. Raises ``UserError``, ``CorruptCheckpoint``."""
    if header.model is None or header.modality is None:
        raise CorruptCheckpoint("it does not describe a model.")
    modality = instantiate(header.modality, Modality, "modality", plugins=plugins)  # type: ignore[type-abstract]
    try:
        modality.restore(header.modality_state)
    except Exception as error:  # an untrusted state can cause any error
        reason = str(error) if isinstance(error, UserError | ValueError) else type(error).__name__
        raise CorruptCheckpoint(f"it does not describe its modality: {short_text(reason)}") from error
    return modality


def check_tensors(
    method: Method, weights: Mapping[str, Tensor], num_bytes: int, is_adapter: bool = False, partial: bool = False
) -> None:
    """Compare the ``weights`` in a file of ``num_bytes`` bytes with those of ``method``. Raises ``CorruptCheckpoint``.

    Args:
        method: may be on the meta device.
        weights: by their names in a checkpoint.
        num_bytes: size of the file.
        is_adapter: whether parameters of ``method`` that are not trained are in another file.
        partial: as for ``check_description``.
    """
    expected = {f"method.{name}": value for name, value in method.state_dict().items()}
    expected |= {f"ema.module.{name}": value for name, value in method.ema_module.state_dict().items()}
    if is_adapter:
        frozen = _frozen_names(method, "method.") | _frozen_names(method.ema_module, "ema.module.")
        expected = {name: value for name, value in expected.items() if name not in frozen}
    own = [*method.named_parameters(), *method.named_buffers()]
    num_elements = sum(x.numel() for name, x in own if not is_adapter or f"method.{name}" in expected)
    if num_elements > num_bytes:
        raise CorruptCheckpoint(f"it describes a model of {num_elements:,} numbers in {num_bytes:,} bytes.")
    for name in {**expected, **weights}:
        if name not in ("ema.n_averaged", *expected):
            raise CorruptCheckpoint(f"its weights do not fit its model, which has no {short_repr(name)}.")
        tensor, stored = expected.get(name), weights.get(name)
        if partial and stored is None and not name.startswith(SAMPLING_PREFIXES):
            continue
        if tensor is not None and (stored is None or _kind(stored) != _kind(tensor)):
            found = "missing" if stored is None else f"{tuple(stored.shape)}, not {tuple(tensor.shape)}"
            raise CorruptCheckpoint(f"its weights do not fit its model: {short_repr(name)} is {found}.")


def _frozen_names(module: torch.nn.Module, prefix: str) -> set[str]:
    """Return the names of the parameters that are not trained: those below an adapter."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {f"{prefix}{name}" for name, parameter in parameters if not parameter.requires_grad}


def _kind(tensor: Tensor) -> tuple[torch.Size, bool]:
    return tensor.shape, tensor.is_floating_point()


class SkipInit(TorchFunctionMode):
    """Context in which random initialization does nothing.

    Only shapes are needed there, and torch's random functions on the meta device import its compiler, which takes a
    second and a half.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return args[0] if func in (Tensor.normal_, Tensor.uniform_) else func(*args, **kwargs)


@contextmanager
def limit_parameters(limit: int) -> Iterator[None]:
    """Context in which at most ``limit`` parameters may be registered. Raises ``CorruptCheckpoint`` at the next one."""
    counter = itertools.count(1)

    def check(*_: Any) -> None:
        if next(counter) > limit:
            raise CorruptCheckpoint(f"it describes a model of more than {limit:,} tensors.")

    hook = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()


def build_method(node: Mapping[str, Any], modality: Modality, plugins: Sequence[str] = ()) -> Method:
    """Build the method that a model config describes, with the sizes of ``modality``. Raises ``UserError``."""
    return instantiate(node, Method, "model", modality.interface, plugins)  # type: ignore[type-abstract]


def build_on_base(header: CheckpointHeader, base: Method, plugins: Sequence[str] = ()) -> tuple[Modality, Method]:
    """Build the modality and the method that the checkpoint of an adapter describes, with the weights of its base.

    Raises:
        UserError: a class that is not allowed, or a description that does not fit the base.
        CorruptCheckpoint: a description that is damaged.
        Exception: any other error from building an invalid description.
    """
    modality = build_modality(header, plugins)
    with torch.device("meta"), SkipInit(), limit_parameters(MAX_PARAMETERS):
        _check_same_shapes(*build_method(header.model or {}, modality, plugins).matching_modules(base))
    with SkipInit():
        method = build_method(header.model or {}, modality, plugins)
    assign_weights(method, base)
    return modality, method


def assign_weights(method: Method, base: Method) -> None:
    """Replace the weights of ``method`` by those of ``base``: they share memory, and what is tied stays tied.

    Raises:
        UserError: a tensor has another shape; the message names it.
    """
    module, base_module = method.matching_modules(base)
    _check_same_shapes(module, base_module)
    for name, parameter in base_module.named_parameters(remove_duplicate=False):
        path, _, leaf = name.rpartition(".")
        module.get_submodule(path)._parameters[leaf] = parameter
    buffers = dict(module.named_buffers())
    for name, buffer in base_module.named_buffers():
        buffers[name].copy_(buffer)


def _check_same_shapes(method: torch.nn.Module, base: torch.nn.Module) -> None:
    """Raise ``UserError`` if the tensors of two modules have other names or shapes."""
    own, others = (dict(x.named_parameters(remove_duplicate=False)) | dict(x.named_buffers()) for x in (method, base))
    for name in {**own, **others}:
        shapes = [tuple(tensors[name].shape) if name in tensors else "nothing" for tensors in (others, own)]
        if shapes[0] != shapes[1]:
            raise UserError(f"its {short_text(name)} is {shapes[0]}, this model has {shapes[1]}.")


def load_weights(method: Method, state: Mapping[str, Tensor], weights: str, partial: bool = False) -> None:
    """Load a checkpoint's weights into ``method``. Raises ``RuntimeError`` if they do not fit.

    Args:
        method: the untrained method.
        state: weights that ``check_description`` has checked.
        weights: ``ema`` or ``raw``.
        partial: whether some may be missing.
    """
    method.load_state_dict(_strip_prefix(state, "method."), strict=not partial)
    if weights == "ema":
        method.ema_module.load_state_dict(_strip_prefix(state, "ema.module."), strict=not partial)


def _strip_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
