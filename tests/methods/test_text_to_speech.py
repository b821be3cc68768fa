import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.errors import UserError
from genai.methods import text_to_speech
from genai.methods.text_to_speech import (
    MIN_SENTENCE_PAUSE,
    PARTS,
    VAL_PARTS,
    TextToSpeech,
    TextToSpeechOptions,
    whole_durations,
)
from genai.speech.batch import FEATURES, PROSODY, Sentence, SentenceRequest, SpeechBatch

PHONES = torch.tensor([[0, 3, 0], [1, 0, 1], [2, 0, 0], [0, 5, 0]])
SENTENCE = Sentence(PHONES, ("sil", "a", "b", "sil"), (-1, 0, 0, -1), ("ab",))


class Fixed(nn.Module):
    """Each phone lasts as many frames as its place, whose values are the drawn pitch."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def encode(self, phones: Tensor, speakers: Tensor, languages: Tensor) -> Tensor:
        return torch.zeros(*phones.shape[:2], 4) + self.bias

    def prosody_density(self, x: Tensor, phones: Tensor, prosody: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values = prosody[:, 1]
        return torch.zeros_like(values), torch.zeros_like(values), values

    def draw_prosody(self, x: Tensor, phones: Tensor, noise: Tensor) -> Tensor:
        return noise[:, :1].expand(-1, phones.shape[1], -1)

    def log_durations(self, x: Tensor, phones: Tensor, prosody: Tensor, speakers: Tensor) -> Tensor:
        return torch.arange(1.0, phones.shape[1] + 1).log()[None].expand(phones.shape[:2])

    def frames(self, x: Tensor, phones: Tensor, prosody: Tensor, durations: Tensor, speakers: Tensor) -> Tensor:
        return prosody.flatten(0, 1)[:, :1].repeat_interleave(durations.flatten(), 0).expand(-1, FEATURES)


def request(sentences: int = 1, seed: int = 0, items: int = 1) -> SentenceRequest:
    texts = [[SENTENCE] * sentences for _ in range(items)]
    return SentenceRequest(
        ["ab"] * items, [seed + i for i in range(items)], (80, FEATURES), sentences=texts, speakers=[0] * items,
        languages=[0] * items,
    )  # fmt: skip


def options(**values: Any) -> TextToSpeechOptions:
    return TextToSpeechOptions(**values)


def test_durations_are_whole_and_keep_the_sum() -> None:
    logs = torch.tensor([2.4, 2.4, 2.4, 2.4]).log()
    no_pause = torch.zeros(4, dtype=torch.bool)
    assert whole_durations(logs, no_pause, options(), True).tolist() == [2, 3, 2, 3]
    assert whole_durations(logs, no_pause, options(speed=2), True).tolist() == [1, 1, 2, 1]
    pauses = torch.tensor([True, False, False, True])
    assert whole_durations(logs, pauses, options(pause=0), True).tolist() == [0, 2, 3, 0]
    assert whole_durations(logs, pauses, options(), False)[-1] == MIN_SENTENCE_PAUSE
    assert whole_durations(torch.full((4,), math.inf), pauses, options(), True).max() <= 120


def test_the_loss_has_the_named_parts() -> None:
    x = torch.zeros(1, 10, FEATURES)
    x[..., :60], x[..., 62] = 0.5, 1.0
    prosody = torch.zeros(1, 4, PROSODY)
    prosody[:, 1:3] = 1.0
    batch = SpeechBatch(
        x, ["ab"], phones=PHONES[None], durations=torch.tensor([[1, 2, 3, 4]]), prosody=prosody,
        is_timed=torch.ones(1, 4, dtype=torch.bool), speakers=torch.zeros(1, dtype=torch.long),
        languages=torch.zeros(1, dtype=torch.long),
    )  # fmt: skip
    losses = TextToSpeech(Fixed()).loss(batch)
    assert losses.keys() == {"loss", *PARTS}
    assert losses["envelope"] == pytest.approx(0.5) and losses["f0"] == pytest.approx(0.5)  # 1 in 5 of 10 frames
    assert losses["duration"] == 0 and losses["prosody"] == pytest.approx(0.5)
    assert losses["loss"] == pytest.approx(float(sum(PARTS[name] * losses[name] for name in PARTS)))
    validation = TextToSpeech(Fixed()).validation_loss(batch)
    assert validation["duration_percent"] == 0 and validation["f0_error"] == 0
    assert validation["loss"] == pytest.approx(float(sum(VAL_PARTS[name] * validation[name] for name in VAL_PARTS)))
    assert batch.weight == 10


def test_it_streams_sentence_by_sentence_with_the_numbers_of_phones() -> None:
    method = TextToSpeech(Fixed()).eval()
    chunks = list(method.stream(request(2), options()))
    assert [chunk.start for chunk in chunks] == [0, 6 + MIN_SENTENCE_PAUSE]
    assert chunks[1].x.shape == (1, 10, FEATURES + 1)
    assert chunks[1].x[0, :, -1].tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert len(method.sample(request(2), options())[0]) == 16 + MIN_SENTENCE_PAUSE


def test_seeds_draw_prosody_and_other_items_change_nothing() -> None:
    method = TextToSpeech(Fixed()).eval()
    first, second = method.sample(request(items=2), options())
    assert not torch.equal(first, second)
    assert torch.equal(second, method.sample(request(seed=1), options())[0])
    flat = method.sample(request(items=2), options(variation=0))
    assert torch.equal(*flat) and flat[0][:, 0].abs().max() == 0


def test_a_sound_that_is_too_long_is_refused_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    method = TextToSpeech(Fixed()).eval()
    frames = sum(len(row) for row in method.sample(request(2, items=2), options()))
    monkeypatch.setattr(text_to_speech, "MAX_FRAMES", frames)
    assert sum(len(row) for row in method.sample(request(2, items=2), options())) == frames
    with pytest.raises(UserError, match="give shorter ones, fewer at once"):
        method.sample(request(2, items=2), options(pause=10))
