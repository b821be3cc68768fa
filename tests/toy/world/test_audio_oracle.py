import numpy as np
import pytest

from genai.toy.world.audio_oracle import IN_TUNE, Heard, all_right, fulfilled, hear, off
from genai.toy.world.melody import Melody, held_out
from genai.toy.world.synth import LEVELS, play

Sounds = np.ndarray
ATTRIBUTES = ["count", "notes", "timbre", "loudness", "length"]


def played(count: int, rate: int = 8_000, seed: int = 0) -> tuple[list[Melody], Sounds]:
    """Melodies of one, two and three notes alike, and sounds of them."""
    rng = np.random.default_rng(seed)
    sets = held_out()
    every = [*sets.trained, *sets.unheard, *sets.strict]
    pools = [[melody for melody in every if len(melody.notes) == notes] for notes in (1, 2, 3)]
    melodies = [pools[i % 3][rng.integers(len(pools[i % 3]))] for i in range(count)]
    return melodies, play(melodies, rng, rate)


def mu_law(sounds: Sounds) -> Sounds:
    """In 256 levels and back."""
    compressed = np.sign(sounds) * np.log1p(255 * np.abs(sounds)) / np.log(256)
    levels = np.rint((compressed + 1) / 2 * 255) / 255 * 2 - 1
    return np.sign(levels) * (256 ** np.abs(levels) - 1) / 255


def noisy(sounds: Sounds, decibels: float = 10) -> Sounds:
    power = (sounds**2).mean(1, keepdims=True) / 10 ** (decibels / 10)
    return sounds + np.sqrt(power) * np.random.default_rng(1).standard_normal(sounds.shape)


@pytest.mark.parametrize(
    ("rate", "change", "least"),
    [
        (8_000, np.asarray, 0.99),
        (8_000, mu_law, 0.99),
        (8_000, noisy, 0.95),
        (4_000, np.asarray, 0.99),
        (11_025, np.asarray, 0.99),
        (16_000, np.asarray, 0.99),
        (16_000, noisy, 0.95),
    ],
)
def test_every_attribute_is_heard(rate: int, change: object, least: float) -> None:
    melodies, sounds = played(240 if rate == 8_000 else 90, rate)
    heard = hear(change(sounds), rate)  # type: ignore[operator]
    assert list(fulfilled(melodies[0], heard[0])) == ATTRIBUTES
    assert np.mean([all_right(*pair) for pair in zip(melodies, heard, strict=True)]) >= least
    assert np.median([abs(cents) for each in heard for cents in each.cents]) < 6
    assert all(abs(cents) < IN_TUNE for each in heard for cents in each.tail)
    if change is not noisy:
        lengths = [len(melody.notes) if melody.length == "long" else 0 for melody in melodies]
        assert [len(each.tail) for each in heard] == lengths
    assert min(each.tonal for each in heard) > (0.8 if change is noisy else 0.95)


def test_swapped_prompts_are_fulfilled_by_chance() -> None:
    melodies, sounds = played(300)
    heard = hear(sounds)
    swapped = [melodies[i] for i in np.random.default_rng(2).permutation(300)]
    answers = [fulfilled(*pair) for pair in zip(swapped, heard, strict=True)]
    assert np.mean([all(answer.values()) for answer in answers]) <= 0.02
    chance = {"count": 1 / 3, "timbre": 1 / 5, "loudness": 1 / 2, "length": 1 / 2}
    rates = {name: np.mean([answer[name] for answer in answers]) for name in chance}
    assert rates == pytest.approx(chance, abs=0.1)
    assert np.mean([answer["notes"] for answer in answers]) < 0.1


def test_nothing_is_heard_where_nothing_is() -> None:
    rng = np.random.default_rng(0)
    noise = 0.2 * rng.standard_normal((200, 8_000))
    clicks = (rng.random((50, 8_000)) < 0.001) * 1.0
    for sounds in (np.zeros((3, 8_000)), noise, noise / 100, clicks, np.full((2, 8_000), np.nan), np.ones((2, 8_000))):
        heard = hear(sounds)
        assert all(each.melody is None and each.cents == each.tail == () for each in heard)
    assert not any(fulfilled(Melody(("C4",), "bell"), heard[0]).values())


