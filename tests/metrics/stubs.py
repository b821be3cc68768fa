"""Models that nobody trained: they answer as a test wants them to."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genai.batch import Batch


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
