import pytest
import torch

from genai.adapters.lora import LoRA
from genai.core.errors import UserError
from genai.methods.preservation import Preservation
from genai.methods.rehearsal import Rehearsal
from genai.methods.text_to_speech import TextToSpeech
from genai.networks.speech import SpeechNetwork
from genai.speech.batch import FEATURES, PROSODY
from tests.methods.test_text_to_speech import request


def method(speakers: int) -> TextToSpeech:
    torch.manual_seed(0)
    return TextToSpeech(SpeechNetwork(3, speakers, 1, FEATURES, 8, PROSODY, width=8))


def test_a_new_voice_begins_as_the_mean_of_the_others() -> None:
    base, new = method(2), method(3)
    module, extended = new.matching_modules(base)
    rows, table = (each.ema_module.speakers.weight for each in (base, extended))  # type: ignore[union-attr]
    assert module is new and table[:2].equal(rows) and table[2].allclose(rows.mean(0)) and len(rows) == 2
    assert method(4).matching_modules(base)[1] is base  # which then does not fit


def test_only_the_row_of_the_new_voice_is_trained() -> None:
    network = method(3).ema_module
    LoRA(rank=1, targets=["frame_out"], speaker="eva").attach(network)
    trained = {name: x.shape for name, x in network.named_parameters() if x.requires_grad}
    assert trained["speakers.lora.rows.weight"] == (1, 32) and len(trained) == 3
    with pytest.raises(UserError, match="this model has no voices"):
        LoRA(speaker="eva").attach(torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_what_the_base_says_is_kept() -> None:
    speech = method(2)
    LoRA(rank=1, speaker="eva").attach(speech)
    speech.preserve_outputs(Preservation(2.0, [], [], [request(2)]))
    sentences = speech.rehearsal.draw(2)  # type: ignore[union-attr]
    torch.manual_seed(0)
    said = speech._base_outputs(sentences)
    assert said.x.shape == (1, int(said.durations.sum()), FEATURES) and said.is_timed.all()
    assert set(said.x[0, :, -1].tolist()) <= {0.0, 1.0}
    with torch.no_grad():
        for name, parameter in speech.named_parameters():
            if "lora" in name:
                parameter.normal_()  # the adapter changes, and what the base says does not
    torch.manual_seed(0)
    assert speech._base_outputs(sentences).x.equal(said.x)
    losses = speech.loss(said)
    rest = losses["loss"] - 2 * losses["preservation_loss"]
    assert rest > 0 and losses["preservation_loss"].requires_grad
    assert "preservation_loss" not in speech.eval().loss(said)


def test_there_has_to_be_something_to_rehearse() -> None:
    with pytest.raises(UserError, match="keeps the other voices while one is added"):
        Rehearsal.of_requests(1.0, [])
