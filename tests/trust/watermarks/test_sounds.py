"""Watermark of sounds: levels change by 1 dB, and it is found in a part, after resampling and after MP3."""

import io

import numpy as np
import pytest
import soundfile

from genai.media.sound import Sound
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.sounds import add_to_sound, detect_in_sound
from tests.trust.watermarks.conftest import make_sound


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 44_100])
def test_it_is_found_with_its_own_key_alone(key: WatermarkKey, other_key: WatermarkKey, sample_rate: int) -> None:
    sound = make_sound(sample_rate=sample_rate)
    marked = add_to_sound(sound, key)
    assert detect_in_sound(marked, key).is_found
    assert min(detect_in_sound(sound, key).p, detect_in_sound(marked, other_key).p) > 1e-3


def test_the_change_is_small(key: WatermarkKey) -> None:
    sound = make_sound()
    difference = add_to_sound(sound, key).samples - sound.samples
    assert 18 < 10 * np.log10(np.square(sound.samples).sum() / np.square(difference).sum()) < 26
    silence = Sound(np.zeros(16_000, np.float32), 16_000)
    assert not add_to_sound(silence, key).samples.any()


def test_it_holds_in_a_part_after_resampling_and_mp3(key: WatermarkKey) -> None:
    marked = add_to_sound(make_sound(4), key)
    part = Sound(marked.samples[11_111:], 16_000)
    assert detect_in_sound(part, key).is_found
    assert detect_in_sound(marked.resample(22_050), key).is_found
    file = io.BytesIO()
    soundfile.write(file, marked.samples, 16_000, format="MP3")
    samples, rate = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    assert detect_in_sound(Sound(samples, rate), key).is_found


@pytest.mark.parametrize("count", [1, 100, 600])
def test_a_short_sound_has_none(key: WatermarkKey, count: int) -> None:
    sound = Sound(np.full(count, 0.1, np.float32), 8_000)
    assert len(add_to_sound(sound, key).samples) == count and not detect_in_sound(sound, key).is_found


def test_p_values_of_sounds_without_it_are_valid(key: WatermarkKey) -> None:
    p = np.array([detect_in_sound(make_sound(0.7, 8_000, seed), key).p for seed in range(60)])
    assert (p <= 0.1).mean() <= 0.2
