import numpy as np
import pytest

from genai.toy.world.audio_oracle import (
    IN_TUNE_CENTS,
    MelodyDetection,
    detect_melodies,
    is_melody_match,
    match_melody,
    pitch_errors,
)
from genai.toy.world.melody import Melody, split_melodies
from genai.toy.world.synth import AMPLITUDES, render_melodies

Sounds = np.ndarray
ATTRIBUTES = ["count", "notes", "timbre", "loudness", "length"]


def random_melodies(count: int, sample_rate: int = 8_000, seed: int = 0) -> tuple[list[Melody], Sounds]:
    """Melodies of one, two and three notes alike, and sounds of them."""
    rng = np.random.default_rng(seed)
    sets = split_melodies()
    all_melodies = [*sets.train, *sets.new_melodies, *sets.new_notes]
    pools = [[melody for melody in all_melodies if len(melody.notes) == notes] for notes in (1, 2, 3)]
    melodies = [pools[i % 3][rng.integers(len(pools[i % 3]))] for i in range(count)]
    return melodies, render_melodies(melodies, rng, sample_rate)


def mu_law(sounds: Sounds) -> Sounds:
    """In 256 levels and back."""
    compressed = np.sign(sounds) * np.log1p(255 * np.abs(sounds)) / np.log(256)
    levels = np.rint((compressed + 1) / 2 * 255) / 255 * 2 - 1
    return np.sign(levels) * (256 ** np.abs(levels) - 1) / 255


def noisy(sounds: Sounds, decibels: float = 10) -> Sounds:
    power = (sounds**2).mean(1, keepdims=True) / 10 ** (decibels / 10)
    return sounds + np.sqrt(power) * np.random.default_rng(1).standard_normal(sounds.shape)


@pytest.mark.parametrize(
    ("sample_rate", "change", "least"),
    [
        (8_000, np.asarray, 0.99),
        (8_000, mu_law, 0.99),
        (8_000, noisy, 0.95),
        (4_000, np.asarray, 0.99),
        pytest.param(11_025, np.asarray, 0.99, marks=pytest.mark.slow),
        (16_000, np.asarray, 0.99),
        pytest.param(16_000, noisy, 0.95, marks=pytest.mark.slow),
    ],
)
def test_all_attributes(sample_rate: int, change: object, least: float) -> None:
    melodies, sounds = random_melodies(240 if sample_rate == 8_000 else 90, sample_rate)
    detections = detect_melodies(change(sounds), sample_rate)  # type: ignore[operator]
    assert list(match_melody(melodies[0], detections[0])) == ATTRIBUTES
    assert np.mean([is_melody_match(*pair) for pair in zip(melodies, detections, strict=True)]) >= least
    assert np.median([abs(cents) for each in detections for cents in each.cents]) < 6
    assert all(abs(cents) < IN_TUNE_CENTS for each in detections for cents in each.tail_cents)
    if change is not noisy:
        lengths = [len(melody.notes) if melody.length == "long" else 0 for melody in melodies]
        assert [len(each.tail_cents) for each in detections] == lengths
    assert min(each.partial_energy for each in detections) > (0.8 if change is noisy else 0.95)


def test_shuffled_prompts_match_at_random() -> None:
    melodies, sounds = random_melodies(300)
    detections = detect_melodies(sounds)
    swapped = [melodies[i] for i in np.random.default_rng(2).permutation(300)]
    answers = [match_melody(*pair) for pair in zip(swapped, detections, strict=True)]
    assert np.mean([all(answer.values()) for answer in answers]) <= 0.02
    chance = {"count": 1 / 3, "timbre": 1 / 5, "loudness": 1 / 2, "length": 1 / 2}
    rates = {name: np.mean([answer[name] for answer in answers]) for name in chance}
    assert rates == pytest.approx(chance, abs=0.1)
    assert np.mean([answer["notes"] for answer in answers]) < 0.1


