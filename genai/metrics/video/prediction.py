"""Continuation of real clips from their first frames: PSNR and SSIM, with those of repeating the last given frame."""

from typing import Any, cast

import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.methods.psnr import psnr
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import check_frame_rate, clip_prompts, continue_clips, real_clips

INIT_DIVISOR = 4
"""One in so many frames of a clip is given to the model."""
MAX_CLIPS = 64
"""Maximum number of clips, whatever ``n`` is: each is generated separately."""
SSIM_WINDOW_PIXELS = 11


class ClipPrediction(Metric):
    """PSNR and SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861) of continuations of held-out clips.

    The model is given the first quarter of a clip and its prompt; these frames are not scored. If a clip can continue
    in several ways, a sample shows one of them, and the blurred mean of all would score higher. So these scores measure
    how well the given frames determine the continuation, not how real it looks.
    """

    media = Clip

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``prediction_psnr`` and, for frames that are large enough, ``prediction_ssim``.

        Each description has the score of repeating the last given frame.
        """
        modality: Any = context.model.modality
        check_frame_rate(context)
        num_frames = int(context.options.get("frames") or modality.frames)
        if num_frames < 2:
            raise UserError(f"'prediction' needs clips of 2 frames or more, not {num_frames}: frames=.")
        num_given, limit = max(1, num_frames // INIT_DIVISOR), min(context.n, MAX_CLIPS)
        clips = real_clips(context.val, num_frames, limit)
        predicted = continue_clips(context, clips, clip_prompts(context.val, num_frames, limit), num_given)
        if not predicted.shape[1]:
            raise UserError("'prediction' needs a model that continues clips; this one adds nothing to what is given.")
        target = clips[:, num_given : num_given + predicted.shape[1]]
        repeated = clips[:, num_given - 1 : num_given].expand_as(target)
        frames = f"of {target.shape[1]} frames after the {num_given} given ones of {len(clips)} held-out clips"
        scores = _frame_psnr(predicted, target), _frame_psnr(repeated, target)
        results = {"prediction_psnr": _score_result(*scores, f"PSNR in dB {frames}")}
        if min(clips.shape[-2:]) >= SSIM_WINDOW_PIXELS:
            ssim = _ssim(predicted, target), _ssim(repeated, target)
            results["prediction_ssim"] = _score_result(*ssim, f"SSIM {frames}")
        return results


def _frame_psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """PSNR in dB, averaged over frames: (clips,)."""
    return torch.stack([psnr(*pair).mean() for pair in zip(predicted, target, strict=True)])


def _ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """SSIM, averaged over frames: (clips,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pairs = zip(predicted.float(), target.float(), strict=True)
    return torch.stack([cast(Tensor, structural_similarity_index_measure(*pair, data_range=255.0)) for pair in pairs])


def _score_result(scores: Tensor, baseline: Tensor, description: str) -> Result:
    standard_error = float(scores.std() / len(scores) ** 0.5) if len(scores) > 1 else None
    description = f"{description}; of repeating the last given frame: {float(baseline.mean()):.3f}"
    return Result(float(scores.mean()), description, standard_error)
