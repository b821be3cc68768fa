import warnings

import numpy as np
import pytest

from genai.media.sound import Sound
from genai.media.spectrogram import GAP, MEL_HEIGHT, TITLE_HEIGHT, WAVE_HEIGHT, WIDTH, draw_spectrograms, log_mel


def sine(pitch: float, seconds: float = 1, sample_rate: int = 16_000) -> Sound:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Sound((0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32), sample_rate)


@pytest.mark.parametrize("sample_rate", [1_000, 8_000, 11_025, 44_100, 192_000])
@pytest.mark.parametrize("seconds", [0.01, 1, 20])
def test_every_band_is_there_at_any_rate_and_length(sample_rate: int, seconds: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bands = log_mel(sine(sample_rate / 8, seconds, sample_rate))
    assert bands.max() == pytest.approx(0, abs=1e-3) and np.isfinite(bands).all()
    assert bands.shape[0] <= 80 and bands.shape[1] <= 1.05 * WIDTH
    assert sample_rate != 8_000 or bands.shape[0] == 64


def test_higher_tones_are_further_up() -> None:
    rows = [log_mel(sine(pitch)).mean(1).argmax() for pitch in (100, 400, 1_000, 3_000, 7_000)]
    assert rows == sorted(set(rows))
    column = (
        draw_spectrograms([("", sine(3_000))])
        .pixels[GAP + TITLE_HEIGHT + WAVE_HEIGHT :][:MEL_HEIGHT, GAP + WIDTH // 2]
        .astype(int)
        .sum(1)
    )
    low = (
        draw_spectrograms([("", sine(200))])
        .pixels[GAP + TITLE_HEIGHT + WAVE_HEIGHT :][:MEL_HEIGHT, GAP + WIDTH // 2]
        .astype(int)
        .sum(1)
    )
    assert column.argmax() < low.argmax()  # row 0 is at the top


def test_the_wave_is_drawn_where_the_sound_is() -> None:
    samples = np.zeros(8_000, np.float32)
    samples[4_000:] = np.tile([0.9, -0.9], 2_000)
    strip = draw_spectrograms([("", Sound(samples, 8_000))]).pixels[GAP + TITLE_HEIGHT :][:WAVE_HEIGHT, GAP:][:, :WIDTH]
    column_heights = (strip < 100).any(2).sum(0)
    assert (column_heights[: WIDTH // 2 - 2] == 1).all() and (
        column_heights[WIDTH // 2 + 1 :] > 0.8 * WAVE_HEIGHT
    ).all()


def test_marks_stand_at_their_times() -> None:
    sounds = [("", sine(440)), ("", sine(440))]
    marked, plain = draw_spectrograms(sounds, [[], [0.25, 1.0]]).pixels, draw_spectrograms(sounds).pixels
    rows, columns = np.nonzero((marked != plain).any(2))
    start = 2 * GAP + WIDTH
    assert sorted(set(columns.tolist())) == [start + WIDTH // 4, start + WIDTH - 1]
    assert rows.min() >= GAP + TITLE_HEIGHT and rows.max() < GAP + TITLE_HEIGHT + WAVE_HEIGHT + MEL_HEIGHT


@pytest.mark.parametrize("count", [1, 2, 5])
def test_sounds_stand_in_two_columns(count: int) -> None:
    shape = draw_spectrograms([("a title " * number, sine(440, 0.1)) for number in range(count)]).pixels.shape
    one = draw_spectrograms([("", sine(440, 0.1))]).pixels.shape
    assert shape[1] == (one[1] if count == 1 else 2 * one[1] - GAP)
    assert shape[0] - GAP == -(-count // 2) * (one[0] - GAP)


def test_a_title_is_one_line_of_its_column() -> None:
    long = draw_spectrograms([("word\n" * 500, sine(440)), ("", sine(440))]).pixels
    short = draw_spectrograms([("", sine(440)), ("", sine(440))]).pixels
    differs = np.argwhere((long != short).any(2))
    assert differs[:, 0].max() < GAP + TITLE_HEIGHT and differs[:, 1].max() <= GAP + WIDTH


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_next_to_nothing_and_silence_are_drawn(count: int) -> None:
    assert draw_spectrograms([("", Sound(np.zeros(count, np.float32), 8_000))]).pixels.dtype == np.uint8
    assert draw_spectrograms([("", Sound(np.ones(count, np.float32), 48_000))]).pixels.dtype == np.uint8
