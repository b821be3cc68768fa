"""Models that nobody trained: they answer as a test wants them to; and sounds that a test makes."""

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


class Losing(nn.Module):
    """A method whose loss is always the same number."""

    def __init__(self, loss: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(loss))

    @property
    def device(self) -> torch.device:
        return self.value.device

    def players(self) -> dict[str, nn.Module]:
        return {"model": self}

    def loss(self, batch: Batch, player: str) -> dict[str, Tensor]:
        return {"loss": self.value}

    def held_out(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch, next(iter(self.players())))


class Model:
    """Samples are what ``answer`` makes of a list of prompts; ``asked`` counts them."""

    def __init__(
        self, modality: Any, answer: Callable[[list[str]], list[Any]] | None = None, loss: float = 0.0
    ) -> None:
        self.modality, self.answer, self.method, self.asked = modality, answer, Losing(loss), 0

    def sample(self, prompts: Sequence[str], **options: Any) -> list[Any]:
        assert self.answer is not None
        self.asked += len(prompts)
        return self.answer(list(prompts))


class Sounds(Source):
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
