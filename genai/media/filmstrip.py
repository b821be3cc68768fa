"""Clips to look at without a player: frames side by side on one picture, and many clips playing on one animated PNG."""

from collections.abc import Sequence

import numpy as np

from genai.media.clip import Clip
from genai.media.picture import Picture, contact_sheet

SHOWN = 32
"""The most clips of one picture."""
SEEN, GAP = 96, 4
"""Pixels of the shorter side of a frame, about, and between two frames."""


def filmstrip(samples: Sequence[tuple[str, Clip]], most: int = 8) -> Picture:
    """A row for each of the ``(prompt, clip)`` pairs of one frame size, over its prompt.

    In it are at most ``most`` frames at about equal intervals, the first and the last among them, enlarged to be seen.
    """
    samples = samples[:SHOWN]
    length = max(len(clip.frames) for _, clip in samples)
    return contact_sheet([(prompt, _strip(clip, min(most, length))) for prompt, clip in samples], columns=1)


def animated(samples: Sequence[tuple[str, Clip]]) -> bytes:
    """An animated PNG, without end, of the ``(prompt, clip)`` pairs of one frame size side by side, over their prompts.

    It is as fast as the fastest of them and as long as the longest; a shorter one rests on its last frame.
    """
    samples = samples[:SHOWN]
    fps = max(clip.fps for _, clip in samples)
    count = max(round(clip.seconds * fps) for _, clip in samples)
    sheets = [contact_sheet([(prompt, _at(clip, number / fps)) for prompt, clip in samples]) for number in range(count)]
    return Clip(np.stack([sheet.pixels for sheet in sheets]), fps).to_bytes(".png")


def _at(clip: Clip, seconds: float) -> Picture:
    """What is shown then."""
    return Picture(clip.frames[min(int(seconds * clip.fps + 1e-6), len(clip.frames) - 1)])


def _strip(clip: Clip, count: int) -> Picture:
    """``count`` frames side by side; white where there are not as many."""
    scale = max(1, SEEN // min(clip.frames.shape[1:3]))
    chosen = np.linspace(0, len(clip.frames) - 1, min(count, len(clip.frames))).round().astype(int)
    large = np.broadcast_to(clip.frames[chosen], (*clip.frames[chosen].shape[:3], 3)).repeat(scale, 1).repeat(scale, 2)
    white = np.full((count - len(large), *large.shape[1:]), 255, np.uint8)
    spaced = np.pad(np.concatenate([large, white]), ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return Picture(np.concatenate(list(spaced), 1)[:, :-GAP].copy())
