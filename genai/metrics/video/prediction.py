"""How well are real clips continued from their first frames, beside a film that stands still? In dB and SSIM."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.video.clips import Films, check_rate, long_enough, real, stacked

GIVEN = 4
"""The share of a clip that is given is one over this."""
MOST = 64
"""Clips that are continued, however many samples are wanted: each is made by itself."""
LEAST_SIDE = 11
"""Pixels of the window of SSIM."""


class Prediction(Metric):
    """PSNR, and SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861), of how held-out clips go on for a model.

    The first quarter of a clip is given, with its prompt, and does not count. Where there are several ways to go on, a
    sample takes one of them, and the blurred mean of all would score higher: the figures tell whether what is given
    decides what comes, not whether that looks real.
    """

    media = Clip

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``prediction_psnr`` and, of frames that are large enough, ``prediction_ssim``.

        What the last given frame scores, standing, is said with each.
        """
        modality: Any = study.model.modality
        check_rate(study)
        frames = int(study.options.get("frames") or modality.frames)
        if frames < 2:
            raise UserError(f"'prediction' needs clips of 2 frames or more, not {frames}: frames=.")
        given, limit = max(1, frames // GIVEN), min(study.n, MOST)
        clips = real(study.val, frames, limit)
        said = [cast(Films, study.val).prompts[index] for index in long_enough(study.val, frames, limit)]
        ours = _continued(study, clips, said, given)
        theirs = clips[:, given : given + ours.shape[1]]
        still = clips[:, given - 1 : given].expand_as(theirs)
        about = f"of {theirs.shape[1]} frames after the {given} given ones of {len(clips)} held-out clips"
        figures = {"prediction_psnr": _figure(_psnr(ours, theirs), _psnr(still, theirs), f"PSNR in dB {about}")}
        if min(clips.shape[-2:]) >= LEAST_SIDE:
            figures["prediction_ssim"] = _figure(_ssim(ours, theirs), _ssim(still, theirs), f"SSIM {about}")
        return figures


def _continued(study: EvalContext, clips: Tensor, prompts: list[str], given: int) -> Tensor:
    """What comes behind the first ``given`` frames of each of ``clips``, no longer than these.

    Raises ``UserError`` where a model makes none of it.
    """
    modality: Any = study.model.modality
    options = {**study.options, "frames": clips.shape[1]}
    made: list[Any] = []
    with ProgressBar("continued clips", len(clips)) as bar:
        for number, (clip, prompt) in enumerate(zip(clips, prompts, strict=True)):
            init = Clip(np.ascontiguousarray(clip[:given].permute(0, 2, 3, 1).numpy()), modality.fps)
            made += study.model.sample(prompt, seed=study.seed + number, init=init, **options)
            bar.step()
    ours = stacked(made)[:, given : clips.shape[1]]
    if not ours.shape[1]:
        raise UserError("'prediction' is of models that continue a clip, and this one adds nothing to what is given.")
    return ours


def _psnr(ours: Tensor, theirs: Tensor) -> Tensor:
    """(clips,) dB, means over frames; of equal frames what one level of one pixel would give."""
    least = 1 / ours[0, 0].numel()
    squares = (ours.double() - theirs.double()).square().mean((2, 3, 4)).clamp(min=least)
    return (10 * torch.log10(255**2 / squares)).mean(1)


def _ssim(ours: Tensor, theirs: Tensor) -> Tensor:
    """(clips,) means over frames."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    pairs = zip(ours.float(), theirs.float(), strict=True)
    return torch.stack([cast(Tensor, structural_similarity_index_measure(*pair, data_range=255.0)) for pair in pairs])


def _figure(values: Tensor, copied: Tensor, about: str) -> Result:
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
    return Result(float(values.mean()), f"{about}; the last given frame, standing: {float(copied.mean()):.3f}", error)
