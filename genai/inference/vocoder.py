"""Speech through a trained vocoder: a model of speech and a second one that makes the sound of its frames."""

from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.inference.known_prompts import describe_model
from genai.inference.model import Model
from genai.inference.part import load_part
from genai.methods.base import check_output
from genai.methods.vocoder import Vocoder
from genai.modalities.speech import Speech
from genai.speech.voice_frames import VoiceFrames


def with_vocoder(model: Model, source: str | None, **place: Any) -> Model:
    """Compose a model of speech with a vocoder in the place of WORLD.

    Args:
        model: of speech.
        source: run folder or checkpoint file of the vocoder; ``None``: ``model`` stays as it is.
        place: further arguments of ``load_part``.

    Raises:
        UserError: there is no such run; it is no vocoder, or for another sample rate; ``model`` does not speak.
    """
    if source is None:
        return model
    if not isinstance(model.modality, Speech):
        raise UserError(
            f"vocoder= is for speech (model=tts), and this model makes {describe_model(model)}. Leave it out, or give "
            "another ckpt=."
        )
    vocoder = load_part("vocoder", source, **place)
    if not isinstance(vocoder.method, Vocoder):
        raise UserError(f"vocoder={source} makes {describe_model(vocoder)}: it should be a run of model=vocoder.")
    rates = [int(getattr(part.modality, "sample_rate", 0)) for part in (vocoder, model)]
    if rates[0] != rates[1]:
        raise UserError(f"vocoder={source} makes sound of {rates[0]:,} Hz, and this model of {rates[1]:,} Hz.")
    composed = copy(model)
    composed.modality = copy(model.modality)
    composed.modality.synthesize = VocoderSynthesis(vocoder.method)
    composed.parts = {**model.parts, "ckpt": composed, "vocoder": vocoder}
    return composed


class VocoderSynthesis:
    """A trained vocoder in the place of WORLD: frames become sound."""

    def __init__(self, method: Vocoder) -> None:
        self.method = method

    def __call__(self, frames: VoiceFrames, sample_rate: int) -> NDArray[np.float32]:
        """Return the sound (time,) of frames, always with the same noise."""
        sound = check_output(self.method.synthesize(torch.from_numpy(frames.to_rows())))
        samples: NDArray[np.float32] = sound.numpy()
        return samples / np.float32(max(1.0, float(np.abs(samples).max(initial=0))))
