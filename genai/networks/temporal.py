"""What a network of images needs besides to see clips: time. All of it starts as nothing, so that sixteen frames begin
as sixteen images."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import attention, heads_for, rotate, zeroed

WAVES = 8
BEAT = 8.0
"""Positions a second, of rotary angles."""
_SLOWEST = 32.0
"""Positions in which the slowest pair turns by a quarter."""


class Moment(nn.Module):
    """What the time of a frame adds to its condition: with the prompt it says where things are by then.

    Early times are told apart finely, late ones hardly: t / (t + 2 s) is what it looks at, in slow waves, so that what
    is learnt of one frame holds for the next.
    """

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(condition + 2 * WAVES, condition), nn.SiLU(), zeroed(nn.Linear(condition, condition))
        )

    def forward(self, condition: Tensor, seconds: Tensor) -> Tensor:
        """(batch * frames, condition) and (batch, frames) -> the first with something added to it."""
        waves = torch.arange(1, WAVES + 1, device=seconds.device)
        angles = math.pi * (seconds / (seconds + 2)).flatten()[:, None] * waves
        features = torch.cat([angles.cos(), angles.sin()], -1).to(condition.dtype)
        return condition + self.mlp(torch.cat([condition, features], -1))


class Temporal(nn.Module):
    """Frames see each other: each cell its own past and future, or, ``joint``, every cell those of all frames."""

    def __init__(self, channels: int, condition: int, joint: bool) -> None:
        super().__init__()
        self.joint, self.heads = joint, heads_for(channels, 32)
        self.scale_shift = zeroed(nn.Linear(condition, 2 * channels))
        self.qkv, self.out = nn.Linear(channels, 3 * channels), zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor, condition: Tensor, seconds: Tensor) -> Tensor:
        """(batch * frames, channels, height, width), (batch * frames, condition), (batch, frames) -> as x."""
        batch, frames = seconds.shape
        if frames == 1:
            return x
        height, width = x.shape[-2:]
        tokens = x.permute(0, 2, 3, 1).unflatten(0, (batch, frames))  # batch, frames, height, width, channels
        scale, shift = self.scale_shift(condition).view(batch, frames, 1, 1, -1).chunk(2, -1)
        tokens = F.layer_norm(tokens, (x.shape[1],)) * (1 + scale) + shift
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))
        if self.joint:  # batch, heads, frames * height * width, head
            q, k, v = qkv.flatten(1, 3).permute(2, 0, 3, 1, 4)
        else:  # batch, height * width, heads, frames, head
            q, k, v = qkv.flatten(2, 3).permute(3, 0, 2, 4, 1, 5)
        angles = self._angles(seconds, (height, width), q.shape[-1])
        q, k = rotate(q, angles), rotate(k, angles)
        if self.joint:
            attended = attention(q, k, v).transpose(1, 2)
        else:  # cells are part of the batch: kernels for attention take four dimensions
            q, k, v = (each.flatten(0, 1) for each in (q, k, v))
            attended = attention(q, k, v).unflatten(0, (batch, -1)).permute(0, 3, 1, 2, 4)
        attended = attended.reshape(batch * frames, height, width, -1)
        return x + self.out(attended).permute(0, 3, 1, 2)

    def _angles(self, seconds: Tensor, sides: Sequence[int], head: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of rotary angles of time, and of place where it counts, (batch, 1, [1,] positions, head / 2).

        Of a joint head's pairs half turn with time, a quarter each with the rows and the columns.
        """
        pairs = head // 2
        time = seconds * BEAT
        if not self.joint:
            angles = time[:, None, None, :, None] * _rates(pairs, _SLOWEST, time)
        else:
            height, width = sides
            half, quarter = pairs - 2 * (pairs // 4), pairs // 4
            rows = torch.arange(height, device=time.device).repeat_interleave(width) * (8 / height)
            columns = torch.arange(width, device=time.device).repeat(height) * (8 / width)
            place = torch.stack([rows, columns], -1)[..., None] * _rates(quarter, 8.0, time)
            of_time = (time[..., None] * _rates(half, _SLOWEST, time))[:, :, None]
            cells, (batch, frames) = height * width, time.shape
            angles = torch.cat(
                [of_time.expand(batch, frames, cells, half), place.flatten(1).expand(batch, frames, cells, -1)], -1
            )
            angles = angles.flatten(1, 2)[:, None]
        return angles.cos(), angles.sin()


def _rates(count: int, slowest: float, like: Tensor) -> Tensor:
    """(count,) radians a position, from a quarter turn a position to one in ``slowest``."""
    steps = torch.linspace(0, 1, max(2, count), device=like.device)[:count]
    return math.pi / 2 * slowest**-steps


WINDOWS = ((0, 0), (1, 1), (3, 3), (5, 0), (0, 5), (99, 99))
"""Beats before and after a frame, over which the noise is averaged out: none, few, many, the past, the future, all."""


class Pyramid(nn.Module):
    """Means of the noisy frames over space and time, in which there is less noise: large things show early.

    Each mean is weighted by the frames' precision and scaled to unit variance.

    Args:
        channels: of a picture.
        cell: pixels of a side that one place stands for.
        out: channels.
    """

    def __init__(self, channels: int, cell: int, out: int) -> None:
        super().__init__()
        self.cell = cell
        self.out = zeroed(nn.Conv2d(len(WINDOWS) * channels, out, 3, padding=1))

    def forward(self, raw: Tensor, precision: Tensor, windows: Tensor) -> Tensor:
        """(batch, frames, channels, height, width) data plus noise of ``precision`` (batch, frames)."""
        batch, frames, channels = raw.shape[:3]
        pooled = F.avg_pool2d(raw.flatten(0, 1), self.cell)
        sides = pooled.shape[-2:]
        weights = windows * precision[:, None, None]  # batch, windows, frames, frames
        total = weights.sum(-1, keepdim=True)
        means = (weights / total) @ pooled.view(batch, 1, frames, -1)
        variance = 0.4 + 1 / (total * self.cell**2)
        means = means * variance.rsqrt()
        means = means.view(batch, len(WINDOWS), frames, channels, *sides).transpose(1, 2)
        stacked: Tensor = self.out(means.reshape(batch * frames, -1, *sides))
        return stacked


def near(seconds: Tensor) -> Tensor:
    """(batch, frames) -> (batch, windows, frames, frames), 1 where a frame is in another's window."""
    apart = ((seconds[:, None] - seconds[..., None]) * BEAT)[:, None]
    spans = torch.tensor(WINDOWS, device=seconds.device)[:, :, None, None] + 1e-3  # seconds are rounded
    return ((apart >= -spans[:, 0]) & (apart <= spans[:, 1])).float()
