"""GRPO: a language model learns from rewards of answers that it samples itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from genai.core.batch import Batch, PromptBatch, Request
from genai.methods.autoregressive import Autoregressive
from genai.methods.categorical import AutoregressiveOptions
from genai.methods.policy import answer_mask, group_advantages, policy_loss, token_entropy
from genai.methods.policy_health import PolicyHealth


class AnswerRewards(Protocol):
    """Rewards of answers, which training gives to the method.

    Attributes:
        end_tokens: tokens that end an answer.
        num_classes: only so many tokens are sampled.
    """

    end_tokens: tuple[int, ...]
    num_classes: int

    def __call__(self, prompts: Sequence[str], answers: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the reward of each answer (tokens,) to its prompt, and its parts by name, all (answers,) float32."""
        ...


@dataclass(frozen=True)
class RollOut:
    """Sampled answers and their rewards.

    Attributes:
        x: (answers, time), prompts with answers, padded on the right; the answers to a prompt follow each other.
        mask: (answers, time - 1) bool, True at the targets ``x[:, 1:]`` that belong to answers.
        rewards: (answers,).
        metrics: means over the answers: ``reward``, its parts ``reward/NAME``, ``truncated`` (the share of answers
            that did not end) and ``answer_length`` in tokens.
    """

    x: Tensor
    mask: Tensor
    rewards: Tensor
    metrics: dict[str, Tensor]


