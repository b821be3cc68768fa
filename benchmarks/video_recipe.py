"""Parts of the recipe of the video model that ``video_parts.py`` changes: those in which an earlier study differs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.methods import frame_diffusion
from genai.methods.noisy_batch import NoisyBatch
from genai.networks.layers import zero_module
from genai.networks.temporal import TemporalAttention
from genai.networks.unet import ResBlock
from genai.toy.world.motion import Motion, parse_motion
from genai.training import optimizers

Change = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Part:
    """A change of the recipe.

    Attributes:
        text: what it is, for the table.
        words: overrides of the config.
        change: of the network, before training.
        patches: (object, attribute, value), replaced while it is built and trained.
        batches: fraction of the run -> fractions of single frames and of sparse clips.
        caption: a prompt -> another one.
        still_gradients: parameters that a batch does not use get gradients of zero, so that Muon's momentum moves them.
    """

    text: str
    words: tuple[str, ...] = ()
    change: Change | None = None
    patches: tuple[tuple[Any, str, Any], ...] = ()
    batches: Callable[[float], tuple[float, float]] | None = None
    caption: Callable[[str, np.random.Generator], str] | None = None
    still_gradients: bool = False

    def __add__(self, other: "Part") -> "Part":
        def change(network: nn.Module) -> None:
            for each in (self.change, other.change):
                if each:
                    each(network)

        return Part(
            f"{self.text}; {other.text}",
            (*self.words, *other.words),
            change,
            (*self.patches, *other.patches),
            other.batches or self.batches,
            other.caption or self.caption,
            self.still_gradients or other.still_gradients,
        )


class LogNoiseFeatures(nn.Module):
    """Random Fourier features of the logarithm of noise to data, in place of those of the time."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("frequencies", torch.randn(width // 2, generator=generator))

    def forward(self, time: Tensor) -> Tensor:
        """Map (batch,) to (batch, width)."""
        angles = torch.logit(time.float(), 1e-4)[:, None] / 4 * self.frequencies * 2 * math.pi
        return torch.cat([angles.cos(), angles.sin()], -1)


class MiddleBlocks(nn.Module):
    """The middle block, followed by transformer blocks over all cells of all frames."""

    def __init__(self, middle: nn.Module, channels: int, condition: int, count: int = 2) -> None:
        super().__init__()
        self.middle = middle
        self.attention = nn.ModuleList(TemporalAttention(channels, condition, joint=True) for _ in range(count))
        self.scale_shift = nn.ModuleList(zero_module(nn.Linear(condition, 2 * channels)) for _ in range(count))
        self.up = nn.ModuleList(nn.Linear(channels, 3 * channels) for _ in range(count))
        self.down = nn.ModuleList(zero_module(nn.Linear(3 * channels, channels)) for _ in range(count))

    def forward(self, x: Tensor, condition: Tensor, seconds: Tensor, words: Any = None) -> Tensor:
        """Map (batch * frames, channels, height, width) to the same shape."""
        x = self.middle(x, condition, seconds, words)
        for attention, scale_shift, up, down in zip(self.attention, self.scale_shift, self.up, self.down, strict=True):
            x = attention(x, condition, seconds)
            scale, shift = scale_shift(condition)[:, None, None].chunk(2, -1)
            h = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)) * (1 + scale) + shift
            x = x + down(F.gelu(up(h), approximate="tanh")).permute(0, 3, 1, 2)
        return x


def add_transformer(network: Any) -> None:
    network.middle = MiddleBlocks(network.middle, network.middle.norm.num_channels, network.condition_width)


def remove_spatial_attention(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, ResBlock):
            module.attention = None


def start_with_conditions(network: nn.Module) -> None:
    """Let noise, prompt and time change the features from the first step on."""
    for module in network.modules():
        if isinstance(module, ResBlock):
            module.scale_shift.reset_parameters()


def use_log_noise(network: Any) -> None:
    network.time[0] = LogNoiseFeatures(network.time[0].width)


def lower_positions(network: Any) -> None:
    """Start the positions lower, and only at the first level."""
    with torch.no_grad():
        for level, positions in enumerate(network.positions):
            positions.mul_(0.0 if level else 0.1 / 0.3)


