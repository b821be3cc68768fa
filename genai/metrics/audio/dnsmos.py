"""How clean does speech sound? DNSMOS estimates what listeners would say; it does not hear prosody."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.core.files import file_hash
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.metrics.audio.judge_input import SAMPLE_RATE, judge_samples
from genai.metrics.audio.spoken_texts import held_out_texts, load_recordings, sample_speech
from genai.metrics.audio.voice_encoder import package_file
from genai.metrics.base import EvalContext, Metric, Result, mean_result

SECONDS = 9.01
"""Length of the network's input; shorter sounds are repeated."""
SCALES = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials from the network's outputs, in this order, to opinion scores from 1 to 5."""


class SpeechQuality(Metric):
    """Mean opinion scores that DNSMOS P.835 (Reddy et al. 2022, arXiv:2110.01763) predicts, beside real clips.

    It was made for noise: a flat voice that nobody understands may score well.
    """

    media = Sound

    def check(self, context: EvalContext) -> None:
        load_session()

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``dnsmos_signal``, ``dnsmos_background`` and ``dnsmos_overall``."""
        session, digest = load_session(), file_hash(dnsmos_weights())
        texts = held_out_texts(context)
        samples = quality_scores(session, sample_speech(context, texts), "samples")
        real = quality_scores(session, load_recordings(texts), "held-out clips")
        description = f"opinion score from 1 to 5, by DNSMOS (sha256 {digest[:12]}), which does not hear prosody"
        return {
            f"dnsmos_{name}": mean_result(samples[:, column], description, real[:, column])
            for column, name in enumerate(SCALES)
        }


def dnsmos_weights() -> Path:
    """Return the file of weights in the package speechmos, whose code is not run. Raises ``UserError``."""
    name = "dnsmos_models/sig_bak_ovr.onnx"
    return package_file("speechmos", name, "'dnsmos' needs speechmos", "'genai[judge]'")


def load_session() -> Any:
    """Return the network as a session of onnxruntime. Raises ``UserError`` if a package is missing."""
    path = dnsmos_weights()
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError("'dnsmos' needs onnxruntime: pip install 'genai[judge]'.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def quality_scores(session: Any, sounds: Sequence[Sound], label: str) -> torch.Tensor:
    """Return the scores of each sound in the order of ``SCALES``, (sounds, 3)."""
    rows = []
    with ProgressBar(f"quality of {label}", len(sounds)) as bar:
        for sound in sounds:
            outputs = session.run(None, {"input_1": _network_input(sound)[None]})[0][0]
            rows.append([float(np.polyval(scale, x)) for scale, x in zip(SCALES.values(), outputs, strict=True)])
            bar.step()
    return torch.tensor(rows)


def _network_input(sound: Sound) -> NDArray[np.float32]:
    """Return the first seconds of a sound, repeated as often as needed."""
    return np.resize(judge_samples(sound), round(SECONDS * SAMPLE_RATE)).astype(np.float32)
