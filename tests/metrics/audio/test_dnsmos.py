from typing import Any

import numpy as np
import pytest

from genai.media.sound import Sound
from genai.metrics.audio.dnsmos import SAMPLE_RATE, SECONDS, quality_scores


class SessionStub:
    """Outputs 3, 4, 5; remembers the inputs."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        self.inputs.append(inputs["input_1"])
        return [np.array([[3.0, 4.0, 5.0]])]


def test_sounds_are_repeated_and_outputs_scaled() -> None:
    session = SessionStub()
    scores = quality_scores(session, [Sound(np.array([0.1, -0.2], np.float32), SAMPLE_RATE)], "samples")
    assert session.inputs[0].shape == (1, round(SECONDS * SAMPLE_RATE))
    assert session.inputs[0][0, :4].tolist() == pytest.approx([0.35, -0.7, 0.35, -0.7])
    assert scores[0].tolist() == pytest.approx([2.91201, 3.93448, 3.93178], abs=1e-3)
