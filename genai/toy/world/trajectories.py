"""Clips of motions: flat shapes that go straight, bounce off the walls and pass through each other.

Two things pass through each other, the first in front: a collision would change the directions that the caption
names, and nothing that goes straight on for long can keep out of another's way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import GAP, MARGIN, PAIR, coverage
from genai.toy.world.motion import DIRECTIONS, SPEEDS, Motion, Mover
from genai.toy.world.scene import COLOURS, SIZES

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

RADIUS = SIZES["small"]
"""As a share of the side; of two things in one clip both are scaled down by ``PAIR``."""
CALM = {"slow": 1.0, "fast": 0.625}
"""Seconds without a bounce at the beginning: 8 and 5 frames at 8 fps, so that each clip shows its directions."""
TILT = 6.0
"""Most degrees between the way a thing goes and its direction."""

_PER_CLIP, _PER_THING = 4, 6
_STARTS = 24  # that are tried, so that two things are apart for a while
_APART = (0.0, 0.25, 0.5)  # seconds at which they are
_CHUNK = 16


class Bounce(NamedTuple):
    """A thing turns round: when in seconds, which of ``Motion.things``, at the left, right, top or bottom wall."""

    time: float
    thing: int
    wall: str


@dataclass(frozen=True)
class Path:
    """How a thing moves. Lengths are shares of the side, from the upper left corner.

    Attributes:
        start: (x, y) of the centre at time 0.
        velocity: (x, y) at time 0, a second.
        low: the least that x and y can be; the most is 1 - ``low``.
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    low: float

    def at(self, times: Doubles) -> Doubles:
        """(times, 2): x and y of the centre at ``times`` in seconds."""
        return fold(np.array(self.start) + times[:, None] * np.array(self.velocity), self.low)

    def bounces(self, until: float, thing: int = 0) -> list[Bounce]:
        """The bounces after time 0, up to ``until`` in seconds, as bounces of ``thing``."""
        found = []
        for start, velocity, walls in zip(
            self.start, self.velocity, (("left", "right"), ("top", "bottom")), strict=True
        ):
            room = 1 - 2 * self.low
            first, last = ((start + velocity * time - self.low) / room for time in (0, until))
            low, high = sorted((first, last))
            for wall in range(int(np.ceil(low)), int(np.floor(high)) + 1):  # as if walls stood on behind each other
                if velocity and wall != first:
                    found.append(Bounce((wall - first) * room / velocity, thing, walls[wall % 2]))
        return sorted(found)


def fold(places: Doubles, low: float) -> Doubles:
    """Where the straight way to ``places`` ends between walls at ``low`` and 1 - ``low`` that throw it back."""
    room = 1 - 2 * low
    return low + np.abs((places - low + room) % (2 * room) - room)


def draw(
    motions: Sequence[Motion], rng: np.random.Generator, size: int = 32, frames: int = 16, fps: float = 8
) -> tuple[NDArray[np.uint8], list[list[Bounce]]]:
    """Clips of complete motions, and their bounces.

    Args:
        motions: one a clip.
        rng: each clip takes the same count of numbers from it, so the first clips do not depend on later ones.
        size: of a side, in pixels; at least 16. Paths depend neither on it nor on the next two.
        frames: of a clip.
        fps: frames a second.

    Returns:
        (motions, frames, 3, size, size), and of each clip the bounces up to its last frame, in the order of time.

    Raises:
        ValueError: a motion with a free attribute; fewer than 16 pixels; no frames; no time between them.
    """
    if size < 16 or frames < 1 or not fps > 0:
        raise ValueError(f"size={size}, frames={frames}, fps={fps}: at least 16 pixels, 1 frame, and more than 0 fps")
    if incomplete := next((motion for motion in motions if not motion.is_complete), None):
        raise ValueError(f"only complete motions can be drawn; this one leaves attributes free: {incomplete}")
    random = rng.random((len(motions), _PER_CLIP + 2 * _PER_THING + 4 * _STARTS))
    looks, things, starts = np.split(random, [_PER_CLIP, _PER_CLIP + 2 * _PER_THING], 1)
    grounds = 15 + 30 * looks[:, :1] + 12 * looks[:, 1:] - 6
    things, starts = things.reshape(-1, 2, _PER_THING), starts.reshape(-1, _STARTS, 2, 2)
    scales = np.array([PAIR if len(motion.things) == 2 else 1 for motion in motions])
    radii = RADIUS * scales[:, None] * (0.93 + 0.14 * things[..., 2])
    tints = (16 * things[..., 3:] - 8).astype(np.float32)
    times = np.arange(frames) / fps
    clips = np.empty((len(motions), frames, 3, size, size), np.uint8)
    bounces: list[list[Bounce]] = []
    for at in range(0, len(motions), _CHUNK):
        part = slice(at, at + _CHUNK)
        paths = [_paths(*one) for one in zip(motions[part], radii[part], things[part], starts[part], strict=True)]
        tracks = np.zeros((len(paths), 2, frames, 2), np.float32)
        for track, pair in zip(tracks, paths, strict=True):
            track[: len(pair)] = [path.at(times) for path in pair]
            bounces.append(sorted(bounce for i, path in enumerate(pair) for bounce in path.bounces(times[-1], i)))
        look = radii[part].astype(np.float32), grounds[part].astype(np.float32), tints[part]
        clips[part] = _paint(motions[part], tracks, *look, size)
    return clips, bounces


