from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.metrics.base import EvalContext, chosen
from genai.toy.data.audio import ToyAudio
from genai.toy.metrics.audio import Played
from genai.toy.world.melody import TIMBRES, Melody, parse
from genai.toy.world.synth import play
from tests.metrics.stubs import Model

SHARES = {"fulfilment", "fulfilment_unheard", "fulfilment_held_out", "count", "notes", "timbre", "loudness", "length"}


def study(
    change: Any = lambda melodies: melodies, spoil: Any = lambda sounds: sounds, rate: int = 8_000
) -> EvalContext:
    """Of a model that plays what it is asked for, after ``change``; ``spoil`` is done to what it plays."""

    def answer(prompts: list[str]) -> list[Sound]:
        melodies = change([parse(prompt) for prompt in prompts])
        return [Sound(samples, rate) for samples in spoil(play(melodies, np.random.default_rng(5), rate))]

    return EvalContext(Model(None, answer), ToyAudio(items=10), n=40)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_a_model_that_plays_what_is_asked_for(rate: int) -> None:
    figures = Played().compute(study(rate=rate))
    assert figures.keys() == SHARES | {"pitch_cents", "in_tune", "tonal"}
    for name in SHARES | {"in_tune"}:
        assert figures[name].value == figures[name].beside == 1, name
    assert figures["pitch_cents"].value == pytest.approx(figures["pitch_cents"].beside, abs=1.5)
    assert 0.98 < (figures["tonal"].value or 0) <= 1.01
    assert "40 prompts of melodies that were trained on" in figures["fulfilment"].about


def test_another_instrument_is_wrong_alone() -> None:
    def other(melodies: list[Melody]) -> list[Melody]:
        return [replace(m, timbre=TIMBRES[TIMBRES.index(m.timbre or "") - 1]) for m in melodies]

    figures = Played().compute(study(other))
    assert figures["fulfilment"].value == figures["timbre"].value == 0 and figures["timbre"].beside == 1
    assert all(figures[name].value == 1 for name in ("count", "notes", "loudness", "length"))
    assert figures["fulfilment_held_out"].value == 0


def test_noise_is_no_melody_and_has_no_pitch() -> None:
    figures = Played().compute(study(spoil=lambda sounds: 0.2 * np.random.default_rng(0).standard_normal(sounds.shape)))
    assert all(figures[name].value == 0 for name in SHARES)
    assert figures["pitch_cents"].value is None and figures["in_tune"].value is None
    assert (figures["tonal"].value or 0) < 0.1 and (figures["tonal"].beside or 0) > 0.95


def test_of_other_data_nothing_is_called_held_out() -> None:
    other = study()
    other.own, other.n = False, 10
    figures = Played().compute(other)
    assert "fulfilment_held_out" not in figures and "fulfilment_unheard" not in figures
    assert "30 prompts of melodies of all kinds" in figures["fulfilment"].about


def test_sounds_that_the_world_has_not_are_refused() -> None:
    with pytest.raises(UserError, match=r"hears sounds of a second, not 0\.25"):
        Played().compute(study(spoil=lambda sounds: sounds[:, :2_000]))
    slow = study()
    slow.model.answer = lambda prompts: [Sound(np.zeros(2_000, np.float32), 2_000) for _ in prompts]  # type: ignore
    with pytest.raises(UserError, match="4000 samples a second or more, not 2000"):
        Played().compute(slow)


def test_it_is_what_the_sounds_of_the_world_are_measured_by() -> None:
    metrics, _ = chosen(None, ToyAudio(items=10), own=True)
    assert isinstance(metrics["melody"], Played)
    with pytest.raises(UserError, match=r"'nearest' does not fit ToyAudio.*melody, nearest_clip"):
        chosen(["nearest"], ToyAudio(items=10), own=True)