class GRPO(Autoregressive):
    """Group-relative policy optimization (arXiv:2402.03300) on policy: sample answers, reward them, make one step.

    Several answers are sampled to each prompt. Those that have more reward than the others become more probable. An
    answer that is cut at ``length`` has at most the reward 0, as a sum; its parts are reported as they are. It samples
    as ``Autoregressive``, and has its loss for other batches than prompts.

    Args:
        network: an ``AutoregressiveNetwork`` of tokens.
        group: answers to each prompt.
        length: maximum number of tokens of an answer.
        temperature: of sampling in training and in validation.
        val_samples: answers to each held-out prompt.
        sampling: this model's own defaults for ``Options``.

    Attributes:
        answer_rewards: set before training; a model that only samples has none.
    """

    batch_types = (PromptBatch, Batch)
    replaces = Autoregressive
    handles_overfit = True
    skips_zero_gradients = True
    progress_metrics = ("reward",)

    def __init__(
        self,
        network: nn.Module,
        group: Annotated[int, Ge(2), Le(1024)] = 16,
        length: Annotated[int, Ge(1), Le(100_000)] = 16,
        temperature: Annotated[float, Gt(0), Le(10)] = 1.0,
        val_samples: Annotated[int, Ge(1), Le(1024)] = 4,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(network, sampling=sampling)
        self.group, self.length, self.temperature, self.val_samples = group, length, temperature, val_samples
        self.answer_rewards: AnswerRewards | None = None
        self.health = PolicyHealth(length)

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the loss of new answers to a batch of prompts; the loss of ``Autoregressive`` of other batches.

        Returns:
            ``loss``; ``RollOut.metrics``; ``dead_groups``, the share of prompts whose answers all have the same reward;
            ``entropy`` in nats per token, as a mean over the prompts.
        """
        if not isinstance(batch, PromptBatch):
            return super().loss(batch, network_name)
        with self.evaluation_mode():
            roll_out = self.roll_out(batch, self.group)
        advantages, is_live = group_advantages(roll_out.rewards.unflatten(0, (-1, self.group)))
        is_used = is_live.repeat_interleave(self.group)
        dead = torch.arange(len(batch), device=is_live.device)[~is_live] * self.group  # their first answers
        with torch.no_grad():
            entropies = [self._answer_log_probs(roll_out, dead)[1]]
        if not is_live.any():
            is_used[0] = True  # its advantage is 0: all parameters get a gradient, as other processes expect
        rows = is_used.nonzero()[:, 0]
        log_probs, entropy = self._answer_log_probs(roll_out, rows)
        loss = policy_loss(log_probs, advantages.flatten()[rows], roll_out.mask[rows])
        if is_live.any():
            entropies.append(entropy.unflatten(0, (-1, self.group)).mean(1))
        metrics = {"dead_groups": 1 - is_live.float().mean(), "entropy": torch.cat(entropies).mean()}
        return {"loss": loss, **roll_out.metrics, **metrics}

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return 1 - the mean reward of ``val_samples`` answers to each prompt as ``loss``, and ``RollOut.metrics``."""
        if not isinstance(batch, PromptBatch):
            return super().validation_loss(batch)
        metrics = self.roll_out(batch, self.val_samples).metrics
        return {"loss": 1 - metrics["reward"], **metrics}

    @torch.no_grad()
    def roll_out(self, batch: PromptBatch, count: int) -> RollOut:
        """Sample ``count`` answers to each prompt, with seeds from torch's generator, and reward them."""
        assert self.answer_rewards is not None and batch.valid is not None
        lengths = batch.valid.sum(1).tolist()
        prompts = [row[:length] for row, length in zip(batch.x.cpu(), lengths, strict=True) for _ in range(count)]
        request = Request(
            [""] * len(prompts),
            torch.randint(2**62, (len(prompts),)).tolist(),
            (self.length,),
            init=prompts,
            end_tokens=self.answer_rewards.end_tokens,
            num_classes=self.answer_rewards.num_classes,
        )
        with torch.autocast(self.device.type, enabled=False):  # native loops compute in float32
            samples = self.sample(request, AutoregressiveOptions(temperature=self.temperature))
        answers = torch.stack(
            [sample[len(prompt) :] for sample, prompt in zip(samples, prompts, strict=True)]
        )  # (answers, time)
        is_answer, has_ended = answer_mask(answers, torch.tensor(request.end_tokens))
        texts = [answer[mask] for answer, mask in zip(answers, is_answer, strict=True)]
        questions = [prompt for prompt in batch.prompts for _ in range(count)]
        rewards, parts = self.answer_rewards(questions, texts)
        rewards = torch.where(has_ended, rewards, rewards.clamp(max=0))
        parts = {"reward": rewards} | {f"reward/{name}": part for name, part in parts.items()}
        metrics = {**parts, "truncated": 1 - has_ended.float(), "answer_length": is_answer.sum(1).float()}
        masks = [nn.functional.pad(mask, (len(prompt) - 1, 0)) for prompt, mask in zip(prompts, is_answer, strict=True)]
        return RollOut(
            pad_sequence(samples, batch_first=True).to(self.device),
            pad_sequence(masks, batch_first=True).to(self.device),
            rewards.to(self.device),
            {name: value.mean().to(self.device) for name, value in metrics.items()},
        )

    def step_warnings(self, metrics: Mapping[str, float]) -> list[str]:
        """Explain dead groups, a low entropy, and answers that do not end."""
        return self.health.update(metrics)

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        """Explain a held-out reward that falls while that of training rises."""
        return self.health.check_held_out(losses["reward"]) if "reward" in losses else super().health_warning(losses)

    def _answer_log_probs(self, roll_out: RollOut, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of tokens (rows, time - 1), 0 outside of answers, and the mean entropy (rows,).

        They are those of the distribution that was sampled from, but for dropout and autocast: answers are sampled
        without either, and this pass has those of training.
        """
        x, mask = roll_out.x[rows], roll_out.mask[rows]
        size = int(mask.any(0).nonzero().max()) + 1 if len(rows) else 1
        x, short_mask = x[:, : size + 1].long(), mask[:, :size]
        logits = self._logits_at(x[:, :-1], short_mask)[:, : self.num_sampled]
        distributions = (logits.float() / self.temperature).log_softmax(-1)  # (tokens, classes)
        tokens = distributions.gather(1, x[:, 1:][short_mask][:, None])[:, 0]
        log_probs = distributions.new_zeros(mask.shape).masked_scatter(
            nn.functional.pad(short_mask, (0, mask.shape[1] - size)), tokens
        )
        entropy = distributions.new_zeros(short_mask.shape).masked_scatter(
            short_mask, token_entropy(distributions.detach())
        )
        return log_probs, entropy.sum(1) / short_mask.sum(1).clamp(min=1)

    @property
    def num_sampled(self) -> int:
        """Number of tokens that are sampled."""
        assert self.answer_rewards is not None
        return self.answer_rewards.num_classes

    def _logits_at(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the logits (n, classes) at the places of ``x`` (batch, time) where ``mask`` is True."""
        if "at" in signature(type(self.ema_module).forward).parameters:  # the readout of a large vocabulary is slow
            logits: Tensor = self.ema_module(x, at=mask)
            return logits
        all_logits: Tensor = self.ema_module(x)
        return all_logits[mask]
