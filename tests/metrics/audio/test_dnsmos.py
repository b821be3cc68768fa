import numpy as np
import pytest

from genai.media.sound import Sound
from genai.metrics.audio.dnsmos import SAMPLE_RATE, SECONDS, quality_scores
from tests.stubs import SessionStub


def test_sounds_are_repeated_and_outputs_scaled() -> None:
    session = SessionStub()
    scores = quality_scores(session, [Sound(np.array([0.1, -0.2], np.float32), SAMPLE_RATE)], "samples")
    assert session.inputs[0].shape == (1, round(SECONDS * SAMPLE_RATE))
    assert session.inputs[0][0, :4].tolist() == pytest.approx([0.35, -0.7, 0.35, -0.7])
    assert scores[0].tolist() == pytest.approx([2.91201, 3.93448, 3.93178], abs=1e-3)
