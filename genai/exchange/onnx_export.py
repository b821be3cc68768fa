"""An image model as graphs of ONNX, with a script that samples without torch.

text_encoder.onnx   ids of words -> prompt vectors; not for a model without prompts
denoiser.onnx       x_t, time, prompt vectors -> predicted data; of a GAN generator.onnx: latents -> images
decoder.onnx        scaled data -> pixels
config.json         sizes, rules for words, defaults of options, label
sample.py           the script
"""

import json
import shutil
from dataclasses import fields
from math import exp
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.core.files import write_file
from genai.exchange import onnx_sample
from genai.exchange.image_graphs import (
    DecoderGraph,
    DenoiserGraph,
    GeneratorGraph,
    ImageModel,
    TextEncoderGraph,
    find_image_model,
)
from genai.exchange.onnx_graph import check_packages, write_graph
from genai.methods.adversarial import Adversarial
from genai.methods.base import Method
from genai.methods.diffusion import Diffusion
from genai.modalities.base import Modality
from genai.trust.label import Label
from genai.trust.xmp import write_xmp

CONFIG, SCRIPT = "config.json", "sample.py"
FORMAT = 1
LEFT_OUT = ("strength",)
"""Options of ``DiffusionOptions`` that the script does not have: it starts from noise alone."""
EXAMPLE_PROMPTS = ["a word", "", "two words, and a mark"]
"""Prompts that a graph is traced with: neither one word nor one prompt, which torch would take for constants."""
MIN_NOISE = 16
"""Smallest number of values of which ``onnx_sample.normal`` equals ``torch.randn``."""


def export_onnx(modality: Modality, method: Method, folder: Path, label: Label, prompts: list[str], card: str) -> str:
    """Write the folder of a model.

    Args:
        modality, method: of an image model.
        folder: an empty folder.
        label: what pictures say of the model.
        prompts: examples of what it knows.
        card: content of ``README.md``.

    Returns:
        What was written, for people.

    Raises:
        UserError: it is no such model, a package is missing, or ONNX lacks an operator.
        RunError: a graph computes something else than the model.
    """
    model = find_image_model(modality, method, "onnx")
    check_packages("onnx")
    config = write_graphs(model, folder, label, prompts)
    write_file(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    shutil.copyfile(onnx_sample.__file__, folder / SCRIPT)
    write_file(folder / "README.md", card)
    return f"{config['name']} as ONNX"


def write_graphs(model: ImageModel, folder: Path, label: Label, prompts: list[str]) -> dict[str, Any]:
    """Write the graphs of a model, and return its config. Raises ``UserError``, ``RunError``."""
    if len(torch.empty(model.input_shape).flatten()) < MIN_NOISE:
        raise UserError(f"this model makes pictures from fewer than {MIN_NOISE} random numbers, which is not exported.")
    embedding = _write_text_encoder(model, folder)
    x = torch.randn(len(EXAMPLE_PROMPTS), *model.input_shape, generator=torch.Generator().manual_seed(0))
    data = _write_network(model, x, embedding, folder)
    write_graph(
        DecoderGraph(model.method),
        {"x": data},
        ["pixels"],
        folder / "decoder.onnx",
        {"x": ["batch"], "pixels": ["batch"]},
    )
    return describe(model, label, prompts)


def _write_text_encoder(model: ImageModel, folder: Path) -> dict[str, Tensor]:
    """Write the graph of the prompt encoder, if there is one, and return its outputs for ``EXAMPLE_PROMPTS``."""
    if model.prompt is None:
        return {}
    graph = TextEncoderGraph(model.prompt, model.has_word_attention)
    names = ["pooled", "words", "mask"][: 3 if model.has_word_attention else 1]
    ids = model.prompt.tokenize(EXAMPLE_PROMPTS).int()
    free = {"ids": ["batch", "words"], "pooled": ["batch"], "words": ["batch", "words"], "mask": ["batch", "words"]}
    write_graph(graph, {"ids": ids}, names, folder / "text_encoder.onnx", free)
    with torch.no_grad():
        return dict(zip(names, graph(ids), strict=True))


def _write_network(model: ImageModel, x: Tensor, embedding: dict[str, Tensor], folder: Path) -> Tensor:
    """Write the graph of the network, and return its output."""
    method = model.method
    free = {
        **{name: ["batch"] for name in ("x", "time", "pooled", "data")},
        **{name: ["batch", "words"] for name in ("words", "mask")},
    }
    if isinstance(method, Adversarial):
        graph: torch.nn.Module = GeneratorGraph(method)
        inputs = {"x": x, **embedding}
        write_graph(graph, inputs, ["data"], folder / "generator.onnx", free)
    else:
        graph = DenoiserGraph(method)
        inputs = {"x": x, "time": torch.linspace(0.2, 1, len(x)), **embedding}
        write_graph(graph, inputs, ["data"], folder / "denoiser.onnx", free)
    with torch.no_grad():
        data: Tensor = graph(*inputs.values())
    return data


def describe(model: ImageModel, label: Label, prompts: list[str]) -> dict[str, Any]:
    """Return what the script needs to know besides the graphs, as plain values."""
    method, encoder = model.method, model.prompt
    options = method.Options(**method.sampling)
    return {
        "format": FORMAT,
        "name": label.model,
        "method": "diffusion" if isinstance(method, Diffusion) else "gan",
        "shape": list(model.image.shape),
        "input_shape": list(model.input_shape),
        "codec": model.image.codec,
        "shift": exp(method.logit_mean) if isinstance(method, Diffusion) else None,
        "prompt": encoder
        and {"rows": encoder.rows, "max_words": encoder.max_words, "segmentation": encoder.segmentation},
        "word_attention": model.has_word_attention,
        "options": {each.name: getattr(options, each.name) for each in fields(options) if each.name not in LEFT_OUT},
        "examples": prompts,
        "xmp": write_xmp(label.fields).decode(),
    }