def kinds_of_study(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Leave the stem, the output, the prompt and its layout to AdamW."""
    kinds, moved = KINDS(module), set[int]()
    for name, parameter in module.named_parameters():
        if name.startswith(("network.stem.", "network.out.", "network.layout.", "network.prompt.", "prompt.")):
            moved.add(id(parameter))
    matrices = kinds["matrix"]
    kinds["matrix"] = [parameter for parameter in matrices if id(parameter) not in moved]
    kinds["other"] += [parameter for parameter in matrices if id(parameter) in moved]
    return kinds


KINDS = optimizers.parameters_by_kind


def errors_of_study(self: NoisyBatch, predicted: Tensor, target: Tensor | None = None) -> Tensor:
    """Return squared errors with the weight min(5, 1 + 2.2 (data / noise)^2), which counts high noise more."""
    squares = (predicted - (self.data if target is None else target)).square().flatten(self.time.ndim).mean(-1)
    return squares * (1 + 2.2 * ((1 - self.time) / self.time.clamp(min=1e-3)) ** 2).clamp(max=5.0)


def caption_of_study(prompt: str, random: np.random.Generator) -> str:
    """Say the same in four phrasings and few words."""
    motion: Motion = parse_motion(prompt)
    thing = motion.things[0]
    direction = (thing.direction or "").replace("-", " ")
    adverb = {"slow": "slowly", "fast": "fast"}[thing.speed or "slow"]
    return (
        f"a {thing.color} {thing.shape} moving {direction} {adverb}",
        f"{adverb} {thing.color} {thing.shape} going {direction}",
        f"the {thing.shape} is {thing.color} and moves {direction} {adverb}",
        f"{thing.color} {thing.shape} , {direction} , {adverb}",
    )[random.integers(4)]


PARTS: dict[str, Part] = {
    "product": Part("the defaults"),
    "noise": Part(
        "less noise: log of noise to data N(2.9, 1.5) for clips, N(1.3, 1.5) for single frames",
        ("model.logit_mean=2.9",),
        patches=((frame_diffusion, "SINGLE_FRAME_SHIFT", 1.6),),
    ),
    "still_noise": Part(
        "less noise for single frames alone: N(1.3, 1.5)", patches=((frame_diffusion, "SINGLE_FRAME_SHIFT", 2.2),)
    ),
    "clips": Part("whole clips, after a tenth of the run with single frames", batches=lambda f: (float(f < 0.1), 0.0)),
    "frames_first": Part(
        "single frames for 43 % of the run, then 20 % single frames and 30 % sparse clips",
        batches=lambda f: (1.0, 0.0) if f < 0.43 else (0.2, 0.3),
    ),
    "known": Part("a fifth of the clips with known frames, not half", ("model.context_prob=0.2",)),
    "ends": Part(
        "AdamW for stem, output, prompt and layout", patches=((optimizers, "parameters_by_kind", kinds_of_study),)
    ),
    "iterations": Part("5 Newton-Schulz iterations, not 3", ("optimizer.iterations=5",)),
    "embeddings": Part("embeddings at the rate of the rest", ("optimizer.embedding_lr=0.002",)),
    "still_gradients": Part("Muon moves layers that a batch does not use", still_gradients=True),
    "ema": Part("average over 200 steps, not 100", ("ema=0.995",)),
    "weight": Part("weight of the loss as in the study", patches=((NoisyBatch, "errors", errors_of_study),)),
    "transformer": Part("two transformer blocks over space and time in the middle", change=add_transformer),
    "no_spatial": Part("no attention within frames", change=remove_spatial_attention),
    "film": Part("conditions act from the first step on", change=start_with_conditions),
    "log_noise": Part("the network sees the logarithm of the noise", change=use_log_noise),
    "positions": Part("lower positions, at the first level alone", change=lower_positions),
    "captions": Part("four phrasings, few words", caption=caption_of_study),
    "rate": Part("matrices at twice the rate", ("optimizer.matrix_lr=0.02",)),
    "codec": Part("coefficients of patches of 8 x 8 pixels (pca)", ("codec=pca",)),
}
STUDY = (
    "noise", "clips", "known", "ends", "iterations", "embeddings", "still_gradients", "ema", "weight", "transformer",
    "no_spatial", "film", "log_noise", "positions", "captions",
)  # fmt: skip
"""Parts that the study had, of those above."""


def find_part(name: str) -> Part:
    """Return the part, or the sum of several. Raises ``ValueError`` for an unknown name."""
    names = STUDY if name == "study" else name.split("+")
    if unknown := [each for each in names if each not in PARTS]:
        raise ValueError(f"there is no part {unknown[0]}; there are: {', '.join([*PARTS, 'study'])}")
    part = PARTS[names[0]]
    for other in names[1:]:
        part = part + PARTS[other]
    return part
