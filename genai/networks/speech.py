"""A network that reads phones aloud: how long each lasts, and the frames of a vocoder."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from genai.networks.layers import Readout

Count = Annotated[int, Ge(1), Le(65_536)]
GAP = 16
"""Frames between the utterances of a batch, which are computed end to end."""
SPEAKER_WIDTH = 32
"""Numbers of a row of the speaker table."""
MIN_PROSODY_STD = 0.3
"""Least deviation of a word's prosody, in deviations of the speaker's words."""
PITCH = -2
"""Place of the pitch among the features of a frame."""
POSITIONS = 6
"""Features of the place of a frame in its phone."""


class SpeechNetwork(nn.Module):
    """Gated convolutions over phones, and over frames (as FastSpeech 2, Ren et al. 2020, arXiv:2006.04558).

    Each word has a prosody: mean and slope of its pitch, and its tempo. A small network predicts a Gaussian of it from
    the word and the prosody of the word before, so that it can be drawn (phone-level mixture densities of Du & Yu 2021,
    arXiv:2102.00851, here for words); durations and frames follow it. A speaker is a row of a table that scales and
    shifts the channels of every block.

    Args:
        phones: symbols; 0 is a pause.
        speakers, languages: rows of their tables.
        features: numbers of a frame; the last but one is the pitch.
        marks: stresses of phones and marks of pauses.
        prosody: numbers of a word's prosody; the first two are mean and slope of its pitch.
        width: channels.
        phone_layers: blocks over phones.
        duration_layers: blocks that predict durations.
        dilations: of the blocks over frames.
        dropout: of the blocks over frames; those over phones have two and three times as much.
    """

    def __init__(
        self,
        phones: Count,
        speakers: Count,
        languages: Count,
        features: Annotated[int, Ge(3), Le(4096)],
        marks: Annotated[int, Ge(3), Le(64)],
        prosody: Annotated[int, Ge(2), Le(64)],
        width: Annotated[int, Ge(8), Le(4096)] = 128,
        phone_layers: Annotated[int, Ge(1), Le(64)] = 3,
        duration_layers: Annotated[int, Ge(1), Le(64)] = 2,
        dilations: Sequence[Annotated[int, Ge(1), Le(64)]] = (1, 2, 4, 8),
        dropout: Annotated[float, Ge(0), Lt(0.3)] = 0.1,
    ) -> None:
        super().__init__()
        self.symbols, self.marks = nn.Embedding(phones, width), nn.Embedding(marks, width)
        self.word_starts, self.languages = nn.Embedding(2, width), nn.Embedding(languages, width)
        self.speakers = nn.Embedding(speakers, SPEAKER_WIDTH)
        self.phone_blocks = nn.ModuleList(GatedBlock(width, 5, 1, 2 * dropout) for _ in range(phone_layers))
        self.prior = ProsodyPrior(width, prosody)
        self.prosody_in = nn.Linear(prosody, width)
        self.duration_blocks = nn.ModuleList(GatedBlock(width, 3, 1, 3 * dropout) for _ in range(duration_layers))
        self.duration_out = Readout(width, 1)
        self.position_in = nn.Linear(POSITIONS + 1, width)
        self.frame_blocks = nn.ModuleList(GatedBlock(width, 3, dilation, dropout) for dilation in dilations)
        self.frame_out = Readout(width, features)
        nn.init.normal_(self.speakers.weight, std=0.3)
        for table in (self.marks, self.languages):  # a row that training never sees changes nothing
            nn.init.zeros_(table.weight)
        nn.init.normal_(self.marks.weight[:3], std=0.3)

    def encode(self, phones: Tensor, speakers: Tensor, languages: Tensor) -> Tensor:
        """Return (batch, phones, width) for phones (batch, phones, 3), see ``genai.speech.batch.SpeechBatch``."""
        mask, ids = phones[..., :1] >= 0, phones.clamp(min=0)
        x = self.symbols(ids[..., 0]) + self.marks(ids[..., 1]) + self.word_starts(ids[..., 2])
        x = (x + self.languages(languages)[:, None]) * mask
        speaker = self.speakers(speakers)
        for block in self.phone_blocks:
            x = block(x, mask, speaker)
        return x

    def prosody_density(self, x: Tensor, phones: Tensor, prosody: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the Gaussians of the prosody of words, given that of the words before.

        Args:
            x: (batch, phones, width), of ``encode``.
            phones: (batch, phones, 3).
            prosody: (batch, phones, numbers), of each word at all of its phones.

        Returns:
            Mean and logarithm of the deviation, and the values, each (words, numbers) for the words of all rows.
        """
        words = word_numbers(phones)
        values, count = _word_means(prosody, words)  # (B, W, numbers)
        means, _ = _word_means(x, words)
        previous = F.pad(values, (0, 0, 1, 0))[:, :-1]
        mean, log_std = self.prior(means, previous)
        is_word = count > 0
        return mean[is_word], log_std[is_word], values[is_word]

    def draw_prosody(self, x: Tensor, phones: Tensor, noise: Tensor) -> Tensor:
        """Return the prosody (batch, phones, numbers) of words, drawn one after the other.

        Args:
            x, phones: as in ``prosody_density``.
            noise: (batch, words, numbers), at least as many as there are words; 0: the most likely prosody.
        """
        words = word_numbers(phones)
        means, _ = _word_means(x, words)
        values = [x.new_zeros(len(x), noise.shape[-1])]
        for index in range(means.shape[1]):
            mean, log_std = self.prior(means[:, index], values[-1])
            values.append(mean + log_std.exp() * noise[:, index])
        values_of_words = torch.stack([*values[1:], values[0]], 1)  # the last one is that of pauses
        return values_of_words.gather(1, _word_places(words, means.shape[1])[..., None].expand(-1, -1, noise.shape[-1]))

    def log_durations(self, x: Tensor, phones: Tensor, prosody: Tensor, speakers: Tensor) -> Tensor:
        """Return the logarithm of the frames of each phone: (batch, phones)."""
        mask, speaker = phones[..., :1] >= 0, self.speakers(speakers)
        x = (x.detach() + self.prosody_in(prosody)) * mask
        for block in self.duration_blocks:
            x = block(x, mask, speaker)
        log_durations: Tensor = self.duration_out(x).squeeze(-1)
        return log_durations

    def frames(self, x: Tensor, phones: Tensor, prosody: Tensor, durations: Tensor, speakers: Tensor) -> Tensor:
        """Return the frames of all rows, one after the other: (sum of durations, features).

        Args:
            x, phones, prosody: as in ``prosody_density``.
            durations: (batch, phones) int64, in frames.
            speakers: (batch,).
        """
        x = F.pad(x + self.prosody_in(prosody), (0, 0, 0, 1))  # the gap is a phone after the last one
        durations = F.pad(durations, (0, 1), value=GAP)
        lines = F.pad(_pitch_lines(phones, prosody, durations[:, :-1]), (0, 0, 0, 1))  # (B, P + 1, 2)
        counts = durations.flatten()
        owner = torch.arange(len(counts), device=x.device).repeat_interleave(counts)  # (N,) phone of each frame
        place = torch.arange(len(owner), device=x.device) - (counts.cumsum(0) - counts)[owner]
        pitch = lines.flatten(0, 1)[owner]
        pitch = pitch[:, 0] + pitch[:, 1] * (place + 0.5)
        rows, is_gap = owner // durations.shape[1], (owner + 1) % durations.shape[1] == 0
        mask = ~is_gap[None, :, None]  # (1, N, 1)
        features = torch.cat([_positions(place, counts[owner]), pitch[:, None]], -1)
        h = (x.flatten(0, 1)[owner] + self.position_in(features))[None] * mask
        speaker = self.speakers(speakers)
        for block in self.frame_blocks:
            h = block(h, mask, speaker, rows)
        outputs = self.frame_out(h[0])[~is_gap]
        residual = F.pad(pitch[~is_gap, None], (outputs.shape[1] + PITCH, -1 - PITCH))
        return outputs + residual


