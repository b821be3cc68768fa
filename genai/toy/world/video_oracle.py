"""The oracle for clips: watches what moves, by rules, and says which attributes of a prompt a clip fulfils.

The oracle for pictures reads every frame by itself. Shape and colour are those of most frames; the path is the one
between the walls that comes closest to all centres at once, and its velocity at the first frame names direction and
speed. So a clip whose frames are in another order, stand still or take twice the time is not what it was.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from genai.toy.world.draw import MARGIN, PAIR
from genai.toy.world.image_oracle import Reading, read
from genai.toy.world.motion import ATTRIBUTES, DIRECTIONS, SPEEDS, Motion, Mover
from genai.toy.world.scene import Thing
from genai.toy.world.trajectories import RADIUS, Bounce, Path, fold

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Spot = tuple[Thing, tuple[float, float]]
"""A thing in a frame, and its centre."""

LEAST_AGREEMENT = 0.9
"""Share of the frames that must show one and the same thing, or pair: 15 of 16."""
MOST_STRAY = 0.03
"""Root mean square distance from the path, as a share of the side, of what moves in the world's way: 1 pixel of 32."""
MOST_IDLE = 0.2
"""Share of the time in which a thing may stand: it does where it turns round between two frames."""
LEAST_FRAMES = 0.25
"""Share of the frames in which something has to be read for there to be something: two things may hide each other."""
BANDS = {"slow": (0.108, 0.274), "fast": (0.274, 0.65)}
"""Sides a second that count as a speed: geometric means between a speed and the next, half of "slow", twice "fast"."""

_FASTEST = 0.8  # sides a second
_PRECISION = 0.008  # of a side, at the last frame: a quarter of a pixel of 32
_ANCHORS = 3
_OUTSIDE = 0.03
_ROUNDS = 3


@dataclass(frozen=True)
class Seen:
    """What is to be seen in a clip.

    Attributes:
        motion: of things that stand or creep, direction and speed are ``None``; of those that race, the speed. Of two
            things the first is the left or the upper one where they are first seen. None: nothing that can be read.
        stray: root mean square distance of the centres from the paths, as a share of the side.
        idle: share of the eighths of a second in which a thing covers less than a quarter of its way; of two things
            that of the one that stands longer.
        agreement: share of the frames that show the shapes and colours of ``motion``; of two things, of the frames in
            which their paths are apart.
        speeds: of each thing, in pixels a frame.
        bounces: of the paths, in the order of time.
    """

    motion: Motion | None
    stray: float = float("inf")
    idle: float = 1.0
    agreement: float = 0.0
    speeds: tuple[float, ...] = ()
    bounces: tuple[Bounce, ...] = ()

    @property
    def on_path(self) -> bool:
        """Whether all things move as the world's do: straight on from wall to wall, and all the time."""
        moves = self.motion is not None and all(thing.direction for thing in self.motion.things)
        return moves and self.stray <= MOST_STRAY and self.idle <= MOST_IDLE


def watch(clips: NDArray[np.uint8] | NDArray[np.floating], fps: float = 8) -> list[Seen]:
    """What is seen in ``clips`` (batch, frames, 3, side, side) in 0..255, of ``fps`` frames a second.

    Two things of the same shape and colour that meet may be taken for each other afterwards.

    Raises:
        ValueError: another shape; a single frame, in which nothing can move.
    """
    if clips.ndim != 5 or clips.shape[2] != 3 or clips.shape[3] != clips.shape[4] or clips.shape[1] < 2:
        raise ValueError(f"clips of shape {clips.shape}: it should be (batch, frames, 3, side, side), 2 frames or more")
    return [_watch(read(clip.transpose(0, 2, 3, 1)), clips.shape[-1], fps) for clip in clips]


