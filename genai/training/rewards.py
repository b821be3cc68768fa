"""Rewards of a run: what ``rewards=`` names, for what the method samples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from genai.core.data import PackedDataset, Source, Split
from genai.core.device import DeviceConfig
from genai.core.errors import RunError, UserError
from genai.media.chat import Question
from genai.modalities.base import Modality
from genai.rewards.base import MAX_SECONDS, Rewards, parse_rewards
from genai.training.config import TrainSettings


@runtime_checkable
class PacksPrompts(Protocol):
    """A modality whose data have questions, which a method answers itself."""

    def pack_prompts(self, split: Split, cache: Path) -> PackedDataset:
        """Return the different questions. Raises ``UserError`` if the data have none."""
        ...


@runtime_checkable
class HasAnswerRewards(Protocol):
    """A method that learns from rewards of its own answers.

    Attributes:
        answer_rewards: a ``methods.grpo.AnswerRewards``, set before training.
    """

    answer_rewards: Any


@runtime_checkable
class HasSampleRewards(Protocol):
    """A method that learns from rewards of its own samples.

    Attributes:
        sample_rewards: a ``methods.nft.SampleRewards``, set before training.
    """

    sample_rewards: Any


class TokenRewards:
    """Rewards of answers in tokens: an ``AnswerRewards``.

    Args:
        rewards: of texts.
        modality: decodes the answers.
    """

    def __init__(self, rewards: Rewards, modality: Modality) -> None:
        self.rewards, self.modality = rewards, modality
        request = modality.request([""], [0], None, modality.Options())
        assert request.num_classes is not None
        self.end_tokens, self.num_classes = request.end_tokens, request.num_classes

    def __call__(self, prompts: Sequence[str], answers: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return rewards and their parts, see ``AnswerRewards``.

        Raises:
            RunError, UserError: a reward fails; the same in all processes of a run.
        """
        questions = [prompt for prompt in prompts if isinstance(prompt, Question)]
        return score_on_all_ranks(self.rewards, questions, [str(self.modality.decode(answer)) for answer in answers])


class MediaRewards:
    """Rewards of media as they are stored: a ``SampleRewards``.

    Args:
        rewards: of media.
        modality: decodes the samples.
    """

    def __init__(self, rewards: Rewards, modality: Modality) -> None:
        self.rewards, self.modality = rewards, modality

    def __call__(self, prompts: Sequence[str], samples: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return rewards and their parts, see ``SampleRewards``.

        Raises:
            RunError, UserError: a reward fails; the same in all processes of a run.
        """
        return score_on_all_ranks(self.rewards, prompts, [self.modality.decode(sample) for sample in samples])


def score_on_all_ranks(
    rewards: Rewards, prompts: Sequence[str], samples: Sequence[Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the rewards of samples and their parts, (samples,) each.

    Raises:
        RunError, UserError: a reward fails in any process; the same in all processes of a run.
    """
    error: RunError | UserError | None = None
    try:
        totals, parts = rewards.score(prompts, samples)
    except (RunError, UserError) as failure:
        error = failure
    raise_on_all_ranks(error)
    return torch.tensor(totals), {name: torch.tensor(values) for name, values in parts.items()}


def raise_on_all_ranks(error: RunError | UserError | None) -> None:
    """Raise an error of any process in all of them, so that none waits for another; ``None``: there is none here."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        if error:
            raise error
        return
    messages: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(messages, error and str(error))
    if message := next((each for each in messages if each), None):
        raise RunError(message) from error


def create_rewards(settings: TrainSettings, source: Source) -> Rewards:
    """Return the rewards of ``rewards=``, or the default ones of the source. Raises ``UserError``."""
    value: Sequence[str] | Mapping[str, Any] = source.rewards if settings.rewards is None else settings.rewards
    return Rewards(parse_rewards(value, source, settings.plugins), MAX_SECONDS)


def pack_function(modality: Modality) -> Callable[[Split, Path], PackedDataset]:
    """Return the function that packs a split as prompts. Raises ``UserError`` if the modality has none."""
    if not isinstance(modality, PacksPrompts):
        raise UserError(
            "method=grpo trains language models: it needs a model of modality=text. method=nft is for diffusion models."
        )
    return modality.pack_prompts


def attach_rewards(
    method: Any,
    modality: Modality,
    source: Source,
    settings: TrainSettings,
    hardware: DeviceConfig,
    prompts: Sequence[str] = (),
) -> None:
    """Give a method that trains with rewards its rewards. Raises ``UserError`` if they are wrong or of no use.

    Args:
        method: of the run; ``None``: one that is not chosen by ``method=``.
        modality, source, settings, hardware: of the run.
        prompts: all of them, in training and held out.
    """
    if not isinstance(method, HasAnswerRewards | HasSampleRewards):
        if settings.rewards is not None:
            raise UserError("rewards= is for method=grpo and method=nft: experiment=grpo init_from=RUN.")
        return
    name = "grpo" if isinstance(method, HasAnswerRewards) else "nft"
    if hardware.strategy == "fsdp":
        raise UserError(f"method={name} samples while it trains, for which it needs whole weights: use trainer=ddp.")
    if settings.accumulate > 1:
        reason = {"grpo": "divides its loss by the tokens", "nft": "compares the rewards"}[name]
        raise UserError(
            f"accumulate={settings.accumulate}: method={name} {reason} of a whole batch, so it takes it in one part. "
            "For less memory choose a smaller batch= or method.group=."
        )
    rewards = create_rewards(settings, source)
    rewards.check(prompts)
    if isinstance(method, HasAnswerRewards):
        method.answer_rewards = TokenRewards(rewards, modality)
    else:
        method.sample_rewards = MediaRewards(rewards, modality)
