"""Overviews of clips: filmstrips of frames side by side, and animated contact sheets."""

from collections.abc import Sequence

import numpy as np

from genai.media.clip import Clip
from genai.media.picture import Picture, contact_sheet

MAX_CLIPS = 32
"""Largest number of clips in one picture."""
MIN_FRAME_PIXELS, GAP_PIXELS = 96, 4
"""Approximate shorter side of an enlarged frame, and the gap between two frames, in pixels."""


def filmstrip(samples: Sequence[tuple[str, Clip]], max_frames: int = 8) -> Picture:
    """Draw one row of frames for each ``(prompt, clip)`` pair, above its prompt. All clips have the same frame size.

    A row has at most ``max_frames`` frames at about equal intervals, including the first and the last, enlarged.
    """
    samples = samples[:MAX_CLIPS]
    count = min(max_frames, max(len(clip.frames) for _, clip in samples))
    return contact_sheet([(prompt, _frame_row(clip, count)) for prompt, clip in samples], columns=1)


def animated_contact_sheet(samples: Sequence[tuple[str, Clip]]) -> bytes:
    """Return a looping animated PNG that plays ``(prompt, clip)`` pairs of one frame size side by side.

    It has the highest frame rate and the longest duration of all clips; a shorter clip stays on its last frame.
    """
    samples = samples[:MAX_CLIPS]
    fps = max(clip.fps for _, clip in samples)
    count = max(round(clip.seconds * fps) for _, clip in samples)
    times = [index / fps for index in range(count)]
    pictures = [contact_sheet([(prompt, _frame_at(clip, time)) for prompt, clip in samples]) for time in times]
    return Clip(np.stack([picture.pixels for picture in pictures]), fps).to_bytes(".png")


def _frame_at(clip: Clip, seconds: float) -> Picture:
    """Return the frame that is shown at that time."""
    return Picture(clip.frames[min(int(seconds * clip.fps + 1e-6), len(clip.frames) - 1)])


def _frame_row(clip: Clip, count: int) -> Picture:
    """Draw ``count`` frames side by side, padded with white if the clip has fewer."""
    scale = max(1, MIN_FRAME_PIXELS // min(clip.frames.shape[1:3]))
    indices = np.linspace(0, len(clip.frames) - 1, min(count, len(clip.frames))).round().astype(int)
    frames = clip.frames[indices]
    frames = np.broadcast_to(frames, (*frames.shape[:3], 3)).repeat(scale, 1).repeat(scale, 2)
    white = np.full((count - len(frames), *frames.shape[1:]), 255, np.uint8)
    padded = np.pad(np.concatenate([frames, white]), ((0, 0), (0, 0), (0, GAP_PIXELS), (0, 0)), constant_values=255)
    return Picture(np.concatenate(list(padded), 1)[:, :-GAP_PIXELS].copy())