class GatedBlock(nn.Module):
    """A residual convolution with a gate, whose input a speaker scales and shifts (FiLM, arXiv:1709.07871)."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.adapt = nn.Linear(SPEAKER_WIDTH, 2 * width)
        self.conv = nn.Conv1d(width, 2 * width, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.dropout = dropout

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor, rows: Tensor | None = None) -> Tensor:
        """Map (batch, time, width) to the same shape.

        Args:
            x: the input.
            mask: (batch, time, 1), False where there is nothing.
            speaker: (speakers, ``SPEAKER_WIDTH``).
            rows: (time,) speaker of each place, for a batch of 1; ``None``: one speaker for each item.
        """
        scale, shift = self.adapt(speaker).chunk(2, -1)
        scale, shift = (scale[:, None], shift[:, None]) if rows is None else (scale[rows], shift[rows])
        h = (self.norm(x) * (1 + scale) + shift) * mask
        value, gate = self.conv(h.mT).chunk(2, 1)
        h = (value.tanh() * gate.sigmoid()).mT
        return x + F.dropout(h, self.dropout, self.training) * mask


class ProsodyPrior(nn.Module):
    """A Gaussian of a word's prosody, given the word and the prosody of the word before.

    Its deviation is at least ``MIN_PROSODY_STD``, and half of its hidden values are dropped in training. Without both
    it soon knows the words of twenty minutes by heart, and is sure of a wrong prosody for those of other texts.
    """

    def __init__(self, width: int, prosody: int, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(width + prosody, hidden), Readout(hidden, 2 * prosody)
        self.dropout = dropout
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, words: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Map words (..., width) and (..., numbers) to mean and logarithm of the deviation, (..., numbers)."""
        hidden = F.gelu(self.hidden(torch.cat([words, previous], -1)))
        mean, log_std = self.out(F.dropout(hidden, self.dropout, self.training)).chunk(2, -1)
        return mean, log_std.clamp(math.log(MIN_PROSODY_STD), 2)


