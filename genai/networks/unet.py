"""A U-Net for small and medium images and clips of them, guided by a time and a prompt.

What makes it obey prompts within minutes on a CPU: the prompt has a spatial route of its own (a layout map, drawn from
the pooled prompt and added behind the stem), each level has a learnt map of positions, and attention stands only where
it is cheap.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import FourierFeatures, attention, heads_for, zeroed
from genai.networks.temporal import Moment, Pyramid, Temporal, near

Count = Annotated[int, Ge(1), Le(16_384)]


class UNet(nn.Module):
    """(batch, channels, height, width), or (batch, frames, channels, height, width), -> the same shape.

    Clips are images that see each other: behind every block a temporal unit follows, which one frame alone skips. A
    network of images is a part of one of clips, by the names of its weights, and equals it until that has learnt.

    Args:
        shape: of one image.
        frames: of a clip; 1: there are images alone.
        context: width of the prompt's pooled vector; 0: no prompt.
        width: channels of the first level.
        multipliers: of ``width``, one a level; each level halves the sides.
        blocks: residual blocks of a level on the way down, and as many on the way up, each fed by its counterpart.
        patch: pixels of a side that are folded into channels first.
        attention: number of the lowest levels that attend.
        layout: channels of the prompt's layout map; 0: none.

    Raises:
        ValueError: sides that patch and levels do not divide.
    """

    def __init__(
        self,
        shape: Sequence[int],
        frames: Count = 1,
        context: Annotated[int, Ge(0), Le(65_536)] = 0,
        width: Count = 32,
        multipliers: Sequence[Count] = (1, 2),
        blocks: Count = 1,
        patch: Count = 2,
        attention: Annotated[int, Ge(0)] = 1,
        layout: Annotated[int, Ge(0), Le(1024)] = 16,
    ) -> None:
        super().__init__()
        channels, *sides = shape
        stride = patch * 2 ** (len(multipliers) - 1)
        if any(side % stride for side in sides):
            near = " x ".join(str(max(1, round(side / stride)) * stride) for side in sides)
            given = f"sides of {sides[0]} x {sides[1]} pixels"
            raise ValueError(f"{given} have to be multiples of {stride} (patch and levels), as in {near}.")
        height, breadth = (side // patch for side in sides)
        widths = [width * multiplier for multiplier in multipliers]
        condition = 4 * width
        self.patch = patch
        clips = frames > 1
        self.time = nn.Sequential(
            FourierFeatures(condition), nn.Linear(condition, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.prompt = nn.Linear(context, condition) if context else None
        self.stem = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.layout = Layout(condition, layout, width, (height, breadth)) if layout and context else None
        self.moment = Moment(condition) if clips else None
        self.pyramid = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.positions = nn.ParameterList()
        skips, current = [], width
        for level, out in enumerate(widths):
            attends = level >= len(widths) - attention
            positions = nn.Parameter(torch.empty(1, current, height >> level, breadth >> level))
            self.positions.append(nn.init.normal_(positions, std=0.3))
            if clips:
                self.pyramid.append(Pyramid(channels, patch << level, current))
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(Block(current, out, condition, attends, clips))
                current = out
                skips.append(out)
            if level < len(widths) - 1:
                stage.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
            self.down.append(stage)
        self.middle = Block(current, current, condition, attention > 0, clips)
        for level, out in reversed(list(enumerate(widths))):
            attends = level >= len(widths) - attention
            stage = nn.ModuleList()
            for _ in range(blocks):
                stage.append(Block(current + skips.pop(), out, condition, attends, clips))
                current = out
            if level:
                current = widths[level - 1]
                stage.append(nn.Conv2d(out, current, 3, padding=1))  # before the enlargement, where it is cheap
            self.up.append(stage)
        self.norm = group_norm(current)
        self.out = zeroed(nn.Conv2d(current, channels * patch**2, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor | None = None, seconds: Tensor | None = None) -> Tensor:
        """The prediction, in the shape of ``x``.

        Args:
            x: on the path (1 - time) data + time noise, divided by the root of (1 - time)^2 + time^2.
            time: (batch,) or (batch, frames) in [0, 1].
            pooled: (batch, context), the prompt.
            seconds: (batch, frames), when the frames are; ``None``: images.
        """
        if seconds is None:
            return self._images(x, time, pooled, time[:, None])
        return self._images(x.flatten(0, 1), time.flatten(), pooled, seconds).view_as(x)

    def _images(self, x: Tensor, time: Tensor, pooled: Tensor | None, seconds: Tensor) -> Tensor:
        frames = seconds.shape[1]
        condition = self.time(time)
        if self.prompt is not None and pooled is not None:
            condition = condition + self.prompt(pooled).repeat_interleave(frames, 0)
        if self.moment is not None:
            condition = self.moment(condition, seconds)
        condition = F.silu(condition)
        means = self._means(x, time, seconds)
        x = self.stem(F.pixel_unshuffle(x, self.patch))
        if self.layout is not None:
            x = x + self.layout(condition, x.shape[-2:])
        skips = []
        for level, (stage, positions) in enumerate(zip(self.down, self.positions, strict=True)):
            x = x + fitted(positions, x.shape[-2:])
            if self.pyramid:
                x = x + self.pyramid[level](*means)
            for layer in stage:  # type: ignore[attr-defined]
                if isinstance(layer, Block):
                    x = layer(x, condition, seconds)
                    skips.append(x)
                else:
                    x = layer(x)
        x = self.middle(x, condition, seconds)
        for stage in self.up:
            for layer in stage:  # type: ignore[attr-defined]
                if isinstance(layer, Block):
                    x = layer(torch.cat([x, skips.pop()], 1), condition, seconds)
                else:
                    x = F.interpolate(layer(x), scale_factor=2.0)
        return F.pixel_shuffle(self.out(F.silu(self.norm(x))), self.patch)

    def _means(self, x: Tensor, time: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the pyramid looks at: data plus noise, the noise's precision, and which frames are near each other."""
        t = time.clamp(1e-4, 1 - 1e-4)
        scale = ((1 - t) ** 2 + t**2).sqrt() / (1 - t)
        raw = (x.float() * scale[:, None, None, None]).unflatten(0, seconds.shape)
        return raw, ((1 - t) / t).square().clamp(max=1e3).view_as(seconds), near(seconds)


