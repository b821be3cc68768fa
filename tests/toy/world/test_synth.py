from itertools import product

import numpy as np
import pytest

from genai.toy.world.melody import NOTE_LENGTHS, NOTES, TIMBRES, Melody, split_melodies
from genai.toy.world.synth import FRAMES_PER_SECOND, NOTE_FRAMES, SLOT_FRAMES, note_intervals, render_melodies

LONG = Melody(("A4",), "flute", "loud", "long")


def test_sounds_depend_only_on_the_seed() -> None:
    melodies = split_melodies().train[::500]
    for sample_rate in (4_000, 8_000, 11_025, 16_000):
        sounds = render_melodies(melodies, np.random.default_rng(0), sample_rate)
        assert sounds.shape == (len(melodies), sample_rate) and sounds.dtype == np.float32
        assert 0.1 < np.abs(sounds).max() <= 1
        assert np.array_equal(sounds, render_melodies(melodies, np.random.default_rng(0), sample_rate))
        assert np.array_equal(sounds[:3], render_melodies(melodies[:3], np.random.default_rng(0), sample_rate))


@pytest.mark.parametrize("length", NOTE_LENGTHS)
@pytest.mark.parametrize("count", SLOT_FRAMES)
def test_notes_are_where_their_frames_are(count: int, length: str) -> None:
    melody = Melody(("A4",) * count, "organ", "loud", length)
    sound = render_melodies([melody], np.random.default_rng(0))[0]
    frames = np.sqrt((sound.reshape(FRAMES_PER_SECOND, -1) ** 2).mean(1))
    assert len(note_intervals(melody)) == count
    silent = np.ones(FRAMES_PER_SECOND, bool)
    for start, end in note_intervals(melody):
        assert end - start == NOTE_FRAMES[count][length]
        assert frames[start + 1 : end - 1].min() > 0.2
        silent[start : end + 2] = False
    assert frames[silent].max() < 0.002


@pytest.mark.parametrize(("timbre", "note"), product(TIMBRES, ("C4", "A4")))
def test_the_pitch_is_that_of_the_note(timbre: str, note: str) -> None:
    sound = render_melodies([Melody((note,), timbre, "loud", "long")], np.random.default_rng(0))[0]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 80_000))
    cents = 1200 * np.log2(spectrum[2_000:6_000].argmax() + 2_000) - 1200 * np.log2(NOTES[note] * 10)
    assert abs(cents) < 10


def test_loudness_levels_and_band_limit() -> None:
    for timbre in TIMBRES:
        soft, loud = render_melodies(
            [Melody(("C5",), timbre, loudness, "long") for loudness in ("soft", "loud")], np.random.default_rng(0)
        )
        assert 8 < 20 * np.log10(np.std(loud) / np.std(soft)) < 14
        assert np.abs(np.fft.rfft(loud))[3_700:].max() < 0.02 * np.abs(np.fft.rfft(loud)).max()


def test_invalid_arguments_raise() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="has free attributes"):
        render_melodies([LONG, Melody(("A4",))], rng)
    with pytest.raises(ValueError, match="at least 4000"):
        render_melodies([LONG], rng, 3_999)
    with pytest.raises(ValueError, match="is unknown"):
        note_intervals(Melody(("A4",), length=None))
    assert render_melodies([], rng).shape == (0, 8_000)