def word_numbers(phones: Tensor) -> Tensor:
    """Return the number of each phone's word, -1 at pauses and padding: (batch, phones)."""
    numbers = phones[..., 2].cumsum(1) - 1
    return numbers.masked_fill(phones[..., 0] <= 0, -1)


def _word_places(words: Tensor, count: int) -> Tensor:
    """Return the word of each phone, ``count`` at pauses and padding."""
    return words.masked_fill(words < 0, count)


def _word_means(x: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Return means (batch, words, width) of ``x`` (batch, phones, width), and numbers of phones (batch, words)."""
    count = max(0, int(words.max()) + 1) if words.numel() else 0
    places = _word_places(words, count)
    sums = x.new_zeros(len(x), count + 1, x.shape[-1]).scatter_add(1, places[..., None].expand_as(x), x)
    counts = x.new_zeros(len(x), count + 1).scatter_add(1, places, torch.ones_like(places, dtype=x.dtype))
    return (sums / counts.clamp(min=1)[..., None])[:, :-1], counts[:, :-1]


def _pitch_lines(phones: Tensor, prosody: Tensor, durations: Tensor) -> Tensor:
    """Return the pitch of each word as a line: its value where a phone begins, and its slope per frame.

    Returns:
        (batch, phones, 2); 0 at pauses.
    """
    words = word_numbers(phones)
    places = _word_places(words, max(0, int(words.max()) + 1))
    counts = durations.new_zeros(len(words), int(places.max()) + 1).scatter_add(1, places, durations)
    frames = counts.gather(1, places).clamp(min=1)  # of the whole word
    begins = durations.cumsum(1) - durations
    first = torch.full_like(counts, torch.iinfo(torch.long).max).scatter_reduce(1, places, begins, "amin")
    offset = (begins - first.gather(1, places)) / frames
    mean, slope = prosody[..., 0], prosody[..., 1]
    lines = torch.stack([mean + slope * (offset - 0.5), slope / frames], -1)
    return lines * (words >= 0)[..., None]


def _positions(place: Tensor, count: Tensor) -> Tensor:
    """Return features (frames, ``POSITIONS``) of places in phones of ``count`` frames."""
    fraction = (place + 0.5) / count
    ends = (place.clamp(max=10) / 10, (count - 1 - place).clamp(max=10) / 10, count.clamp(max=30) / 30)
    return torch.stack([fraction, (torch.pi * fraction).sin(), *ends, torch.ones_like(fraction)], -1)
