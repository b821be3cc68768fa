"""Synchrony of generated soundtracks with generated clips: onsets are compared with the detected bounces."""

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.inference.soundtrack import add_soundtracks
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.onsets import SoundtrackDetection, onset_results
from genai.toy.metrics.video import sample_and_real_clips
from genai.toy.world.motion import parse_motion
from genai.toy.world.soundtrack import bounce_notes
from genai.toy.world.video_oracle import detect_motions


class SoundtrackOnsets(Metric):
    """Results of ``OnsetF1`` for the soundtracks that a second model, ``soundtrack=``, generates for samples.

    Prompts are new captions of held-out combinations. The target times are the bounces of the path that the video
    oracle, which is independent of the soundtrack model, fits to a sample. Samples that are not on such a path are left
    out, because their bounces are unknown. The reference is real clips of the same prompts, with soundtracks of the
    same model.
    """

    source = ToyVideo
    required_part = "soundtrack"

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return the results of ``OnsetF1``, ``clips_counted`` and ``bounces_counted``."""
        if "soundtrack" not in context.model.parts:
            raise UserError("'soundtrack_onsets' needs a soundtrack model: soundtrack=RUN.")
        prompts = context.source.prompts(context.source.val, context.n, context.seed)
        clips, real_clips, fps = sample_and_real_clips(context, prompts, [parse_motion(prompt) for prompt in prompts])
        samples, on_path = self._detect_soundtracks(context, clips, fps)
        real, real_on_path = self._detect_soundtracks(context, real_clips, fps)
        num_bounces, num_real_bounces = (sum(map(len, detection.notes)) for detection in (samples, real))
        clips_label = f"{len(samples.notes)} samples, as the oracle sees them; silence has 0"
        return {
            **onset_results(samples, real, clips_label),
            "clips_counted": proportion_result(
                on_path, f"share of {context.n} samples on a path that the oracle can detect", real_on_path
            ),
            "bounces_counted": Result(num_bounces, "bounces of these samples", reference=num_real_bounces),
        }

    def _detect_soundtracks(
        self, context: EvalContext, pixels: NDArray[np.uint8], fps: float
    ) -> tuple[SoundtrackDetection, list[bool]]:
        """Generate soundtracks of clips (clips, time, 3, side, side); also return which clips are on a path."""
        motions = detect_motions(pixels, fps)
        on_path = [motion.on_path for motion in motions]
        clips = [Clip(np.ascontiguousarray(clip.transpose(0, 2, 3, 1)), fps) for clip in pixels[on_path]]
        seeds = [context.seed + number for number in np.flatnonzero(on_path).tolist()]
        with_sound = list(add_soundtracks(context.model.parts["soundtrack"], clips, seeds))
        notes = [bounce_notes(each.motion, each.bounces) for each in motions if each.on_path and each.motion]
        return SoundtrackDetection([clip.sound for clip in with_sound], notes), on_path