class Block(nn.Module):
    """Two convolutions; the condition scales and shifts between them (FiLM, arXiv:1709.07871); attention behind."""

    def __init__(self, channels: int, out: int, condition: int, attends: bool, clips: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.norm = group_norm(out)
        self.scale_shift = zeroed(nn.Linear(condition, 2 * out))
        self.second = zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        self.attention = Attention(out) if attends else None
        self.temporal = Temporal(out, condition, joint=attends) if clips else None

    def forward(self, x: Tensor, condition: Tensor, seconds: Tensor) -> Tensor:
        """(batch * frames, channels, height, width), condition likewise, (batch, frames) -> ... out ..."""
        scale, shift = self.scale_shift(condition)[:, :, None, None].chunk(2, 1)
        h = self.norm(self.first(x)) * (1 + scale) + shift
        x = self.skip(x) + self.second(F.silu(h))
        if self.attention is not None:
            x = self.attention(x)
        return x if self.temporal is None else self.temporal(x, condition, seconds)


class Attention(nn.Module):
    """Every pixel sees every other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = heads_for(channels, 32)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        attended = attention(q, k, v).transpose(-1, -2)
        return x + self.out(attended.reshape(x.shape))


class Layout(nn.Module):
    """A map drawn from the condition alone: where things are to be. At most 16 x 16, enlarged to the image."""

    def __init__(self, condition: int, channels: int, out: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.grid = (channels, min(16, sides[0]), min(16, sides[1]))
        self.draw = nn.Linear(condition, math.prod(self.grid))
        self.out = nn.Conv2d(channels, out, 1)

    def forward(self, condition: Tensor, sides: Sequence[int]) -> Tensor:
        """(batch, condition) -> (batch, out, *sides)."""
        return self.out(fitted(self.draw(condition).unflatten(1, self.grid), sides))


def fitted(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Enlarge or shrink the last two dimensions to ``sides`` where they differ."""
    return x if tuple(x.shape[-2:]) == tuple(sides) else F.interpolate(x, tuple(sides), mode="bilinear")


def group_norm(channels: int) -> nn.GroupNorm:
    """Groups of 16 channels, or what divides them."""
    return nn.GroupNorm(math.gcd(max(1, channels // 16), channels), channels)
