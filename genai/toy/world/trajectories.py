"""Clips of motions: flat shapes that move in straight lines, bounce off the walls and pass through each other.

Two things pass through each other, the first in front. A collision would change the directions that the caption names,
and things that move in straight lines cannot avoid each other for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import MARGIN, MIN_GAP, PAIR_SCALE, coverage
from genai.toy.world.motion import DIRECTIONS, SPEEDS, Motion, MovingThing
from genai.toy.world.scene import COLORS, SIZES

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

RADIUS = SIZES["small"]
"""As a fraction of the side; ``PAIR_SCALE`` scales it down for two things in one clip."""
BOUNCE_FREE_SECONDS = {"slow": 1.0, "fast": 0.625}
"""Seconds without a bounce at the start: 8 and 5 frames at 8 fps, so that each clip shows its directions."""
MAX_ANGLE_OFFSET_DEGREES = 6.0
"""Largest angle between the velocity of a thing and its nominal direction."""

_CLIP_RANDOMS, _THING_RANDOMS = 4, 6  # random numbers per clip, and per thing
_START_CANDIDATES = 24  # start positions that are tried until two things are separated
_SEPARATION_SECONDS = (0.0, 0.25, 0.5)  # times at which two things should be separated
_CHUNK_CLIPS = 16


class Bounce(NamedTuple):
    """A bounce of thing number ``thing`` at ``time`` in seconds off the "left", "right", "top" or "bottom" ``wall``."""

    time: float
    thing: int
    wall: str


@dataclass(frozen=True)
class Path:
    """Trajectory of a thing. Lengths are fractions of the side, from the upper left corner.

    Attributes:
        start: (x, y) of the center at time 0.
        velocity: (x, y) at time 0, per second.
        margin: distance between a wall and the nearest center: x and y stay in [margin, 1 - margin].
    """

    start: tuple[float, float]
    velocity: tuple[float, float]
    margin: float

    def positions(self, times: Doubles) -> Doubles:
        """Return (times, 2): x and y of the center at ``times`` in seconds."""
        return reflect(np.array(self.start) + times[:, None] * np.array(self.velocity), self.margin)

    def bounces(self, until: float, thing: int = 0) -> list[Bounce]:
        """Return the bounces after time 0, up to ``until`` in seconds, as bounces of ``thing``."""
        bounces = []
        wall_names = ("left", "right"), ("top", "bottom")
        for start, velocity, names in zip(self.start, self.velocity, wall_names, strict=True):
            # Unfold the path: it crosses a wall at each integer, in units of the distance between the walls.
            span = 1 - 2 * self.margin
            first, last = ((start + velocity * time - self.margin) / span for time in (0, until))
            low, high = sorted((first, last))
            for number in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                if velocity and number != first:
                    bounces.append(Bounce((number - first) * span / velocity, thing, names[number % 2]))
        return sorted(bounces)


def reflect(positions: Doubles, margin: float) -> Doubles:
    """Fold unbounded ``positions`` into [margin, 1 - margin] by reflection at both ends."""
    span = 1 - 2 * margin
    return margin + np.abs((positions - margin + span) % (2 * span) - span)


def render_clips(
    motions: Sequence[Motion], rng: np.random.Generator, size: int = 32, frames: int = 16, fps: float = 8
) -> tuple[NDArray[np.uint8], list[list[Bounce]]]:
    """Render clips of complete motions.

    Args:
        motions: one per clip.
        rng: each clip takes the same number of random numbers, so the first clips do not depend on later ones.
        size: side in pixels; at least 16. Paths do not depend on ``size``, ``frames`` and ``fps``.
        frames: frames per clip.
        fps: frames per second.

    Returns:
        (motions, frames, 3, size, size), and the bounces of each clip up to its last frame, sorted by time.

    Raises:
        ValueError: for a motion with a free attribute, less than 16 pixels, no frames, or ``fps`` not above 0.
    """
    if size < 16 or frames < 1 or not fps > 0:
        raise ValueError(f"size={size}, frames={frames}, fps={fps}: at least 16 pixels, 1 frame, and more than 0 fps")
    if incomplete := next((motion for motion in motions if not motion.is_complete), None):
        raise ValueError(f"only complete motions can be rendered; this one has free attributes: {incomplete}")
    random = rng.random((len(motions), _CLIP_RANDOMS + 2 * _THING_RANDOMS + 4 * _START_CANDIDATES))
    clip_random, thing_random, start_random = np.split(random, [_CLIP_RANDOMS, _CLIP_RANDOMS + 2 * _THING_RANDOMS], 1)
    background = 15 + 30 * clip_random[:, :1] + 12 * clip_random[:, 1:] - 6
    thing_random = thing_random.reshape(-1, 2, _THING_RANDOMS)
    start_random = start_random.reshape(-1, _START_CANDIDATES, 2, 2)
    scales = np.array([PAIR_SCALE if len(motion.things) == 2 else 1 for motion in motions])
    radius = RADIUS * scales[:, None] * (0.93 + 0.14 * thing_random[..., 2])
    color_offsets = (16 * thing_random[..., 3:] - 8).astype(np.float32)
    times = np.arange(frames) / fps
    clips = np.empty((len(motions), frames, 3, size, size), np.uint8)
    bounces: list[list[Bounce]] = []
    for start in range(0, len(motions), _CHUNK_CLIPS):
        chunk = slice(start, start + _CHUNK_CLIPS)
        arguments = zip(motions[chunk], radius[chunk], thing_random[chunk], start_random[chunk], strict=True)
        paths = [_sample_paths(*clip_arguments) for clip_arguments in arguments]
        tracks = np.zeros((len(paths), 2, frames, 2), np.float32)
        for track, clip_paths in zip(tracks, paths, strict=True):
            track[: len(clip_paths)] = [path.positions(times) for path in clip_paths]
            bounces.append(sorted(b for i, path in enumerate(clip_paths) for b in path.bounces(times[-1], i)))
        float_radius, float_background = radius[chunk].astype(np.float32), background[chunk].astype(np.float32)
        clips[chunk] = _render_frames(
            motions[chunk], tracks, float_radius, float_background, color_offsets[chunk], size
        )
    return clips, bounces


def _sample_paths(motion: Motion, radius: Doubles, thing_random: Doubles, start_random: Doubles) -> list[Path]:
    """Return the paths of the things of ``motion``, separated at the start.

    Args:
        motion: the motion of one clip.
        radius: (2,).
        thing_random: (2, random numbers).
        start_random: (candidates, 2, 2), for candidate start positions.
    """
    candidates = []
    for slot, thing in enumerate(motion.things):
        margin, velocity = radius[slot] + MARGIN, _thing_velocity(thing, *thing_random[slot, :2])
        free_path = velocity * BOUNCE_FREE_SECONDS[thing.speed or ""]
        low = np.maximum(margin, margin - free_path)
        high = np.minimum(1 - margin, 1 - margin - free_path)
        candidates.append((low + (high - low) * start_random[:, slot], velocity, margin))
    (first, first_velocity, _), (second, second_velocity, _) = candidates[0], candidates[-1]
    shifts = np.multiply.outer(_SEPARATION_SECONDS, first_velocity - second_velocity)
    distances = np.abs(first[:, None] - second[:, None] + shifts).max(2).min(1)  # larger one of x and y
    best = np.minimum(distances, radius.sum() + MIN_GAP).argmax()  # first separated candidate, else the farthest one
    return [
        Path(tuple(starts[best].tolist()), tuple(velocity.tolist()), float(margin))
        for starts, velocity, margin in candidates
    ]


def _thing_velocity(thing: MovingThing, angle_random: float, speed_random: float) -> Doubles:
    """Return (x, y) in sides per second, for random numbers in [0, 1]."""
    x, y = DIRECTIONS[thing.direction or ""]
    angle = np.arctan2(y, x) + np.radians(MAX_ANGLE_OFFSET_DEGREES * (2 * angle_random - 1))
    min_speed, max_speed = SPEEDS[thing.speed or ""]
    return (min_speed + speed_random * (max_speed - min_speed)) * np.array([np.cos(angle), np.sin(angle)])


def _render_frames(
    motions: Sequence[Motion], tracks: Floats, radius: Floats, background: Floats, color_offsets: Floats, size: int
) -> NDArray[np.uint8]:
    """Render clips of things with centers ``tracks`` (clips, 2, frames, 2) on ``background`` (clips, 3)."""
    clips, _, frames, _ = tracks.shape
    images = np.broadcast_to(background[:, None, :, None, None], (clips, frames, 3, size, size)).copy()
    for slot in (1, 0):
        rows = [row for row, motion in enumerate(motions) if len(motion.things) > slot]
        things = [motions[row].things[slot] for row in rows]
        shapes = [thing.shape or "" for thing in things for _ in range(frames)]
        centers = tracks[rows, slot].reshape(-1, 2)
        alpha = coverage(shapes, centers, np.repeat(radius[rows, slot], frames), size)
        alpha = alpha.reshape(len(rows), frames, 1, size, size)
        palette = np.array([COLORS[thing.color or ""] for thing in things], np.float32).reshape(-1, 3)
        images[rows] += alpha * ((palette + color_offsets[rows, slot])[:, None, :, None, None] - images[rows])
    return np.rint(images.clip(0, 255)).astype(np.uint8)
