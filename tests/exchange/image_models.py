"""Small image models with random weights, for tests of exporting."""

from typing import Any

import numpy as np
import torch

from genai.cli.compose import compose
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.inference.model import Model
from genai.modalities.base import Modality
from genai.trust.label import Label

LABEL = Label("Image Diffusion", "1.0", "abc")
PROMPT = "a small red circle"
SIZES = {
    "pixels": ("modality.size=16",),
    "gan": (
        "model=gan",
        "modality.size=16",
        "model.generator.width=8",
        "model.generator.blocks=1",
        "model.prompt.width=16",
    ),
    "frames": ("model=video_diffusion", "modality.size=16", "model.network.detail_width=8"),
    "words": (
        "modality.size=32",
        "codec=pca",
        "model.network.width=16",
        "model.network.word_width=64",
        "model.network.word_layout=1",
        "model.prompt.neighbors=1",
    ),
    "learned": ("modality.size=16", "modality.codec={latents: 4, width: 8, blocks: 1}"),
    "gray": ("modality.size=[8,16]", "modality.channels=1", "model.prompt=null", "model.network.context=0"),
}
"""Kinds of models: of pixels; a GAN; of the method for clips, with a head for details; of coefficients, with attention
to words; of an autoencoder's latents; gray, not square, without prompts."""


def words_of(kind: str) -> list[str]:
    """Return the words of a command line that describe a model."""
    return ["modality=image", *["model.network.width=16"] * (kind != "gan"), *SIZES[kind]]


def random_model(kind: str) -> Model:
    """Return a model whose layers all do something, also those that start at zero."""
    config = compose("train", words_of(kind)).values
    modality = instantiate(config["modality"], Modality, "modality")
    torch.manual_seed(0)
    method = build_method(config["model"], modality)
    for parameter in method.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return Model(modality, method.eval())


def pixels(model: Model, prompt: str = PROMPT, n: int = 1, seed: int = 3, **options: Any) -> Any:
    """Return samples (items, height, width, channels) as numbers that can be subtracted."""
    pictures = [np.asarray(picture.image) for picture in model.sample(prompt, n=n, seed=seed, **options)]
    return np.stack(pictures).astype(int).reshape(n, *pictures[0].shape[:2], -1)
