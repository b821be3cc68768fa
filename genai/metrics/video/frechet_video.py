"""How far are samples from real clips, for a judge who knows what goes wrong with clips? Frechet, but not FVD."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from genai.core.batch import batch_ranges
from genai.core.cache import cache_dir, cache_key, cached_file
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.frechet import frechet
from genai.metrics.video.classifier import VERSION, FilmJudge, judge, learn
from genai.metrics.video.clips import made, real, smaller

SIDE = 32
"""Pixels that frames are shrunk to."""
LONGEST = 16
"""Frames that are judged, from the beginning."""
ITEMS = 2_000
"""Of the training split to learn from, at most, evenly spaced."""
AT_ONCE = 64


class FilmDistance(Metric):
    """The Frechet distance of a judge's features of samples to those of held-out clips.

    The judge is a small 3-D convolutional network that learns, from the user's own training clips, to tell whole ones
    from those that are shuffled, stuttering, frozen, backwards, switched, noisy, blurred or flickering. Features that
    are learnt from the content of frames, or not learnt at all, hardly see the first four of these (Ge et al. 2024,
    arXiv:2404.12391). So this distance is about damage, more than about content: it cannot be compared with the FVD
    of others, nor between data sets, and means something only beside that of real clips.
    """

    media = Clip

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``film_distance``."""
        samples = made(study)[:, :LONGEST]
        frames = samples.shape[1]
        clips, held = smaller(samples, SIDE), smaller(real(study.val, frames, 2 * len(samples)), SIDE)
        net = trained(study, frames)
        return {"film_distance": frechet(features(net, clips), features(net, held), study.seed, "a judge of damage")}


def trained(study: EvalContext, frames: int) -> FilmJudge:
    """The judge of the first ``frames`` of these training clips; trained where the cache does not have it yet."""
    device = study.model.method.device
    clips = smaller(real(study.train, frames, ITEMS), SIDE)
    content = hashlib.sha256(clips.numpy().tobytes()).hexdigest()
    key = cache_key("film_judge", VERSION, list(clips.shape), content)

    def write(path: Path) -> None:
        learn(clips.to(device), path)

    return judge(cached_file(cache_dir() / f"{key}.safetensors", write), clips.shape[2], device)


@torch.no_grad()
def features(net: FilmJudge, clips: Tensor) -> Tensor:
    """(clips, features) of (clips, time, channels, height, width) in 0..1."""
    device = next(net.parameters()).device
    parts = [net.features(clips[rows.start : rows.stop].to(device)) for rows in batch_ranges(len(clips), AT_ONCE)]
    return torch.cat(parts)
