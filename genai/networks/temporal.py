"""Temporal layers that turn an image U-Net into a video U-Net.

All of them are zero-initialized, so that a clip of sixteen frames starts as sixteen independent images.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import apply_rotary, attention, choose_num_heads, zero_module

NUM_FREQUENCIES = 8
"""Frequencies of the sinusoidal features of a frame's time."""
POSITIONS_PER_SECOND = 8.0
"""Rotary positions per second."""
_MAX_PERIOD = 32.0
"""Rotary positions in which the slowest pair of channels rotates by a quarter turn."""


class FrameTimeEmbedding(nn.Module):
    """Add the time of a frame to its condition; with the prompt, it determines where objects are at that time.

    The input is t / (t + 2 s), in low frequencies: it resolves early times finely and late ones coarsely, so that what
    is learned about one frame carries over to the next.
    """

    def __init__(self, condition: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(condition + 2 * NUM_FREQUENCIES, condition),
            nn.SiLU(),
            zero_module(nn.Linear(condition, condition)),
        )

    def forward(self, condition: Tensor, seconds: Tensor) -> Tensor:
        """Add an embedding of ``seconds`` (batch, frames) to ``condition`` (batch * frames, width)."""
        frequencies = torch.arange(1, NUM_FREQUENCIES + 1, device=seconds.device)
        angles = math.pi * (seconds / (seconds + 2)).flatten()[:, None] * frequencies
        features = torch.cat([angles.cos(), angles.sin()], -1).to(condition.dtype)
        return condition + self.mlp(torch.cat([condition, features], -1))


