"""Writing a module as a graph of ONNX, and comparing it with the module."""

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genai.core.errors import RunError, UserError, short_text

PACKAGES = ("onnx", "onnxruntime")
OPSET = 17
"""Version of ONNX's operators; onnxruntime reads it since 1.12, of 2022."""
MAX_BYTES = 2_000_000_000
"""Largest weights of one file (protobuf, 2 GiB)."""
MAX_DIFFERENCE = 1e-3
"""Largest difference of outputs near 1; measured ones are below 1e-5. The numbers 0 to 255 may differ by 1."""


def check_packages(name: str) -> None:
    """Raise ``UserError`` if a package is missing that ``format=NAME`` needs."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UserError(f"format={name} needs {' and '.join(PACKAGES)}: pip install 'genai[onnx]'.") from error


def write_graph(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    free: Mapping[str, Sequence[str]],
) -> None:
    """Write a module as a graph, and compare both.

    Args:
        module: is called with the inputs in their order.
        inputs: an example of each, by name.
        outputs: their names.
        path: the file.
        free: names of the leading dimensions of inputs and outputs that may have any size.

    Raises:
        UserError: ONNX has no operator for a part of the module, or it is too large.
        RunError: the graph computes something else.
    """
    size = sum(x.nbytes for x in (*module.parameters(), *module.buffers()))
    if size > MAX_BYTES:
        raise UserError(
            f"{path.name} would have {size:,} bytes, and a graph has {MAX_BYTES:,} at most. Use format=genai."
        )
    module.eval()
    with torch.no_grad(), own_operators(), quiet():
        try:
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: dict(enumerate(free[name])) for name in (*inputs, *outputs)},
            )
        except torch.onnx.errors.UnsupportedOperatorError as error:
            message = short_text(str(error).splitlines()[0])
            raise UserError(f"a layer of this model cannot be exported: {message} Use format=genai.") from error
        expected = module(*inputs.values())
    compare(path, inputs, expected if isinstance(expected, tuple) else (expected,))


def compare(path: Path, inputs: dict[str, Tensor], expected: Sequence[Tensor]) -> None:
    """Raise ``RunError`` if onnxruntime computes something else than ``expected`` from ``inputs``."""
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    for result, x in zip(results, expected, strict=True):
        limit = 1 if x.dtype == torch.uint8 else MAX_DIFFERENCE * max(1.0, float(x.float().abs().max()))
        difference = float((torch.from_numpy(result).float() - x.float()).abs().max())
        if not difference <= limit:
            raise RunError(f"{path.name} computes other numbers than the model: they differ by {difference:.2g}.")


@contextmanager
def own_operators() -> Iterator[None]:
    """Teach torch's exporter two operators that it does not know."""
    operators: dict[str, Callable[..., Any]] = {"aten::rms_norm": _rms_norm, "aten::mT": _transpose}
    for name, function in operators.items():
        torch.onnx.register_custom_op_symbolic(name, function, OPSET)
    try:
        yield
    finally:
        for name in operators:
            torch.onnx.unregister_custom_op_symbolic(name, OPSET)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what torch says about tracing: batch and words are free, all else is fixed, which is meant."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _rms_norm(graph: Any, x: Any, shape: Any, weight: Any, eps: Any) -> Any:
    """Return RMSNorm of the last dimension, without weights (``networks.layers.rms_norm``)."""
    value = eps.node().t("value").item() if eps.node().hasAttribute("value") else torch.finfo(torch.float32).eps
    square = graph.op("ReduceMean", graph.op("Mul", x, x), axes_i=[-1], keepdims_i=1)
    total = graph.op("Add", square, graph.op("Constant", value_t=torch.tensor(value)))
    return graph.op("Div", x, graph.op("Sqrt", total))


def _transpose(graph: Any, x: Any) -> Any:
    """Return ``x`` with its last two dimensions swapped."""
    dims = x.type().dim()
    return graph.op("Transpose", x, perm_i=[*range(dims - 2), dims - 1, dims - 2])
