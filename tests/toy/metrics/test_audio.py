from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.base import EvalContext, select_metrics
from genai.toy.data.audio import ToyAudio
from genai.toy.metrics.audio import MelodyPromptAccuracy
from genai.toy.world.melody import TIMBRES, Melody, parse_melody
from genai.toy.world.synth import render_melodies
from tests.stubs import StubModel

SHARES = {
    "fulfilment",
    "fulfilment_new_melodies",
    "fulfilment_held_out",
    "count",
    "notes",
    "timbre",
    "loudness",
    "length",
}


def context(
    change: Any = lambda melodies: melodies, corrupt: Any = lambda sounds: sounds, sample_rate: int = 8_000
) -> EvalContext:
    """Of a model that plays what it is asked for, after ``change``; ``corrupt`` is done to what it plays."""

    def answer(prompts: list[str]) -> list[Sound]:
        melodies = change([parse_melody(prompt) for prompt in prompts])
        return [
            Sound(samples, sample_rate)
            for samples in corrupt(render_melodies(melodies, np.random.default_rng(5), sample_rate))
        ]

    return EvalContext(StubModel(None, answer), ToyAudio(items=10), n=40)  # type: ignore[arg-type]


@pytest.mark.parametrize("sample_rate", [8_000, 16_000])
def test_perfect_model(sample_rate: int) -> None:
    results = MelodyPromptAccuracy().compute(context(sample_rate=sample_rate))
    assert results.keys() == SHARES | {"pitch_cents", "in_tune", "tonal"}
    for name in SHARES | {"in_tune"}:
        assert results[name].value == results[name].reference == 1, name
    assert results["pitch_cents"].value == pytest.approx(results["pitch_cents"].reference, abs=1.5)
    assert 0.98 < (results["tonal"].value or 0) <= 1.01
    assert "40 prompts of melodies that were trained on" in results["fulfilment"].description


def test_wrong_instrument_changes_only_timbre() -> None:
    def other(melodies: list[Melody]) -> list[Melody]:
        return [replace(m, timbre=TIMBRES[TIMBRES.index(m.timbre or "") - 1]) for m in melodies]

    results = MelodyPromptAccuracy().compute(context(other))
    assert results["fulfilment"].value == results["timbre"].value == 0 and results["timbre"].reference == 1
    assert all(results[name].value == 1 for name in ("count", "notes", "loudness", "length"))
    assert results["fulfilment_held_out"].value == 0


def test_noise_has_no_melody_and_no_pitch() -> None:
    results = MelodyPromptAccuracy().compute(
        context(corrupt=lambda sounds: 0.2 * np.random.default_rng(0).standard_normal(sounds.shape))
    )
    assert all(results[name].value == 0 for name in SHARES)
    assert results["pitch_cents"].value is None and results["in_tune"].value is None
    assert (results["tonal"].value or 0) < 0.1 and (results["tonal"].reference or 0) > 0.95


def test_other_data_have_no_held_out_results() -> None:
    other = context()
    other.own_data, other.n = False, 10
    results = MelodyPromptAccuracy().compute(other)
    assert "fulfilment_held_out" not in results and "fulfilment_new_melodies" not in results
    assert "30 prompts of melodies of all kinds" in results["fulfilment"].description


def test_unsuitable_sounds_raise() -> None:
    with pytest.raises(UserError, match=r"needs sounds of one second, not 0\.25"):
        MelodyPromptAccuracy().compute(context(corrupt=lambda sounds: sounds[:, :2_000]))
    slow = context()
    slow.model.answer = lambda prompts: [Sound(np.zeros(2_000, np.float32), 2_000) for _ in prompts]  # type: ignore
    with pytest.raises(UserError, match="a sample rate of 4000 Hz or more, not 2000"):
        MelodyPromptAccuracy().compute(slow)


def test_selected_by_default_for_toy_audio() -> None:
    metrics, _ = select_metrics(None, ToyAudio(items=10), own_data=True)
    assert isinstance(metrics["toy_audio"], MelodyPromptAccuracy)
    with pytest.raises(UserError, match=r"'motion' does not fit ToyAudio.*nearest.*toy_audio"):
        select_metrics(["motion"], ToyAudio(items=10), own_data=True)
