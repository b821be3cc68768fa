"""A U-Net for small and medium images and video clips, conditioned on a time and a prompt.

Three things make it follow prompts within minutes on a CPU. The prompt has a spatial path of its own: a layout map,
computed from the pooled prompt, is added after the stem. Each level has a learned position map. Attention is used only
at the lowest resolutions, where it is cheap.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.detail_head import FOLD, DetailHead
from genai.networks.layers import FourierFeatures, PromptEmbedding, attention, choose_num_heads, zero_module
from genai.networks.temporal import FrameTimeEmbedding, TemporalAttention, TemporalPyramid, frames_in_windows

Count = Annotated[int, Ge(1), Le(16_384)]
MIN_WIDTH = 32


class UNet(nn.Module):
    """A denoising U-Net for images (batch, channels, height, width) or clips (batch, frames, channels, height, width).

    For clips, each block ends with a temporal layer, which single frames skip. The weights of an image network are a
    subset of those of a video network, under the same names, and both compute the same until the temporal layers are
    trained.

    Args:
        shape: (channels, height, width) of an image or a frame.
        frames: number of frames of a clip; 1: images only.
        context: width of the pooled prompt embedding; 0: unconditional.
        width: channels of the first level; ``None``: three times those of ``shape``, and at least 32.
        multipliers: multiples of ``width``, one per level; each further level halves the resolution.
        blocks: residual blocks per level, on the way down and on the way up; each of the latter gets a skip connection.
        patch: pixels per side that are folded into channels at the input (pixel unshuffle).
        attention: number of lowest levels with spatial attention.
        layout: channels of the prompt's layout map; 0: none.
        word_width: width of the prompt's word embeddings, to which the levels with attention attend; 0: they do not.
        word_layout: attention heads of a second layout map, which is computed from the words; 0: none.
        detail_width: channels of a ``DetailHead``, for a ``patch`` of a multiple of 2; 0: none.

    Raises:
        ValueError: height or width is not divisible by patch size and levels, ``word_layout`` is without
            ``word_width``, or ``detail_width`` with an odd ``patch``.
    """

    def __init__(
        self,
        shape: Sequence[int],
        frames: Count = 1,
        context: Annotated[int, Ge(0), Le(65_536)] = 0,
        width: Count | None = None,
        multipliers: Sequence[Count] = (1, 2),
        blocks: Count = 1,
        patch: Count = 2,
        attention: Annotated[int, Ge(0)] = 1,
        layout: Annotated[int, Ge(0), Le(1024)] = 16,
        word_width: Annotated[int, Ge(0), Le(65_536)] = 0,
        word_layout: Annotated[int, Ge(0), Le(64)] = 0,
        detail_width: Annotated[int, Ge(0), Le(1024)] = 0,
    ) -> None:
        super().__init__()
        self.word_width = word_width
        channels, *sides = shape
        width = width or max(MIN_WIDTH, 3 * channels)
        stride = patch * 2 ** (len(multipliers) - 1)
        if any(side % stride for side in sides):
            nearest = " x ".join(str(max(1, round(side / stride)) * stride) for side in sides)
            size = f"sides of {sides[0]} x {sides[1]} pixels"
            raise ValueError(f"{size} have to be multiples of {stride} (patch and levels), as in {nearest}.")
        map_height, map_width = (side // patch for side in sides)
        widths = [width * multiplier for multiplier in multipliers]
        condition = 4 * width
        self.patch, self.condition_width = patch, condition
        is_video = frames > 1
        self.time = nn.Sequential(
            FourierFeatures(condition), nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.prompt = nn.Linear(context, condition) if context else None
        self.stem = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.layout = LayoutMap(condition, layout, width, (map_height, map_width)) if layout and context else None
        if word_layout and not word_width:
            raise ValueError("word_layout needs word_width, that of the prompt's word embeddings.")
        if detail_width and patch % FOLD:
            raise ValueError(f"detail_width needs a patch of a multiple of {FOLD}, not {patch}.")
        self.word_layout = WordLayout(word_width, word_layout, width, (map_height, map_width)) if word_layout else None
        self.moment = FrameTimeEmbedding(condition) if is_video else None
        self.pyramid = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.positions = nn.ParameterList()
        skips, current = [], width
        for level, out in enumerate(widths):
            use_attention = level >= len(widths) - attention
            positions = nn.Parameter(torch.empty(1, current, map_height >> level, map_width >> level))
            nn.init.normal_(positions, std=0.3)  # returns nothing where a library skips initialization
            self.positions.append(positions)
            if is_video:
                self.pyramid.append(TemporalPyramid(channels, patch << level, current))
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResBlock(current, out, condition, use_attention, is_video, word_width))
                current = out
                skips.append(out)
            if level < len(widths) - 1:
                stage.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
            self.down.append(stage)
        self.middle = ResBlock(current, current, condition, attention > 0, is_video, word_width)
        for level, out in reversed(list(enumerate(widths))):
            use_attention = level >= len(widths) - attention
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(ResBlock(current + skips.pop(), out, condition, use_attention, is_video, word_width))
                current = out
            if level:
                current = widths[level - 1]
                stage.append(nn.Conv2d(out, current, 3, padding=1))  # before upsampling, where it is cheaper
            self.up.append(stage)
        self.norm = group_norm(current)
        self.out = zero_module(nn.Conv2d(current, channels * patch**2, 3, padding=1))
        self.detail_head = DetailHead(channels, current, condition, patch, detail_width) if detail_width else None
        self.step_size: nn.Module | None = None

    def add_step_size(self) -> None:
        """Add the input ``step_size``, which changes nothing until it is trained."""
        width = self.condition_width
        out = zero_module(nn.Linear(width, width))
        self.step_size = nn.Sequential(FourierFeatures(width), nn.Linear(width, width), nn.SiLU(), out)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        pooled: Tensor | None = None,
        seconds: Tensor | None = None,
        words: PromptEmbedding | None = None,
        step_size: Tensor | None = None,
    ) -> Tensor:
        """Return a prediction of the shape of ``x``.

        Args:
            x: ((1 - time) data + time noise) / sqrt((1 - time)^2 + time^2).
            time: (batch,), or for clips (batch, frames), diffusion times in [0, 1].
            pooled: (batch, context), pooled prompt embeddings.
            seconds: (batch, frames), the time of each frame in the clip; ``None``: ``x`` holds images.
            words: the prompts word by word, for ``word_width``.
            step_size: (batch,), for images after ``add_step_size``: the time of a step whose mean is predicted; 0 or
                ``None``: at ``time`` itself.
        """
        if seconds is None:
            return self._forward_frames(x, time, pooled, time[:, None], words, step_size)
        return self._forward_frames(x.flatten(0, 1), time.flatten(), pooled, seconds, words).view_as(x)

    def _forward_frames(
        self,
        x: Tensor,
        time: Tensor,
        pooled: Tensor | None,
        seconds: Tensor,
        words: PromptEmbedding | None,
        step_size: Tensor | None = None,
    ) -> Tensor:
        """Process ``x`` (batch * frames, channels, height, width) with ``seconds`` (batch, frames)."""
        frames = seconds.shape[1]
        words = words and repeat_words(words, frames)
        condition = self.time(time)
        if self.step_size is not None:
            condition = condition + self.step_size(torch.zeros_like(time) if step_size is None else step_size)
        if self.prompt is not None and pooled is not None:
            condition = condition + self.prompt(pooled).repeat_interleave(frames, 0)
        if self.moment is not None:
            condition = self.moment(condition, seconds)
        condition = F.silu(condition)
        pyramid_inputs, pixels = self._pyramid_inputs(x, time, seconds), x
        x = self.stem(F.pixel_unshuffle(x, self.patch))
        if self.layout is not None:
            x = x + self.layout(condition, x.shape[-2:])
        if self.word_layout is not None and words is not None:
            x = x + self.word_layout(words, x.shape[-2:])
        skips = []
        for level, (stage, positions) in enumerate(zip(self.down, self.positions, strict=True)):
            x = x + resize_to(positions, x.shape[-2:])
            if self.pyramid:
                x = x + self.pyramid[level](*pyramid_inputs)
            for layer in stage:  # type: ignore[attr-defined]
                if isinstance(layer, ResBlock):
                    x = layer(x, condition, seconds, words)
                    skips.append(x)
                else:
                    x = layer(x)
        x = self.middle(x, condition, seconds, words)
        for stage in self.up:
            for layer in stage:  # type: ignore[attr-defined]
                if isinstance(layer, ResBlock):
                    x = layer(torch.cat([x, skips.pop()], 1), condition, seconds, words)
                else:
                    x = F.interpolate(layer(x), scale_factor=2.0)
        x = F.silu(self.norm(x))
        predicted = F.pixel_shuffle(self.out(x), self.patch)
        return predicted if self.detail_head is None else self.detail_head(predicted, pixels, x, condition)

    def _pyramid_inputs(self, x: Tensor, time: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return data plus noise (B, T, C, H, W), the noise's precision (B, T), and the windows of ``seconds``."""
        t = time.clamp(1e-4, 1 - 1e-4)
        scale = ((1 - t) ** 2 + t**2).sqrt() / (1 - t)
        raw = (x.float() * scale[:, None, None, None]).unflatten(0, seconds.shape)
        return raw, ((1 - t) / t).square().clamp(max=1e3).view_as(seconds), frames_in_windows(seconds)


