"""Frechet distance of clips, on features of a network that detects corruptions. This is not FVD."""

import hashlib

import torch
from torch import Tensor

from genai.core.batch import batch_ranges
from genai.core.cache import cache_key
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.frechet import frechet_result
from genai.metrics.probe import cached_probe
from genai.metrics.video.classifier import CACHE_VERSION, ClipClassifier, train_clip_classifier
from genai.metrics.video.clips import real_clips, sample_clips, shrink

MAX_SIDE_PIXELS = 32
"""Larger frames are downscaled to this side."""
MAX_FRAMES = 16
"""Frames of a clip that are compared, from its start."""
MAX_TRAIN_ITEMS = 2_000
"""Maximum number of training clips that the classifier is trained on, evenly spaced."""
BATCH_SIZE = 64


class FrechetVideo(Metric):
    """Frechet distance between features of samples and of held-out clips; the reference is that of real clips.

    The features are those of a small 3-D convolutional network. It is trained on the user's own training clips to tell
    real clips from shuffled, stuttering, frozen, reversed, switched, noisy, blurred or flickering ones. Features that
    are trained on the content of frames, or not trained, are nearly blind to the first four of these (Ge et al. 2024,
    arXiv:2404.12391). So this distance measures corruption rather than content. It cannot be compared with FVD, nor
    between data sets, only with its reference value.
    """

    media = Clip

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``frechet``."""
        samples = sample_clips(context)[:, :MAX_FRAMES]
        num_frames = samples.shape[1]
        clips = shrink(samples, MAX_SIDE_PIXELS)
        held_out = shrink(real_clips(context.val, num_frames, 2 * len(samples)), MAX_SIDE_PIXELS)
        network = cached_classifier(context, num_frames)
        features = clip_features(network, clips), clip_features(network, held_out)
        return {"frechet": frechet_result(*features, context.seed, "a classifier of corruptions")}


def cached_classifier(context: EvalContext, num_frames: int) -> ClipClassifier:
    """Return the classifier for the first frames of the training clips; it is trained if it is not in the cache."""
    device = context.model.method.device
    clips = shrink(real_clips(context.train, num_frames, MAX_TRAIN_ITEMS), MAX_SIDE_PIXELS)
    content_hash = hashlib.sha256(clips.numpy().tobytes()).hexdigest()
    key = cache_key("film_judge", CACHE_VERSION, list(clips.shape), content_hash)
    build, train = lambda: ClipClassifier(clips.shape[2]), lambda: train_clip_classifier(clips.to(device))
    return cached_probe(key, build, train, device)


@torch.no_grad()
def clip_features(network: ClipClassifier, clips: Tensor) -> Tensor:
    """Compute features (clips, features) of (clips, time, channels, height, width) in 0..1, in batches."""
    device = next(network.parameters()).device
    batches = batch_ranges(len(clips), BATCH_SIZE)
    return torch.cat([network.features(clips[rows.start : rows.stop].to(device)) for rows in batches])
