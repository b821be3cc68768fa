"""Are the samples copies? How far each clip is from its nearest training clip, wherever in that it begins."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.data import PackedDataset
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.image.nearest import squared, summary
from genai.metrics.video.clips import Films, made, real, smaller

SIDE = 16
"""Pixels that frames are shrunk to."""
NUMBERS = 2**22
"""Of training clips that are compared at once."""


class NearestFilm(Metric):
    """Root-mean-square pixel distance to the nearest stretch of a training clip, of samples beside held-out clips.

    The samples are asked for with prompts of the held-out split, so that both sides show the same kind of thing.
    Samples that are much nearer than held-out clips are copies. Clips that are the same but a few pixels apart, or
    mirrored, are far from each other.
    """

    media = Clip
    of_training = True

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``nearest_film`` (mean) and ``nearest_film_low`` (5 % quantile), each beside that of held-out clips."""
        clips = made(study)
        held = real(study.val, clips.shape[1], study.n)
        distances = nearest_films(torch.cat([clips, held]), study.train, study.model.method.device)
        about = f"to the nearest training clip at {SIDE} pixels, RMS in 0..1"
        return summary("nearest_film", distances[: len(clips)], distances[len(clips) :], about)


def nearest_films(clips: Tensor, train: PackedDataset, device: torch.device) -> NDArray[np.float64]:
    """Root-mean-square distance in 0..1 of each clip to the nearest stretch of as many frames in ``train``.

    Args:
        clips: (clips, time, channels, height, width) uint8. Training clips that are shorter are left out.

    Raises:
        UserError: all of them are.
    """
    flat = smaller(clips, SIDE).flatten(1).to(device)
    best = torch.full((len(flat),), torch.inf, device=device)
    nearest = torch.zeros_like(flat)
    for stretches in _stretches(train, clips.shape[1], max(1, NUMBERS // flat.shape[1])):
        others = stretches.to(device)
        least, at = squared(flat, others).min(1)
        closer = least < best
        best = torch.where(closer, least, best)
        nearest[closer] = others[at[closer]]
    if best.isinf().any():
        raise UserError(f"'nearest_film' finds no training clip of {clips.shape[1]} frames: frames=.")
    # again without the rounding of matrix products, so that a copy is at 0
    return (flat.double() - nearest.double()).square().mean(1).sqrt().cpu().numpy()


def _stretches(train: PackedDataset, frames: int, rows: int) -> Iterator[Tensor]:
    """All stretches of ``frames`` frames, shrunk and flat, at most ``rows`` at once."""
    films, waiting = cast(Films, train), list[Tensor]()
    with ProgressBar("nearest training clips", len(train)) as bar:
        for index in range(len(films)):
            clip = smaller(torch.from_numpy(np.array(films.clip(index)))[None], SIDE)[0]
            waiting += [clip[start : start + frames].flatten() for start in range(len(clip) - frames + 1)]
            while len(waiting) >= rows or (waiting and index == len(films) - 1):
                yield torch.stack(waiting[:rows])
                del waiting[:rows]
            bar.step()