class ResBlock(nn.Module):
    """A residual block of two convolutions, followed by optional spatial and temporal attention.

    The condition scales and shifts the features between the convolutions (FiLM, arXiv:1709.07871).
    """

    def __init__(
        self, channels: int, out: int, condition: int, use_attention: bool, is_video: bool, word_width: int = 0
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.norm = group_norm(out)
        self.scale_shift = zero_module(nn.Linear(condition, 2 * out))
        self.second = zero_module(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        self.attention = SpatialAttention(out) if use_attention else None
        self.words = WordAttention(out, word_width) if use_attention and word_width else None
        self.temporal = TemporalAttention(out, condition, joint=use_attention) if is_video else None

    def forward(self, x: Tensor, condition: Tensor, seconds: Tensor, words: PromptEmbedding | None = None) -> Tensor:
        """Map (batch * frames, channels, height, width) to (batch * frames, out, height, width).

        Args:
            x: the feature maps.
            condition: (batch * frames, width).
            seconds: (batch, frames), the time of each frame.
            words: of the prompts, (batch * frames, ...).
        """
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, 1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        x = self.skip(x) + self.second(F.silu(h))
        if self.attention is not None:
            x = self.attention(x)
        if self.words is not None and words is not None:
            x = self.words(x, words)
        return x if self.temporal is None else self.temporal(x, condition, seconds)


class SpatialAttention(nn.Module):
    """Self-attention over the pixels of a feature map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = choose_num_heads(channels, 32)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero_module(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        qkv = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))  # (B, 3, heads, D, H * W)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        output = attention(q, k, v).transpose(-1, -2)
        return x + self.out(output.reshape(x.shape))


class WordAttention(nn.Module):
    """Attention of the pixels of a feature map to the words of the prompt."""

    def __init__(self, channels: int, word_width: int) -> None:
        super().__init__()
        self.heads = choose_num_heads(channels, 32)
        self.norm = group_norm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Linear(word_width, 2 * channels)
        self.out = zero_module(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, words: PromptEmbedding) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        q = self.query(self.norm(x)).flatten(2).unflatten(1, (self.heads, -1)).mT  # (B, heads, H * W, D)
        k, v = self.key_value(words.tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        output = attention(q, k, v, words.mask[:, None, None]).mT  # (B, heads, D, H * W)
        return x + self.out(output.reshape(x.shape))


def repeat_words(words: PromptEmbedding, frames: int) -> PromptEmbedding:
    """Repeat the words of each clip for each of its frames."""
    if frames == 1:
        return words
    return PromptEmbedding(*(each.repeat_interleave(frames, 0) for each in (words.pooled, words.tokens, words.mask)))


class LayoutMap(nn.Module):
    """A feature map computed from the condition alone, which places objects: at most 16 x 16, resized to the image."""

    def __init__(self, condition: int, channels: int, out: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.grid = (channels, min(16, sides[0]), min(16, sides[1]))
        self.draw = nn.Linear(condition, math.prod(self.grid))
        self.out = nn.Conv2d(channels, out, 1)

    def forward(self, condition: Tensor, sides: Sequence[int]) -> Tensor:
        """Map (batch, condition) to (batch, out, *sides)."""
        return self.out(resize_to(self.draw(condition).unflatten(1, self.grid), sides))


class WordLayout(nn.Module):
    """A feature map computed from the words alone, which places objects: each place attends to the words.

    Places are those of a grid of at most 16 x 16, resized to the image. Their queries are learned and see no noise, so
    they find "the thing on the left" early in training, where noisy pixels do not.
    """

    def __init__(self, word_width: int, heads: int, out: int, sides: tuple[int, int], head_width: int = 32) -> None:
        super().__init__()
        self.heads, self.grid = heads, (min(16, sides[0]), min(16, sides[1]))
        self.queries = nn.Parameter(torch.randn(1, heads, math.prod(self.grid), head_width))
        self.key_value = nn.Linear(word_width, 2 * heads * head_width)
        self.out = nn.Conv2d(heads * head_width, out, 1)

    def forward(self, words: PromptEmbedding, sides: Sequence[int]) -> Tensor:
        """Map the words of a batch of prompts to (batch, out, *sides)."""
        k, v = self.key_value(words.tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        output = attention(self.queries, k, v, words.mask[:, None, None])  # (B, heads, places, D)
        output = output.mT.flatten(1, 2)  # (B, heads * D, places)
        return resize_to(self.out(output.unflatten(-1, self.grid)), sides)


def resize_to(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Resize the last two dimensions of ``x`` to ``sides`` if they differ."""
    return x if tuple(x.shape[-2:]) == tuple(sides) else F.interpolate(x, tuple(sides), mode="bilinear")


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm with groups of about 16 channels; their number divides ``channels``."""
    return nn.GroupNorm(math.gcd(max(1, channels // 16), channels), channels)
