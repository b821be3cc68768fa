"""How far is a voice that was added to a model on the way from the model's other voices to the real one?"""

from collections.abc import Sequence

from torch import Tensor

from genai.core.errors import short_text
from genai.metrics.audio.spoken_texts import SPEAKER, SpokenText
from genai.metrics.audio.voice_encoder import VoiceEncoder
from genai.metrics.base import EvalContext, Result
from genai.metrics.intervals import bootstrap_ratio
from genai.modalities.optional import added_voice

MAX_OTHER_VOICES = 4
"""Voices of the base that read the same texts."""
CLONE = 0.5
"""Least value of a voice that is called a clone."""


def speaker_match(
    context: EvalContext,
    encoder: VoiceEncoder,
    texts: Sequence[SpokenText],
    center: Tensor,
    cosines: tuple[Tensor, Tensor],
    judge: str,
) -> Result | None:
    """Return the place of an added voice between the nearest other voice of the model, 0, and real clips, 1.

    Args:
        context: of the evaluation.
        encoder: of voices.
        texts: that were read, all of the same speaker.
        center: (d,), of the speaker.
        cosines: with the center, of samples and of real clips, (texts,) each.
        judge: which encoder it is, for people.

    Returns:
        ``None``: no voice was added to the model, or another one reads.
    """
    name, others = added_voice(context.model.modality)
    if name is None or {each.speaker for each in texts} - {"", name} or SPEAKER in context.options:
        return None
    samples, real = cosines
    prompts = [each.text for each in texts]
    found = {
        other: encoder.embed_all(context.samples(prompts, **{SPEAKER: other}), f"voice {other}") @ center
        for other in others[:MAX_OTHER_VOICES]
    }
    nearest = max(found, key=lambda other: float(found[other].mean()))
    below = found[nearest]
    way = f"from the nearest other voice of the model, {short_text(nearest)} (0), to real held-out clips (1)"
    if real.mean() <= below.mean():
        return Result(None, f"the way {way}: real clips are no nearer to the speaker; {judge}")
    value = float((samples - below).mean() / (real - below).mean())
    low, high, error = bootstrap_ratio((samples - below).tolist(), (real - below).tolist(), context.seed)
    label = "a clone" if value >= CLONE else "below a half: a similar voice, not a clone"
    interval = f"95 % interval {low:.2f} to {high:.2f}"
    return Result(value, f"{label}; the part of the way {way}, {interval}; {judge}", error, 1.0)
