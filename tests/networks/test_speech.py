import pytest
import torch
from torch import Tensor

from genai.networks.speech import MIN_PROSODY_STD, PITCH, ProsodyPrior, SpeechNetwork, word_numbers

PHONES = torch.tensor(
    [
        [[0, 3, 0], [1, 1, 1], [2, 0, 0], [0, 4, 0], [3, 0, 1], [0, 5, 0]],
        [[0, 3, 0], [2, 0, 1], [3, 0, 1], [0, 5, 0], [-1, -1, -1], [-1, -1, -1]],
    ]
)
DURATIONS = torch.tensor([[2, 3, 4, 1, 5, 2], [1, 6, 2, 3, 0, 0]])
ROWS = torch.tensor([0, 1])


def network(**sizes: int) -> SpeechNetwork:
    torch.manual_seed(0)
    return SpeechNetwork(4, 2, 1, 63, 8, 3, width=16, **sizes).eval()


def prosody() -> Tensor:
    values = torch.zeros(2, 6, 3)
    values[0, 1:3], values[0, 4] = torch.tensor([1.0, 0.5, 0.1]), torch.tensor([-1.0, 0, 0])
    return values


def test_words_are_numbered_without_pauses() -> None:
    assert word_numbers(PHONES).tolist() == [[-1, 0, 0, -1, 1, -1], [-1, 0, 1, -1, -1, -1]]


def test_shapes_and_padding_make_no_difference() -> None:
    net = network()
    x = net.encode(PHONES, ROWS, torch.zeros(2, dtype=torch.long))
    frames = net.frames(x, PHONES, prosody(), DURATIONS, ROWS)
    assert x.shape == (2, 6, 16) and frames.shape == (29, 63)
    assert net.log_durations(x, PHONES, prosody(), ROWS).shape == (2, 6)
    alone = PHONES[1:, :4]
    short = net.encode(alone, ROWS[1:], torch.zeros(1, dtype=torch.long))
    torch.testing.assert_close(short[0], x[1, :4])
    only = net.frames(short, alone, prosody()[1:, :4], DURATIONS[1:, :4], ROWS[1:])
    torch.testing.assert_close(only, frames[17:])


def test_speakers_and_marks_change_frames() -> None:
    net = network()
    languages = torch.zeros(2, dtype=torch.long)
    frames = [
        net.frames(net.encode(PHONES, rows, languages), PHONES, prosody(), DURATIONS, rows)
        for rows in (ROWS, ROWS.flip(0))
    ]
    assert not torch.allclose(*frames)
    assert net.marks.weight[3:].abs().max() == 0 and net.languages.weight.abs().max() == 0


def test_the_pitch_is_a_line_over_each_word() -> None:
    net = network()
    for block in [net.frame_out]:
        torch.nn.init.zeros_(block.weight)
        torch.nn.init.zeros_(block.bias)
    x = torch.zeros(2, 6, 16)
    pitch = net.frames(x, PHONES, prosody(), DURATIONS, ROWS)[:, PITCH]
    assert pitch[:2].abs().max() == 0
    torch.testing.assert_close(pitch[2:9], 1 + 0.5 * ((torch.arange(7) + 0.5) / 7 - 0.5))
    torch.testing.assert_close(pitch[10:15], torch.full((5,), -1.0))


def test_the_density_depends_on_the_word_before() -> None:
    net = network()
    torch.nn.init.normal_(net.prior.out.weight)
    x = net.encode(PHONES, ROWS, torch.zeros(2, dtype=torch.long))
    mean, log_std, values = net.prosody_density(x, PHONES, prosody())
    assert mean.shape == log_std.shape == (4, 3)
    torch.testing.assert_close(values[0], torch.tensor([1.0, 0.5, 0.1]))
    drawn = net.draw_prosody(x, PHONES, torch.zeros(2, 2, 3))
    assert drawn.shape == (2, 6, 3) and drawn[:, 0].abs().max() == 0
    torch.testing.assert_close(drawn[0, 1], mean[0])  # the first word has none before it
    assert not torch.allclose(drawn[0, 4], mean[1])


@pytest.mark.parametrize("rows", [1, 2])
def test_every_parameter_has_a_gradient(rows: int) -> None:
    net = network()
    languages = torch.zeros(rows, dtype=torch.long)
    phones, durations, speakers = PHONES[:rows], DURATIONS[:rows], ROWS[:rows]
    x = net.encode(phones, speakers, languages)
    mean, log_std, _ = net.prosody_density(x, phones, prosody()[:rows])
    frames = net.frames(x, phones, prosody()[:rows], durations, speakers)
    durations_loss = net.log_durations(x, phones, prosody()[:rows], speakers).sum()
    (frames.square().sum() + mean.sum() + log_std.sum() + durations_loss).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_the_prosody_of_a_word_is_never_certain() -> None:
    prior = ProsodyPrior(8, 3)
    prior.out.bias.data.fill_(-50.0)
    _, log_std = prior(torch.zeros(2, 8), torch.zeros(2, 3))
    assert torch.allclose(log_std.exp(), torch.tensor(MIN_PROSODY_STD))
