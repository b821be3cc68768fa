"""Is the sound of clips that a model made in sync with them? Where notes begin, beside the bounces that are seen."""

import numpy as np
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.inference.soundtrack import with_sounds
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Metric, Result, share
from genai.toy.data.video import ToyVideo
from genai.toy.metrics.onsets import Heard, compared
from genai.toy.metrics.video import pairs
from genai.toy.world.motion import parse
from genai.toy.world.soundtrack import score
from genai.toy.world.video_oracle import watch


class Bounces(Metric):
    """Onsets of the soundtracks that another model, ``sound=``, makes of samples, as ``onsets`` has them.

    Prompts are fresh captions of held-out combinations. What should be heard are the bounces of the path that the
    world's watcher, which the model of sounds does not know, fits to a sample. Where none comes close, nobody can say
    when it bounces, and it does not count. Beside: the same of real clips of these prompts, made and counted alike.
    """

    source = ToyVideo
    hears = True

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``onset_f1``, ``onset_f1_shuffled``, ``onset_note``; ``clips_counted``; ``bounces_counted``."""
        if study.sound is None:
            raise UserError("'bounces' hears what a model of soundtracks makes of samples: say which with sound=RUN.")
        prompts = study.source.prompts(study.source.val, study.n, study.seed)
        made, real, fps = pairs(study, prompts, [parse(prompt) for prompt in prompts])
        (ours, counted), (theirs, beside) = (self._heard(study, clips, fps) for clips in (made, real))
        bounces, real_bounces = (sum(map(len, heard.scores)) for heard in (ours, theirs))
        of = f"{len(ours.scores)} samples, as the oracle sees them; silence has 0"
        return {
            **compared(ours, theirs, of),
            "clips_counted": share(counted, f"share of {study.n} samples on a path that can be told", beside),
            "bounces_counted": Result(bounces, "bounces of these samples", beside=real_bounces),
        }

    def _heard(self, study: EvalContext, clips: NDArray[np.uint8], fps: float) -> tuple[Heard, list[bool]]:
        """The soundtracks of those of ``clips`` (clips, time, 3, side, side) that count, and which ones do."""
        seen = watch(clips, fps)
        counted = [each.on_path for each in seen]
        films = [Clip(np.ascontiguousarray(clip.transpose(0, 2, 3, 1)), fps) for clip in clips[counted]]
        seeds = [study.seed + number for number in np.flatnonzero(counted).tolist()]
        made = list(with_sounds(study.sound, films, seeds)) if study.sound else []
        scores = [score(each.motion, each.bounces) for each in seen if each.on_path and each.motion]
        return Heard([clip.sound for clip in made], scores), counted
