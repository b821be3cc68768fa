"""Stubs for tests of metrics: a model with prepared samples and a constant loss, and a source of sounds."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genai.core.batch import Batch
from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.sound import Sound


class ConstantLoss(nn.Module):
    """A method with a constant loss."""

    def __init__(self, loss: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(loss))

    @property
    def device(self) -> torch.device:
        return self.value.device

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self}

    def loss(self, batch: Batch, network_name: str) -> dict[str, Tensor]:
        return {"loss": self.value}

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch, next(iter(self.networks())))


class StubModel:
    """A model whose samples are ``answer(prompts)``; ``num_prompts`` counts the prompts."""

    def __init__(
        self, modality: Any, answer: Callable[[list[str]], list[Any]] | None = None, loss: float = 0.0
    ) -> None:
        self.modality, self.answer, self.method, self.num_prompts = modality, answer, ConstantLoss(loss), 0
        self.parts: dict[str, Any] = {"ckpt": self}

    def sample(self, prompts: Sequence[str], **options: Any) -> list[Any]:
        assert self.answer is not None
        self.num_prompts += len(prompts)
        return self.answer(list(prompts))


class SoundSource(Source):
    """Clips, each (samples at 8 kHz, prompt); every fourth is held out."""

    media = Sound

    def __init__(self, clips: Sequence[tuple[NDArray[Any], str]]) -> None:
        self.clips = clips

    @cached_property
    def train(self) -> Split:
        return self._split("train", [clip for number, clip in enumerate(self.clips) if number % 4])

    @cached_property
    def val(self) -> Split:
        return self._split("val", list(self.clips[::4]))

    def _split(self, name: str, clips: list[tuple[NDArray[Any], str]]) -> Split:
        examples = [Example(Sound(samples.astype(np.float32), 8000), prompt) for samples, prompt in clips]
        digest = sha256(b"".join(example.media.samples.tobytes() for example in examples)).hexdigest()
        prompts = [prompt for _, prompt in clips]
        return Split(name, len(examples), examples.__getitem__, cache_key(digest, prompts), prompts)