def fulfilled(asked: Motion, seen: Seen) -> dict[str, bool]:
    """Whether a clip has what was asked for: an entry for each attribute that ``asked`` sets, and two more.

    ``identity`` is right when the things keep shape and colour, ``path`` when they are ``on_path``. Which of two things
    is meant is decided by shape and colour, then by the rest.
    """
    names = [name for name in ATTRIBUTES if any(getattr(thing, name) for thing in asked.things)]
    if seen.motion is None or len(seen.motion.things) != len(asked.things):
        return dict.fromkeys([*names, "identity", "path"], False)

    def fits(order: Sequence[Mover]) -> dict[str, list[bool]]:
        pairs = list(zip(asked.things, order, strict=True))
        return {name: [getattr(a, name) in (None, getattr(b, name)) for a, b in pairs] for name in names}

    def merit(fit: dict[str, list[bool]]) -> tuple[int, int]:
        counts = {name: sum(each) for name, each in fit.items()}
        return counts.get("shape", 0) + counts.get("colour", 0), sum(counts.values())

    best = max((fits(order) for order in permutations(seen.motion.things)), key=merit)
    result = {name: all(each) for name, each in best.items()}
    return result | {"identity": seen.agreement >= LEAST_AGREEMENT, "path": seen.on_path}


def all_right(asked: Motion, seen: Seen) -> bool:
    """Whether as many things were seen as were asked for, with all that was, each moving as one thing."""
    return all(fulfilled(asked, seen).values())


def _watch(readings: Sequence[Reading], side: int, fps: float) -> Seen:
    """What is seen in one clip, whose frames are ``readings``."""
    counts = np.array([len(reading.scene.things) if reading.scene else 0 for reading in readings])
    enough = max(2, LEAST_FRAMES * len(counts))
    things = next((count for count in (2, 1) if (counts == count).sum() >= enough), 0)
    if not things:
        return Seen(None)
    kept = np.flatnonzero(counts == things)
    radius = RADIUS * (PAIR if things == 2 else 1)
    lines = _follow([readings[frame] for frame in kept.tolist()])
    tracks = [_track(line, kept, radius + MARGIN, fps) for line in lines]
    paths = [track.path for track in tracks]
    right = np.zeros(len(counts), bool)
    right[kept] = np.all([track.right for track in tracks], 0)
    apart = _apart(paths, np.arange(len(counts)) / fps, 2 * radius + 2 / side)
    until = (len(counts) - 1) / fps
    return Seen(
        Motion(tuple(track.mover for track in tracks)),
        float(np.sqrt(np.mean([track.error for track in tracks]))),
        max(track.idle for track in tracks),
        float(right[apart].mean()) if apart.any() else 0.0,
        tuple(float(np.hypot(*path.velocity)) * side / fps for path in paths),
        tuple(sorted(bounce for i, path in enumerate(paths) for bounce in path.bounces(until, i))),
    )


def _apart(paths: Sequence[Path], times: Doubles, least: float) -> Bools:
    """Whether at ``times`` an empty row or column can be between two things; of one thing, always."""
    places = [path.at(times) for path in paths]
    return (np.abs(places[0] - places[-1]).max(1) > least) | (len(paths) == 1)


# One thing from frame to frame.


def _follow(readings: Sequence[Reading]) -> list[list[Spot]]:
    """The spots of each thing: those of a frame go to the tracks that they are nearest to, in kind and in place."""

    def cost(spots: Sequence[Spot], before: Sequence[Spot]) -> float:
        total = 0.0
        for (thing, centre), (former, place) in zip(spots, before, strict=True):
            total += 0.5 * ((thing.shape != former.shape) + (thing.colour != former.colour))
            total += float(np.hypot(centre[0] - place[0], centre[1] - place[1]))
        return total

    frames: list[Sequence[Spot]] = []
    for reading in readings:
        spots = list(zip(reading.scene.things if reading.scene else (), reading.centres, strict=True))
        orders = [spots] if not frames or len(spots) == 1 else list(permutations(spots))
        frames.append(min(orders, key=lambda order: cost(order, frames[-1] if frames else order)))
    return [list(track) for track in zip(*frames, strict=True)]


@dataclass(frozen=True)
class _Track:
    """A thing over several frames; ``error`` is the mean square of its distance from its path."""

    mover: Mover
    path: Path
    error: float
    idle: float
    right: Bools
    """(frames,): whether it has the shape and the colour of ``mover``."""