class TemporalAttention(nn.Module):
    """Attention over frames: each cell over its own past and future; with ``joint``, over all cells of all frames."""

    def __init__(self, channels: int, condition: int, joint: bool) -> None:
        super().__init__()
        self.joint, self.heads = joint, choose_num_heads(channels, 32)
        self.scale_shift = zero_module(nn.Linear(condition, 2 * channels))
        self.qkv, self.out = nn.Linear(channels, 3 * channels), zero_module(nn.Linear(channels, channels))

    def forward(self, x: Tensor, condition: Tensor, seconds: Tensor) -> Tensor:
        """Map (batch * frames, channels, height, width) to the same shape.

        Args:
            x: the frames.
            condition: (batch * frames, width).
            seconds: (batch, frames), the time of each frame.
        """
        batch, frames = seconds.shape
        if frames == 1:
            return x
        height, width = x.shape[-2:]
        tokens = x.permute(0, 2, 3, 1).unflatten(0, (batch, frames))  # (B, T, H, W, C)
        scale, shift = self.scale_shift(condition).view(batch, frames, 1, 1, -1).chunk(2, -1)
        tokens = F.layer_norm(tokens, (x.shape[1],)) * (1 + scale) + shift  # adaptive layer norm
        qkv = self.qkv(tokens).unflatten(-1, (3, self.heads, -1))
        if self.joint:  # (B, heads, T * H * W, D)
            q, k, v = qkv.flatten(1, 3).permute(2, 0, 3, 1, 4)
        else:  # (B, H * W, heads, T, D)
            q, k, v = qkv.flatten(2, 3).permute(3, 0, 2, 4, 1, 5)
        angles = self._angles(seconds, (height, width), q.shape[-1])
        q, k = apply_rotary(q, angles), apply_rotary(k, angles)
        if self.joint:
            output = attention(q, k, v).transpose(1, 2)
        else:  # fold cells into the batch: attention kernels take four dimensions
            q, k, v = (part.flatten(0, 1) for part in (q, k, v))
            output = attention(q, k, v).unflatten(0, (batch, -1)).permute(0, 3, 1, 2, 4)
        output = output.reshape(batch * frames, height, width, -1)
        return x + self.out(output).permute(0, 3, 1, 2)

    def _angles(self, seconds: Tensor, sides: Sequence[int], head_width: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the rotary angles, (batch, 1, [1,] positions, head_width / 2).

        With ``joint``, half of a head's channel pairs encode time, a quarter the row and a quarter the column; else all
        of them encode time.
        """
        pairs = head_width // 2
        time = seconds * POSITIONS_PER_SECOND
        if not self.joint:
            angles = time[:, None, None, :, None] * _frequencies(pairs, _MAX_PERIOD, time)
        else:
            height, width = sides
            half, quarter = pairs - 2 * (pairs // 4), pairs // 4
            rows = torch.arange(height, device=time.device).repeat_interleave(width) * (8 / height)
            columns = torch.arange(width, device=time.device).repeat(height) * (8 / width)
            space_angles = torch.stack([rows, columns], -1)[..., None] * _frequencies(quarter, 8.0, time)
            time_angles = (time[..., None] * _frequencies(half, _MAX_PERIOD, time))[:, :, None]
            cells, (batch, frames) = height * width, time.shape
            angles = torch.cat(
                [
                    time_angles.expand(batch, frames, cells, half),
                    space_angles.flatten(1).expand(batch, frames, cells, -1),
                ],
                -1,
            )
            angles = angles.flatten(1, 2)[:, None]
        return angles.cos(), angles.sin()


def _frequencies(count: int, max_period: float, like: Tensor) -> Tensor:
    """(count,) radians per position, log-spaced from a quarter turn per position to one in ``max_period`` positions."""
    steps = torch.linspace(0, 1, max(2, count), device=like.device)[:count]
    return math.pi / 2 * max_period**-steps


WINDOWS = ((0, 0), (1, 1), (3, 3), (5, 0), (0, 5), (99, 99))
"""Rotary positions before and after a frame over which ``TemporalPyramid`` averages: the frame itself, a short and a
long window, the past, the future, the whole clip."""


class TemporalPyramid(nn.Module):
    """Average the noisy frames over space and time, which reduces the noise: large objects become visible early.

    Each average is weighted by the frames' precision and scaled to unit variance.

    Args:
        channels: of a frame.
        cell: pixels per side that are averaged to one cell.
        out: output channels.
    """

    def __init__(self, channels: int, cell: int, out: int) -> None:
        super().__init__()
        self.cell = cell
        self.out = zero_module(nn.Conv2d(len(WINDOWS) * channels, out, 3, padding=1))

    def forward(self, raw: Tensor, precision: Tensor, windows: Tensor) -> Tensor:
        """Return averages as features (batch * frames, out, height / cell, width / cell).

        Args:
            raw: (batch, frames, channels, height, width), data plus noise.
            precision: (batch, frames), inverse variance of the noise.
            windows: (batch, windows, frames, frames), from ``frames_in_windows``.
        """
        batch, frames, channels = raw.shape[:3]
        pooled = F.avg_pool2d(raw.flatten(0, 1), self.cell)
        sides = pooled.shape[-2:]
        weights = windows * precision[:, None, None]  # (B, windows, T, T)
        total = weights.sum(-1, keepdim=True)
        means = (weights / total) @ pooled.view(batch, 1, frames, -1)
        variance = 0.4 + 1 / (total * self.cell**2)  # of the data and of the remaining noise
        means = means * variance.rsqrt()
        means = means.view(batch, len(WINDOWS), frames, channels, *sides).transpose(1, 2)
        features: Tensor = self.out(means.reshape(batch * frames, -1, *sides))
        return features


def frames_in_windows(seconds: Tensor) -> Tensor:
    """(batch, frames) -> (batch, windows, frames, frames): 1 where the second frame is in a window of the first."""
    distance = ((seconds[:, None] - seconds[..., None]) * POSITIONS_PER_SECOND)[:, None]
    spans = torch.tensor(WINDOWS, device=seconds.device)[:, :, None, None] + 1e-3  # tolerance for rounded seconds
    return ((distance >= -spans[:, 0]) & (distance <= spans[:, 1])).float()
