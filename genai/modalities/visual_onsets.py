"""What of a clip may be heard: how much moves and where, and each time that something turns round, what it was.

Nothing is learnt, and nothing has to be told from its ground. A clip is seen as maps (colours, hues, edges) whose
centres of mass go straight on while things go straight on. What turns round bends the way of the centre in the maps of
its own colours and edges: so the bend says what it is, and how it is shared by two frames, when it happened between
them. Sounds are at sudden changes of motion: Davis and Agrawala, "Visual rhythm and beat", 2018.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genai.core.data import PromptFeatures
from genai.media.clip import Clip

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SIDE = 32
"""Pixels of the longer side of what is looked at."""
PACE = 8
"""Looks a second that are enough: of a faster clip several frames are one."""
REACH = 7
"""Pixels of ``SIDE`` within which what moves is one thing."""
THINGS = 4
"""That move by themselves: smaller ones are not looked at."""
DECAYS = (0.01, 0.03, 0.1)
"""Seconds in which a turn has faded to 1/e, for as many features."""
AROUND = (0.007, 0.03)
"""Seconds about a turn that are marked as such."""
HUES = 6

_LATEST = 0.06  # seconds in which what turned gives way to what turns next
_SHARP = 0.25  # of turns: with half of that they are hardly seen
_LEAST_CHANGE = 0.02  # of full contrast
_EDGES = 5


@dataclass(frozen=True)
class Turn:
    """Something changes its motion.

    Attributes:
        time: in s.
        sharpness: from 0, it goes on as before, to 0.5, back the way that it came.
        looks: (maps,) what it is: its contrast with the ground in red, green and blue, its hues, its edges.
    """

    time: float
    sharpness: float
    looks: Floats


class VisualOnsets:
    """Features of a clip, ``PromptFeatures.RATE`` frames a second."""

    version: ClassVar[int] = 1
    """To be raised when features change: part of the key of what is cached."""

    features: ClassVar[int] = len(DECAYS) + len(AROUND) + 1 + (3 + HUES + _EDGES) + 3
    """Of turns: how long ago, about now, how sharp, the looks. Of all that moves: how much, and where."""

    def frames(self, clip: Clip, count: int) -> Floats:
        """(count, features) of the first ``count`` frames of 10 ms; zeros behind the end of the clip."""
        maps, at = _maps(clip)
        times = (np.arange(count) + 0.5) / PromptFeatures.RATE
        since = np.zeros((count, len(DECAYS) + len(AROUND)), np.float32)
        looks = np.zeros((count, 1 + maps.shape[1]), np.float32)
        known = np.full((count, 1), 0.02, np.float32)
        for turn in _turns(maps, at):
            ago = times[:, None] - turn.time
            seen = 1 / (1 + (_SHARP / max(turn.sharpness, 1e-3)) ** 6)
            since += seen * np.hstack([(ago >= 0) * np.exp(-ago.clip(0) / DECAYS), np.exp(-((ago / AROUND) ** 2))])
            weight = seen * (ago > -0.01) * np.exp(-ago.clip(0) / _LATEST)
            looks += weight * np.append(turn.sharpness, turn.looks)
            known += weight
        change, centres = _motion(maps)
        moving = np.stack([np.log1p(change / _step(at) * 30), *centres.T])
        moving = np.stack([np.interp(times, at, line) for line in moving], 1)
        return np.hstack([since, looks / known, moving]).astype(np.float32) * (times < clip.seconds)[:, None]


def turns(clip: Clip) -> list[Turn]:
    """What changes its motion in a clip, however little, in the order of time."""
    return _turns(*_maps(clip))


def sharp_turns(clip: Clip) -> list[float]:
    """When what ``VisualOnsets`` marks plainly happens, in s."""
    return [turn.time for turn in turns(clip) if turn.sharpness >= _SHARP]


# What is looked at.


def _maps(clip: Clip) -> tuple[Floats, Doubles]:
    """(looks, maps, height, width), and when each look is, in s."""
    frames = torch.from_numpy(np.ascontiguousarray(clip.frames)).movedim(3, 1)
    sides = frames.shape[2:]
    size = [max(2, round(side * SIDE / max(sides))) for side in sides]
    together = max(1, min(int(clip.fps // PACE), len(frames)))
    frames = frames[: len(frames) // together * together]
    looks = []
    for part in frames.split(32 * together):  # a clip as bytes may just fit the memory
        small = F.interpolate(part.float() / 255, size, mode="area").expand(-1, 3, -1, -1)
        looks += [group.mean(0) for group in small.split(together)]
    times = (np.arange(len(looks), dtype=np.float64) + (1 - 1 / together) / 2) * (together / clip.fps)
    return _seen(torch.stack(looks)).numpy(), times


def _step(at: Doubles) -> float:
    return float(at[1] - at[0]) if len(at) > 1 else 1.0


def _seen(looks: Tensor) -> Tensor:
    """(looks, 3, height, width) from 0 to 1 -> colours, chroma by hue, edges by their angles."""
    red, green, blue = looks.unbind(1)
    hue = torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue) * (HUES / (2 * torch.pi))
    apart = (hue[:, None] - torch.arange(HUES)[:, None, None] + HUES / 2).remainder(HUES) - HUES / 2
    hues = (looks.amax(1) - looks.amin(1))[:, None] * (1 - apart.abs()).clamp(min=0)
    across, down = torch.gradient(looks, dim=(3, 2))
    size = (across**2 + down**2).sum(1, keepdim=True).sqrt() + 1e-6
    twice = torch.complex(across**2 - down**2, 2 * across * down).sum(1, keepdim=True) / size**2  # the angle
    edges = (
        2
        * size
        * torch.cat([torch.ones_like(size), *(part for z in (twice, twice**2) for part in (z.real, z.imag))], 1)
    )
    return torch.cat([looks, hues, edges], 1)


def _motion(maps: Floats) -> tuple[Floats, Floats]:
    """(looks,): the mean change about then; (looks, 2): where it is, x and y from -0.5 to 0.5."""
    changes = np.abs(np.diff(maps[:, :3], axis=0)).mean(1)
    changes = np.concatenate([changes[:1], changes, changes[-1:]]) if len(changes) else np.zeros_like(maps[[0, 0], 0])
    about = (changes[1:] + changes[:-1]) / 2
    total = about.mean((1, 2))
    centres = [(about * line).mean((1, 2)) / (total + 1e-4) for line in _lines(maps)]
    return total, np.stack(centres, 1)


def _lines(maps: Floats) -> tuple[Floats, Floats]:
    """x of the pixels (1, width) and y (height, 1), from -0.5 to 0.5 each."""
    x, y = (((np.arange(side) + 0.5) / side - 0.5).astype(np.float32) for side in (maps.shape[3], maps.shape[2]))
    return x[None], y[:, None]


# What changes its motion.


def _turns(maps: Floats, times: Doubles) -> list[Turn]:
    """At each look, in each part of the picture that moves about then."""
    if len(maps) < 3:
        return []
    first, last = maps[1] - maps[0], maps[-1] - maps[-2]  # straight on, as far as one can know
    known = np.stack([maps[0] - 2 * first, maps[0] - first, *maps, maps[-1] + last, maps[-1] + 2 * last])
    found = []
    for at in range(1, len(maps) - 1):
        around = known[at - 1 : at + 6]
        changes = np.abs(np.diff(around[1:-1, :3], axis=0)).sum((0, 1))
        for part in _parts(changes):
            centres = [((changes * part * line).sum() / (changes * part).sum(), line) for line in _lines(maps)]
            moments = np.stack([(around * (part * (line - centre))).sum((2, 3)) for centre, line in centres])
            found += [replace(turn, time=float(times[at]) + turn.time * _step(times)) for turn in _turning(moments)]
    return sorted(found, key=lambda turn: turn.time)


def _parts(changes: Floats) -> list[Floats]:
    """Masks (height, width) of what moves apart from each other, the largest first."""
    least = max(_LEAST_CHANGE, 0.05 * float(changes.max()), 3 * float(np.median(changes)))
    moving = torch.from_numpy(changes > least).float()[None, None]
    moving = F.max_pool2d(moving, REACH, 1, REACH // 2)
    names = moving * torch.arange(1, moving.numel() + 1).view_as(moving)
    while not (spread := F.max_pool2d(names, 3, 1, 1) * moving).equal(names):
        names = spread
    parts = [(names[0, 0] == name).float().numpy() for name in names.unique() if name > 0]
    return sorted(parts, key=lambda part: -float((changes * part).sum()))[:THINGS]


def _turning(moments: Floats) -> list[Turn]:
    """What turns at the middle one of seven looks, by its ``moments`` (axes, 7, maps); times are in looks from there.

    Where a thing turns a share s of the way from one look to the next, the bends at these two are as 1 - s to s.
    """
    before, after = ((moments[:, at] - moments[:, at - 2]) / 2 for at in (2, 6))
    speed = float(np.linalg.norm(before[:, :3]) + np.linalg.norm(after[:, :3]))
    found = []
    for bends, change in zip(np.diff(moments, 2, axis=1), after - before, strict=True):
        if np.linalg.norm(bends[:, :3], axis=1).argmax() != 2:
            continue
        shares = (bends[1:4, :3] @ bends[2, :3]).clip(1e-12)
        size = float(np.linalg.norm(change[:3])) + 1e-9
        looks = change * np.sign(change[-_EDGES] or 1) / size  # the more edges there, the nearer it came
        found.append(Turn(float(shares @ (-1, 0, 1) / shares.sum()), size / (speed + size), looks.clip(-3, 3)))
    return found
