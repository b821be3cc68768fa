from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from genai.metrics.audio.speaker_match import speaker_match
from genai.metrics.audio.spoken_texts import SpokenText

TEXTS = [SpokenText("a", "eva"), SpokenText("b", "eva")]
JUDGE = "by a stub"


class AddedVoice:
    """A modality with the voice "eva" added to "ada" and "bob"."""

    added_voice, other_voices = "eva", ("ada", "bob")

    def add_voice(self) -> None: ...

    def rehearsal(self) -> None: ...


class Context:
    model, seed = SimpleNamespace(modality=AddedVoice()), 0

    def __init__(self, **options: Any) -> None:
        self.options = options

    def samples(self, prompts: list[str], speaker: str) -> list[float]:
        return [{"ada": 0.2, "bob": 0.4}[speaker]] * len(prompts)


class Encoder:
    def embed_all(self, sounds: list[float], label: str) -> Tensor:
        return torch.tensor([[sound] for sound in sounds])


def match(sample: float, **options: Any) -> Any:
    cosines = torch.tensor([sample, sample]), torch.tensor([0.9, 0.9])
    return speaker_match(Context(**options), Encoder(), TEXTS, torch.ones(1), cosines, JUDGE)  # type: ignore[arg-type]


def test_the_nearest_other_voice_is_0_and_real_clips_are_1() -> None:
    assert match(0.4).value == pytest.approx(0, abs=1e-6) and match(0.9).value == pytest.approx(1)
    assert match(0.6).value == pytest.approx(0.4) and match(0.6).reference == 1
    assert match(0.6).description.startswith("below a half: a similar voice, not a clone; ")
    assert (
        match(0.7).description.startswith("a clone; ") and "other voice of the model, bob (0)" in match(0.7).description
    )


def test_it_is_about_an_added_voice_alone() -> None:
    assert match(0.6, speaker="ada") is None