def test_noise_has_no_melody() -> None:
    rng = np.random.default_rng(0)
    noise = 0.2 * rng.standard_normal((200, 8_000))
    clicks = (rng.random((50, 8_000)) < 0.001) * 1.0
    for sounds in (np.zeros((3, 8_000)), noise, noise / 100, clicks, np.full((2, 8_000), np.nan), np.ones((2, 8_000))):
        detections = detect_melodies(sounds)
        assert all(each.melody is None and each.cents == each.tail_cents == () for each in detections)
    assert not any(match_melody(Melody(("C4",), "bell"), detections[0]).values())


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 44_100])
def test_sounds_of_any_length(sample_rate: int) -> None:
    rng = np.random.default_rng(0)
    lengths = [
        0,
        1,
        7,
        100,
        sample_rate // 2 - 1,
        sample_rate // 2,
        sample_rate - 1,
        sample_rate,
        sample_rate + 1,
        3 * sample_rate,
    ]
    for garbage in (rng.standard_normal, lambda n: 1e30 * rng.standard_normal(n), np.ones, np.zeros):
        assert all(each.melody is None for each in detect_melodies([garbage(n) for n in lengths], sample_rate))
    assert detect_melodies([]) == []
    melody = Melody(("C4",), "flute", "loud", "short")
    sound = render_melodies([melody], rng, sample_rate)[0]
    longer = np.concatenate([sound, sound])
    assert [
        each.melody
        for each in detect_melodies([sound[: sample_rate // 2], sound[: sample_rate // 3], longer], sample_rate)
    ] == [
        melody,
        None,
        melody,
    ]
    with pytest.raises(ValueError, match="batch, time"):
        detect_melodies(np.zeros((1, 2, sample_rate)), sample_rate)


def test_loudness_threshold() -> None:
    rng = np.random.default_rng(0)
    timbres = [timbre for timbre in ("flute", "organ", "bell", "guitar", "trumpet") for _ in range(10)]
    for loudness, other in (("soft", "loud"), ("loud", "soft")):
        melodies = [Melody(("C4", "A4"), timbre, loudness, "short") for timbre in timbres]
        sounds = render_melodies(melodies, rng)
        detections = detect_melodies(sounds * (AMPLITUDES[other] / AMPLITUDES[loudness]) ** 0.3)
        assert all(each.melody and each.melody.loudness == loudness for each in detections)


def test_out_of_tune_notes() -> None:
    sounds = render_melodies([Melody(("A4",), "organ", "loud", "long")], np.random.default_rng(0), 8_000)
    for cents, right in ((20, True), (75, False), (-75, False)):
        moments = np.arange(8_000) * 2 ** (cents / 1200)
        bent = np.interp(moments, np.arange(8_000), sounds[0], right=0)
        (detection,) = detect_melodies([bent])
        target = Melody(("A4",), "organ", "loud", "long")
        assert match_melody(target, detection)["notes"] == right
        assert pitch_errors(target, detection) == pytest.approx((cents,), abs=12)


def test_pitch_slide_changes_tail() -> None:
    time = np.arange(8_000) / 8_000
    bend = np.where(time < 0.45, 0, 120 * (time - 0.45) / 0.3)  # cents
    phase = 2 * np.pi * np.cumsum(440 * 2 ** (bend / 1200)) / 8_000
    (detection,) = detect_melodies([0.5 * np.sin(phase) * np.minimum(1, time / 0.04) * (time < 0.85)])
    assert detection.melody == Melody(("A4",), "flute", "loud", "long")
    assert abs(detection.cents[0]) < 5 and detection.tail_cents[0] > IN_TUNE_CENTS


def test_mixed_notes_have_no_shared_attributes() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        render_melodies([Melody(("C4", "G4"), timbre, "loud", length)], rng)[0]
        for timbre, length in (("flute", "long"), ("bell", "short"))
    )
    (detection,) = detect_melodies([np.concatenate([first[:4_000], second[4_000:]])])
    assert detection.melody == Melody(("C4", "G4"), None, "loud", None)
    target = Melody(("C4", "G4"), "flute", "loud", "long")
    assert match_melody(target, detection) == {
        "count": True,
        "notes": True,
        "timbre": False,
        "loudness": True,
        "length": False,
    }


def test_only_set_attributes_are_checked() -> None:
    detection = MelodyDetection(Melody(("C4", "E4"), "bell", "loud", "short"), (3.0, -4.0), (), 0.9)
    assert match_melody(Melody(("C4", "E4"), length="short"), detection) == {
        "count": True,
        "notes": True,
        "length": True,
    }
    assert is_melody_match(Melody(("C4", "E4"), length=None), detection)
    wrong = match_melody(Melody(("C4",), "bell"), detection)
    assert wrong == {"count": False, "notes": False, "timbre": True, "length": False}
    assert (
        pitch_errors(Melody(("C4", "E4")), detection) == (3.0, -4.0) and pitch_errors(Melody(("C4",)), detection) == ()
    )
    assert pitch_errors(Melody(("C4", "D4")), detection) == pytest.approx((3.0, 196.0))
