"""Training on pairs of answers, of which people prefer one: DPO, IPO, KTO and ORPO."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, PairBatch
from genai.methods.autoregressive import Autoregressive
from genai.methods.preference_losses import dpo_loss, ipo_loss, kto_loss, log_odds, orpo_loss

LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "dpo": dpo_loss,
    "ipo": ipo_loss,
    "kto": kto_loss,
    "orpo": orpo_loss,
}
MIN_LOSS_CHANGE, MIN_CHANGE, MIN_DIFFERENCE = 0.001, 0.01, 0.1
"""Distance of a loss from its value without training, and nats of changes of answers, from which training is seen."""


class Preference(Autoregressive):
    """A language model that is trained to prefer chosen answers to rejected ones; it samples as ``Autoregressive``.

    The loss is that of ``preference_losses`` plus ``sft`` times the mean negative log-probability of a token of the
    chosen answers, as in arXiv:2404.19733, equation 1. Without this term, DPO mostly makes the rejected answers less
    probable, and the chosen ones too.

    Args:
        network: an ``AutoregressiveNetwork`` of tokens.
        loss: function of ``preference_losses``.
        beta: strength of the tie to the reference; of ``orpo``: weight of its loss.
        sft: weight of the SFT term; 0: none.
        sampling: this model's own defaults for ``Options``.
    """

    batch_types = (PairBatch, Batch)
    progress_metrics = ("accuracy",)
    replaces = Autoregressive

    def __init__(
        self,
        network: nn.Module,
        loss: Literal["dpo", "ipo", "kto", "orpo"] = "dpo",
        beta: Annotated[float, Gt(0), Le(100)] = 0.1,
        sft: Annotated[float, Ge(0), Le(100)] = 1.0,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(network, sampling=sampling)
        self.kind, self.beta, self.sft = loss, beta, sft

    @property
    def needs_reference(self) -> bool:
        return self.kind != "orpo"

    def reference(self, batch: Batch) -> Tensor:
        """Return the log-probabilities (batch, 2) of the chosen and the rejected answers."""
        assert isinstance(batch, PairBatch)
        return self._log_probs(batch)[0]

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss of pairs and its parts; of other texts, that of ``Autoregressive``.

        Returns:
            ``loss``, and its parts ``preference_loss`` and ``sft_loss``; ``margin``, beta times the difference
            of both changes, which is the argument of the logistic function of ``dpo`` (``ipo`` and ``kto`` report it,
            too, though their losses do not contain it), and of ``orpo`` the log odds ratio; ``accuracy``, the fraction
            of pairs with a margin above 0, where 0 counts half; by how many nats the
            log-probabilities have changed, ``chosen_change`` and ``rejected_change`` (of ``orpo``: the
            log-probabilities themselves, ``chosen_log_prob`` and ``rejected_log_prob``); tokens of the answers,
            ``chosen_length`` and ``rejected_length``.
        """
        if not isinstance(batch, PairBatch):
            return super().loss(batch, network_name)
        log_probs, lengths = self._log_probs(batch)
        means = log_probs / lengths
        if self.needs_reference:
            assert batch.reference is not None
            log_probs = log_probs - batch.reference
            losses = LOSSES[self.kind](log_probs[:, 0], log_probs[:, 1], self.beta)
            margins = self.beta * (log_probs[:, 0] - log_probs[:, 1]).detach()
        else:
            losses = LOSSES[self.kind](means[:, 0], means[:, 1], self.beta)
            margins = log_odds(means.detach()) @ torch.tensor([1.0, -1.0], device=means.device)
        sft_loss = -means[:, 0].mean()
        suffix = "change" if self.needs_reference else "log_prob"
        numbers = {suffix: log_probs.detach().mean(0), "length": lengths.mean(0)}
        return {
            "loss": losses.mean() + self.sft * sft_loss,
            "preference_loss": losses.mean(),
            "sft_loss": sft_loss,
            "margin": margins.mean(),
            "accuracy": (margins.sign() / 2 + 0.5).mean(),
            **{f"{side}_{name}": x[i] for name, x in numbers.items() for i, side in enumerate(("chosen", "rejected"))},
        }

    def _log_probs(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of the answers, and their numbers of tokens, both (batch, 2)."""
        assert batch.valid is not None
        x, valid = batch.x.flatten(0, 1).long(), batch.valid.flatten(0, 1)  # (2 B, T), (2 B, T - 1)
        logits = self.ema_module(x[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1).float(), x[:, 1:].flatten(), reduction="none")
        sums = -(losses.view(valid.shape) * valid).sum(1)
        return sums.unflatten(0, (-1, 2)), valid.sum(1).unflatten(0, (-1, 2)).float()

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        """Explain a preference loss that stays where it began: 0.693 = ln 2 of DPO."""
        if "margin" not in losses or not self.needs_reference:
            return None
        has_no_effect = abs(losses["margin"]) < 2 * MIN_LOSS_CHANGE  # the slope of -log sigmoid at 0 is 1/2
        if self.kind == "dpo":
            has_no_effect = abs(losses["preference_loss"] - math.log(2)) < MIN_LOSS_CHANGE
        if not has_no_effect:
            return None
        chosen, rejected = losses["chosen_change"], losses["rejected_change"]
        where = f"preference_loss stays at {losses['preference_loss']:.3f}{' (ln 2)' * (self.kind == 'dpo')}"
        if max(abs(chosen), abs(rejected)) < MIN_CHANGE:
            return (
                f"{where}: the log-probabilities of the answers have not moved, so the weights have not. Is "
                "optimizer.lr= 0 or very small, is this still the warm-up, is ema= close to 1, or does "
                "adapter.targets= name layers that do little?"
            )
        if abs(chosen - rejected) > MIN_DIFFERENCE:
            return (
                f"{where}: the answers move apart ({chosen:+.2f} and {rejected:+.2f} nats), but beta={self.beta:g} "
                "makes little of it: give a larger method.beta="
            )
        return (
            f"{where}: chosen and rejected answers move alike ({chosen:+.2f} and {rejected:+.2f} nats). Do they differ "
            "within modality.block=, are they mixed up in some rows, or is the rate too small to tell them apart?"
        )