def _paths(motion: Motion, radii: Doubles, each: Doubles, tried: Doubles) -> list[Path]:
    """The paths of the things of ``motion``, beginning apart; ``tried`` (starts, 2, 2): random numbers for that."""
    ways = []
    for slot, thing in enumerate(motion.things):
        low, velocity = radii[slot] + MARGIN, _velocity(thing, *each[slot, :2])
        ahead = velocity * CALM[thing.speed or ""]
        nearest, farthest = np.maximum(low, low - ahead), np.minimum(1 - low, 1 - low - ahead)
        ways.append((nearest + (farthest - nearest) * tried[:, slot], velocity, low))
    (first, velocity, _), (second, other, _) = ways[0], ways[-1]
    shifts = np.multiply.outer(_APART, velocity - other)  # of the first as the second sees it
    gaps = np.abs(first[:, None] - second[:, None] + shifts).max(2).min(1)  # where an empty line is between them
    best = np.minimum(gaps, radii.sum() + GAP).argmax()  # the first that are apart, else the farthest
    return [Path(tuple(starts[best].tolist()), tuple(velocity.tolist()), float(low)) for starts, velocity, low in ways]


def _velocity(thing: Mover, tilt: float, pace: float) -> Doubles:
    """(x, y) in sides a second; ``tilt`` and ``pace`` in 0..1."""
    x, y = DIRECTIONS[thing.direction or ""]
    angle = np.arctan2(y, x) + np.radians(TILT * (2 * tilt - 1))
    slowest, fastest = SPEEDS[thing.speed or ""]
    return (slowest + pace * (fastest - slowest)) * np.array([np.cos(angle), np.sin(angle)])


def _paint(
    motions: Sequence[Motion], tracks: Floats, radii: Floats, grounds: Floats, tints: Floats, size: int
) -> NDArray[np.uint8]:
    """Clips of things whose centres are ``tracks`` (clips, 2, frames, 2) on ``grounds`` (clips, 3)."""
    clips, _, frames, _ = tracks.shape
    pictures = np.broadcast_to(grounds[:, None, :, None, None], (clips, frames, 3, size, size)).copy()
    for slot in (1, 0):
        rows = [row for row, motion in enumerate(motions) if len(motion.things) > slot]
        things = [motions[row].things[slot] for row in rows]
        shapes = [thing.shape or "" for thing in things for _ in range(frames)]
        centres = tracks[rows, slot].reshape(-1, 2)
        covered = coverage(shapes, centres, np.repeat(radii[rows, slot], frames), size)
        covered = covered.reshape(len(rows), frames, 1, size, size)
        palette = np.array([COLOURS[thing.colour or ""] for thing in things], np.float32).reshape(-1, 3)
        pictures[rows] += covered * ((palette + tints[rows, slot])[:, None, :, None, None] - pictures[rows])
    return np.rint(pictures.clip(0, 255)).astype(np.uint8)
