"""A reward model: a language model with a head that scores an answer, trained on pairs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from genai.core.batch import Batch, Chunk, PairBatch, Request
from genai.core.errors import UserError
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.methods.preference_losses import bradley_terry_loss

MIN_LOSS_CHANGE = 0.001
"""Distance of the loss from ln 2 from which training is seen."""


@dataclass(frozen=True)
class NoOptions:
    """No options: a reward model does not sample."""


class RewardNetwork(nn.Module):
    """A network of tokens with a linear head, which begins as zero.

    Args:
        network: has ``hidden``, as ``networks.gpt.GPT``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not hasattr(network, "hidden"):
            raise ValueError(f"{type(network).__name__} has no hidden states for a reward head")
        self.network = network
        self.head = nn.Linear(network.embedding.embedding_dim, 1, bias=False)  # type: ignore[union-attr, arg-type]
        self.head.weight = nn.Parameter(torch.zeros_like(self.head.weight))  # also where nn.init does nothing

    def forward(self, x: Tensor, last: Tensor) -> Tensor:
        """Return the scores (batch,) of texts.

        Args:
            x: tokens (batch, time), with padding on the right.
            last: (batch,), the place of the last token that counts.
        """
        hidden: Tensor = self.network.hidden(x)  # type: ignore[operator]
        scores: Tensor = self.head(hidden[torch.arange(len(x), device=x.device), last])[:, 0]
        return scores


class Reward(Method):
    """A Bradley-Terry reward model (arXiv:2203.02155, section 3.5). It scores answers and does not sample.

    Args:
        network: a network of tokens.
    """

    Options = NoOptions
    batch_types = (PairBatch,)
    progress_metrics = ("accuracy",)
    replaces = Autoregressive
    can_sample = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.ema_module, self.sampling = RewardNetwork(network), {}

    @property
    def has_unused_parameters(self) -> bool:
        return True  # the readout

    def matching_modules(self, base: Method) -> tuple[nn.Module, nn.Module]:
        if isinstance(base, Reward):
            return self, base
        return self.ema_module.network, base.ema_module  # type: ignore[return-value]

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss of pairs and its parts.

        Returns:
            ``loss``; ``margin``, the difference of the scores; ``accuracy``, the fraction of pairs whose chosen answer
            has the higher score, where equal scores count half; the scores, ``chosen_score`` and ``rejected_score``.
        """
        assert isinstance(batch, PairBatch) and batch.valid is not None
        valid = batch.valid.flatten(0, 1)
        last = (valid * torch.arange(1, valid.shape[1] + 1, device=valid.device)).amax(1)
        scores = self.ema_module(batch.x.flatten(0, 1).long(), last).float().unflatten(0, (-1, 2))
        chosen, rejected = scores.unbind(1)
        margins = (chosen - rejected).detach()
        return {
            "loss": bradley_terry_loss(chosen, rejected).mean(),
            "margin": margins.mean(),
            "accuracy": (margins.sign() / 2 + 0.5).mean(),
            "chosen_score": chosen.detach().mean(),
            "rejected_score": rejected.detach().mean(),
        }

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        """Explain a loss that stays at 0.693 = ln 2."""
        if abs(losses["loss"] - math.log(2)) >= MIN_LOSS_CHANGE:
            return None
        return (
            f"loss stays at {losses['loss']:.3f} (ln 2): chosen and rejected answers get the same score. Is "
            "optimizer.lr= 0 or very small, is this still the warm-up, or do the answers not differ at all?"
        )

    def stream(self, request: Request, options: Any) -> Iterator[Chunk]:
        """Raise ``UserError``."""
        return self._raise_error()

    def sample(self, request: Request, options: Any) -> list[Tensor]:
        """Raise ``UserError``."""
        return self._raise_error()

    def _raise_error(self) -> NoReturn:
        raise UserError("this is a reward model: it scores answers and writes none. Give the model that it is for.")
