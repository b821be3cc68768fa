from typing import Any

import pytest

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, select_metrics
from genai.toy.data.audio import ToyAudio
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.metrics.onsets import OnsetF1
from genai.toy.world.melody import NOTES
from tests.stubs import KnownSoundtracksStub

SOURCE = ToySoundtracks(items=400)


def compute_results(*arguments: Any) -> Any:
    return OnsetF1().compute(EvalContext(KnownSoundtracksStub(SOURCE, *arguments), SOURCE, n=64))  # type: ignore[arg-type]


def test_perfect_model() -> None:
    results = compute_results()
    assert results.keys() == {"onset_f1", "onset_f1_shuffled", "onset_note"}
    assert (
        results["onset_f1"].value > 0.95
        and results["onset_f1"].reference > 0.95
        and 0 < results["onset_f1"].standard_error < 0.03
    )
    assert results["onset_f1_shuffled"].value < 0.25
    assert results["onset_note"].value > 0.9 and results["onset_note"].reference > 0.9
    assert "62 ms" in results["onset_f1"].description and "40 held-out clips" in results["onset_f1"].description


def test_delayed_silent_and_wrong_notes() -> None:
    late = compute_results(lambda notes: [note._replace(time=note.time + 0.25) for note in notes])
    assert late["onset_f1"].value < 0.15
    silent = compute_results(lambda notes: [])
    assert silent["onset_f1"].value == 0 and silent["onset_note"].value is None
    other = compute_results(
        lambda notes: [note._replace(name=list(NOTES)[list(NOTES).index(note.name) - 3]) for note in notes]
    )
    assert other["onset_f1"].value > 0.95 and other["onset_note"].value < 0.2


def test_selected_by_default_for_toy_soundtracks() -> None:
    metrics, _ = select_metrics(None, SOURCE, own_data=True)
    assert isinstance(metrics["onsets"], OnsetF1)
    with pytest.raises(UserError, match="There is no metric 'onsets'"):
        select_metrics(["onsets"], ToyAudio(items=10), own_data=True)
    with pytest.raises(UserError, match="a sample rate of 4000 Hz or more, not 2000"):
        compute_results(lambda notes: notes, 2_000)
