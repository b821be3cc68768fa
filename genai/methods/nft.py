"""DiffusionNFT: a diffusion model learns from rewards of samples that it makes itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from genai.core.batch import Batch, Request
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.diversity import group_diversity
from genai.methods.noisy_batch import NoisyBatch
from genai.methods.policy import group_advantages
from genai.methods.policy_health import DiffusionHealth
from genai.methods.scaling import Scaling


class SampleRewards(Protocol):
    """Rewards of samples, which training gives to the method."""

    def __call__(self, prompts: Sequence[str], samples: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the reward of each sample, as stored, to its prompt, and its parts by name: all (samples,) float32."""
        ...


@dataclass(frozen=True)
class SampleGroups:
    """Samples of prompts and their rewards; those of a prompt follow each other.

    Attributes:
        x: (prompts * group, ...), scaled.
        prompts: one per sample.
        rewards: (prompts, group).
        metrics: means over the samples: ``reward``, its parts ``reward/NAME``, ``reward_std`` (the standard deviation
            in a group) and ``diversity`` (see ``group_diversity``).
    """

    x: Tensor
    prompts: list[str]
    rewards: Tensor
    metrics: dict[str, Tensor]


class DiffusionNFT(Diffusion):
    """Negative-aware fine-tuning of diffusion (arXiv:2509.16117) on policy: sample, reward, make one step.

    Several samples are made of each prompt, with any sampler. The denoiser is drawn to those with more reward than the
    others, and away from those with less. The paper's loss (equation 5) compares with the weights that sampled; where
    these are the current ones, its gradient is that of the denoising error of each sample times its advantage, but for
    a factor. All
    samples of a prompt are hidden by the same noise at the same time, so that their common error cancels.

    The loss of real data, with weight ``data_weight``, ties the model to what it has learned. It samples as
    ``Diffusion``.

    Args:
        network, prompt, scaling, objective, logit_mean, logit_std, floor, prompt_drop, sampling, refiner: see
            ``Diffusion``.
        group: samples of each prompt, which are compared with each other.
        steps: sampler steps in training and in validation.
        guidance: guidance scale of these samples.
        noise_levels: times at which each sample is denoised in a step.
        data_weight: weight of the loss of real data.
        val_samples: samples of each held-out prompt.

    Attributes:
        sample_rewards: set before training; without it the loss is that of ``Diffusion``.
    """

    replaces = Diffusion
    handles_overfit = True
    progress_metrics = ("reward", "reward_std")

    def __init__(
        self,
        network: nn.Module,
        prompt: nn.Module | None = None,
        scaling: Scaling | None = None,
        objective: Literal["x0", "velocity"] = "velocity",
        logit_mean: float = 2.0,
        logit_std: Annotated[float, Gt(0)] = 1.3,
        floor: Annotated[float, Gt(0), Le(1)] = 0.1,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        sampling: dict[str, Any] | None = None,
        refiner: nn.Module | None = None,
        group: Annotated[int, Ge(2), Le(1024)] = 8,
        steps: Annotated[int, Ge(1), Le(1000)] = 5,
        guidance: Annotated[float, Ge(0), Le(100)] = 1.0,
        noise_levels: Annotated[int, Ge(1), Le(100)] = 2,
        data_weight: Annotated[float, Ge(0), Le(1000)] = 0.02,
        val_samples: Annotated[int, Ge(2), Le(1024)] = 4,
    ) -> None:
        super().__init__(
            network, prompt, scaling, objective, logit_mean, logit_std, floor, prompt_drop, sampling, refiner=refiner
        )
        self.group, self.noise_levels, self.data_weight, self.val_samples = (
            group,
            noise_levels,
            data_weight,
            val_samples,
        )
        self.options = DiffusionOptions(steps=steps, guidance=guidance)
        self.sample_rewards: SampleRewards | None = None
        self.health = DiffusionHealth()

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss of new samples of the batch's prompts, plus that of its data.

        Returns:
            ``loss``; its parts ``policy_loss`` and ``data_loss``, without its weight; ``SampleGroups.metrics``;
            ``dead_groups``, the share of prompts whose samples all have the same reward.
        """
        losses = super().loss(batch, network_name)
        if self.sample_rewards is None:
            return losses
        with self.evaluation_mode():
            groups = self.sample_groups(batch, self.group)
        policy_loss, is_live = self._policy_loss(groups)
        return {
            "loss": policy_loss + self.data_weight * losses["loss"],
            "policy_loss": policy_loss,
            "data_loss": losses["loss"],
            **groups.metrics,
            "dead_groups": 1 - is_live.float().mean(),
        }

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return 1 - the mean reward of samples of each prompt as ``loss``, ``SampleGroups.metrics`` and ``data_loss``;
        without rewards, what ``Diffusion`` does."""
        losses = self.data_losses(batch)
        if self.sample_rewards is None:
            return losses
        metrics = self.sample_groups(batch, self.val_samples).metrics
        return {"loss": 1 - metrics["reward"], **metrics, "data_loss": losses["loss"]}

    def item_loss(self, batch: Batch) -> Tensor:
        """Return the loss of ``Diffusion``, as the reward does not tell which items the method remembers."""
        return self.data_losses(batch)["loss"]

    @torch.no_grad()
    def sample_groups(self, batch: Batch, count: int) -> SampleGroups:
        """Make ``count`` samples of each prompt, with seeds from torch's generator, and reward them."""
        assert self.sample_rewards is not None
        prompts = [prompt for prompt in batch.prompts or [""] * len(batch) for _ in range(count)]
        seeds = torch.randint(2**62, (len(prompts),)).tolist()
        with torch.autocast(self.device.type, enabled=False):
            samples = self.sample(Request(prompts, seeds, tuple(batch.x.shape[1:])), self.options)
        stored = torch.stack(samples)
        rewards, parts = self.sample_rewards(prompts, list(stored))
        x = self.scaling.scale(stored.to(self.device))
        groups, rewards = x.unflatten(0, (-1, count)), rewards.unflatten(0, (-1, count)).to(self.device)
        metrics = {"reward": rewards.mean(), **{f"reward/{name}": part.mean() for name, part in parts.items()}}
        metrics |= {
            "reward_std": rewards.std(1).mean(),
            "diversity": group_diversity(groups, self.scaling.scale(batch.x)),
        }
        return SampleGroups(x, prompts, rewards, {name: value.to(self.device) for name, value in metrics.items()})

    def _policy_loss(self, groups: SampleGroups) -> tuple[Tensor, Tensor]:
        """Return the mean of advantages times denoising errors, and which groups teach something (prompts,).

        The advantages are divided by their standard deviation in the batch.
        """
        advantages, is_live = group_advantages(groups.rewards)
        if is_live.any():  # any scale of rewards will do
            advantages = advantages / advantages[is_live].square().mean().sqrt()
        num_prompts, count = groups.rewards.shape
        live = is_live if is_live.any() else is_live.index_fill(0, is_live.new_zeros(1, dtype=torch.long), True)
        rows = live.repeat_interleave(count).nonzero()[:, 0].repeat(self.noise_levels)
        num_groups = len(rows) // count
        x, prompts = groups.x[rows], [groups.prompts[row] for row in rows.tolist()]
        time = self._logit_normal((num_groups,), x.device).repeat_interleave(count)
        noise = torch.randn(num_groups, *x.shape[1:], device=x.device).repeat_interleave(count, 0)
        noisy = NoisyBatch(x, noise, time, prompts, (), torch.ones_like(time), None, self.floor)
        errors = noisy.errors(self.denoise(noisy.x, time, prompts))
        total = (advantages.flatten()[rows] * errors).sum()
        return total / (num_prompts * count * self.noise_levels), is_live

    def step_warnings(self, metrics: Mapping[str, float]) -> list[str]:
        """Explain dead groups, and samples of a prompt that become equal."""
        return self.health.update(metrics)

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        """Explain a held-out reward that falls while that of training rises."""
        return self.health.check_held_out(losses["reward"]) if "reward" in losses else None