@pytest.mark.parametrize("rate", [4_000, 8_000, 44_100])
def test_sounds_of_any_length_are_heard_or_not(rate: int) -> None:
    rng = np.random.default_rng(0)
    lengths = [0, 1, 7, 100, rate // 2 - 1, rate // 2, rate - 1, rate, rate + 1, 3 * rate]
    for garbage in (rng.standard_normal, lambda n: 1e30 * rng.standard_normal(n), np.ones, np.zeros):
        assert all(each.melody is None for each in hear([garbage(n) for n in lengths], rate))
    assert hear([]) == []
    melody = Melody(("C4",), "flute", "loud", "short")
    sound = play([melody], rng, rate)[0]
    longer = np.concatenate([sound, sound])
    assert [each.melody for each in hear([sound[: rate // 2], sound[: rate // 3], longer], rate)] == [
        melody,
        None,
        melody,
    ]
    with pytest.raises(ValueError, match="batch, time"):
        hear(np.zeros((1, 2, rate)), rate)


def test_the_threshold_of_loudness_is_far_from_both() -> None:
    rng = np.random.default_rng(0)
    timbres = [timbre for timbre in ("flute", "organ", "bell", "guitar", "trumpet") for _ in range(10)]
    for loudness, other in (("soft", "loud"), ("loud", "soft")):
        melodies = [Melody(("C4", "A4"), timbre, loudness, "short") for timbre in timbres]
        sounds = play(melodies, rng)
        heard = hear(sounds * (LEVELS[other] / LEVELS[loudness]) ** 0.3)
        assert all(each.melody and each.melody.loudness == loudness for each in heard)


def test_a_note_out_of_tune_is_not_that_note() -> None:
    sounds = play([Melody(("A4",), "organ", "loud", "long")], np.random.default_rng(0), 8_000)
    for cents, right in ((20, True), (75, False), (-75, False)):
        moments = np.arange(8_000) * 2 ** (cents / 1200)
        bent = np.interp(moments, np.arange(8_000), sounds[0], right=0)
        (heard,) = hear([bent])
        asked = Melody(("A4",), "organ", "loud", "long")
        assert fulfilled(asked, heard)["notes"] == right
        assert off(asked, heard) == pytest.approx((cents,), abs=12)


def test_a_note_that_slides_away_has_a_tail() -> None:
    time = np.arange(8_000) / 8_000
    bend = np.where(time < 0.45, 0, 120 * (time - 0.45) / 0.3)  # cents
    phase = 2 * np.pi * np.cumsum(440 * 2 ** (bend / 1200)) / 8_000
    (heard,) = hear([0.5 * np.sin(phase) * np.minimum(1, time / 0.04) * (time < 0.85)])
    assert heard.melody == Melody(("A4",), "flute", "loud", "long")
    assert abs(heard.cents[0]) < 5 and heard.tail[0] > IN_TUNE


def test_notes_of_different_kinds_have_nothing_in_common() -> None:
    rng = np.random.default_rng(0)
    first, second = (
        play([Melody(("C4", "G4"), timbre, "loud", length)], rng)[0]
        for timbre, length in (("flute", "long"), ("bell", "short"))
    )
    (heard,) = hear([np.concatenate([first[:4_000], second[4_000:]])])
    assert heard.melody == Melody(("C4", "G4"), None, "loud", None)
    asked = Melody(("C4", "G4"), "flute", "loud", "long")
    assert fulfilled(asked, heard) == {"count": True, "notes": True, "timbre": False, "loudness": True, "length": False}


def test_only_what_was_asked_is_judged() -> None:
    heard = Heard(Melody(("C4", "E4"), "bell", "loud", "short"), (3.0, -4.0), (), 0.9)
    assert fulfilled(Melody(("C4", "E4"), length="short"), heard) == {"count": True, "notes": True, "length": True}
    assert all_right(Melody(("C4", "E4"), length=None), heard)
    wrong = fulfilled(Melody(("C4",), "bell"), heard)
    assert wrong == {"count": False, "notes": False, "timbre": True, "length": False}
    assert off(Melody(("C4", "E4")), heard) == (3.0, -4.0) and off(Melody(("C4",)), heard) == ()
    assert off(Melody(("C4", "D4")), heard) == pytest.approx((3.0, 196.0))
