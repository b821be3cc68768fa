from itertools import product

import numpy as np
import pytest

from genai.toy.world.melody import LENGTHS, NOTES, TIMBRES, Melody, held_out
from genai.toy.world.synth import DURATIONS, FRAMES, SLOTS, play, timing

LONG = Melody(("A4",), "flute", "loud", "long")


def test_a_second_of_sound_in_range_that_depends_on_the_seed_alone() -> None:
    melodies = held_out().trained[::500]
    for rate in (4_000, 8_000, 11_025, 16_000):
        sounds = play(melodies, np.random.default_rng(0), rate)
        assert sounds.shape == (len(melodies), rate) and sounds.dtype == np.float32
        assert 0.1 < np.abs(sounds).max() <= 1
        assert np.array_equal(sounds, play(melodies, np.random.default_rng(0), rate))
        assert np.array_equal(sounds[:3], play(melodies[:3], np.random.default_rng(0), rate))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", SLOTS)
def test_notes_are_where_their_frames_are(count: int, length: str) -> None:
    melody = Melody(("A4",) * count, "organ", "loud", length)
    sound = play([melody], np.random.default_rng(0))[0]
    frames = np.sqrt((sound.reshape(FRAMES, -1) ** 2).mean(1))
    assert len(timing(melody)) == count
    silent = np.ones(FRAMES, bool)
    for start, end in timing(melody):
        assert end - start == DURATIONS[count][length]
        assert frames[start + 1 : end - 1].min() > 0.2
        silent[start : end + 2] = False
    assert frames[silent].max() < 0.002


@pytest.mark.parametrize(("timbre", "note"), product(TIMBRES, ("C4", "A4")))
def test_the_pitch_is_that_of_the_note(timbre: str, note: str) -> None:
    sound = play([Melody((note,), timbre, "loud", "long")], np.random.default_rng(0))[0]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 80_000))
    cents = 1200 * np.log2(spectrum[2_000:6_000].argmax() + 2_000) - 1200 * np.log2(NOTES[note] * 10)
    assert abs(cents) < 10


def test_loud_is_louder_than_soft_in_every_timbre_and_partials_stay_in_band() -> None:
    for timbre in TIMBRES:
        soft, loud = play(
            [Melody(("C5",), timbre, loudness, "long") for loudness in ("soft", "loud")], np.random.default_rng(0)
        )
        assert 8 < 20 * np.log10(np.std(loud) / np.std(soft)) < 14
        assert np.abs(np.fft.rfft(loud))[3_700:].max() < 0.02 * np.abs(np.fft.rfft(loud)).max()


def test_what_cannot_be_played_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="leaves attributes free"):
        play([LONG, Melody(("A4",))], rng)
    with pytest.raises(ValueError, match="at least 4000"):
        play([LONG], rng, 3_999)
    with pytest.raises(ValueError, match="is not said"):
        timing(Melody(("A4",), length=None))
    assert play([], rng).shape == (0, 8_000)