def _track(spots: Sequence[Spot], frames: NDArray[np.int64], low: float, fps: float) -> _Track:
    """The thing that is at ``spots``, one in each of ``frames``."""
    places = np.array([centre for _, centre in spots])
    path = _fit(frames / fps, places, low)
    error = ((path.at(frames / fps) - places) ** 2).sum(1).mean()
    lag = max(1, round(fps / 8))
    steps, spans = places[lag:] - places[:-lag], (frames[lag:] - frames[:-lag]) / fps
    stands = np.hypot(*steps.T) < np.hypot(*path.velocity) * spans / 4
    shapes, colours = ([getattr(thing, name) for thing, _ in spots] for name in ("shape", "colour"))
    shape, colour = (Counter(values).most_common(1)[0][0] for values in (shapes, colours))
    right = np.array([(thing.shape, thing.colour) == (shape, colour) for thing, _ in spots])
    mover = Mover(shape, colour, *_names(path))
    return _Track(mover, path, float(error), float(stands.mean()) if len(stands) else 1.0, right)


def _names(path: Path) -> tuple[str | None, str | None]:
    """Direction and speed, as far as they have names."""
    x, y = path.velocity
    pace = np.hypot(x, y)
    if pace < BANDS["slow"][0]:
        return None, None
    direction = max(DIRECTIONS, key=lambda name: np.dot(DIRECTIONS[name], (x, y)) / np.hypot(*DIRECTIONS[name]))
    return direction, next((name for name in SPEEDS if BANDS[name][0] <= pace < BANDS[name][1]), None)


def _fit(times: Doubles, places: Doubles, low: float) -> Path:
    """The path that comes closest to ``places`` (times, 2).

    Each axis is guessed by trial. With the bounces of a guess, what is seen is linear in start, velocity and ``low``
    (of which only the nominal value is known): after k walls, x + v t + 2 k low is k + c, or k + 1 - c for odd k.
    """
    guesses = np.array([_guess(times, line, low) for line in places.T])
    for _ in range(_ROUNDS):
        rows, values = [], []
        for axis, (start, rate) in enumerate(guesses):
            walls = np.floor((start + rate * times - low) / (1 - 2 * low))
            row = np.zeros((len(times), 5))
            row[:, 2 * axis : 2 * axis + 2] = np.stack([np.ones(len(times)), times], 1)
            row[:, 4] = 2 * walls
            rows.append(row)
            values.append(walls + np.where(walls % 2, 1 - places[:, axis], places[:, axis]))
        rows.append(np.eye(5)[4:])
        solution = np.linalg.lstsq(np.concatenate(rows), np.append(np.concatenate(values), low), rcond=None)[0]
        guesses, low = solution[:4].reshape(2, 2), float(solution[4])
    starts, velocity = guesses.T
    inside = starts.clip(low, 1 - low)
    mirrored = (starts - inside) * velocity > 0  # begins behind a wall and leaves it: the same seen from inside
    inside, velocity = np.where(mirrored, fold(starts, low), inside), np.where(mirrored, -velocity, velocity)
    return Path(tuple(inside.tolist()), tuple(velocity.tolist()), low)


def _guess(times: Doubles, line: Doubles, low: float) -> tuple[float, float]:
    """Start and velocity on one axis: of many velocities through the first places, the one that fits ``line`` best."""
    step = _PRECISION / (times[-1] - times[0])
    rates = np.arange(-_FASTEST, _FASTEST + step, step)
    starts = line[:_ANCHORS, None] - rates * times[:_ANCHORS, None]
    errors = np.abs(fold(starts[..., None] + rates[:, None] * times, low) - line).mean(2)
    errors[(starts < low - _OUTSIDE) | (starts > 1 - low + _OUTSIDE)] = np.inf
    anchor, rate = np.unravel_index(errors.argmin(), errors.shape)
    return float(starts[anchor, rate]), float(rates[rate])
