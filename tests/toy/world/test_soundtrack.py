import numpy as np
import pytest

from genai.toy.world.melody import NOTES, TIMBRES
from genai.toy.world.motion import COMBINATIONS, Motion
from genai.toy.world.scene import COLOURS, SHAPES
from genai.toy.world.soundtrack import HELD, Note, f1, matched, named, onsets, play, score
from genai.toy.world.trajectories import draw

MOTIONS = [
    Motion((a.things[0], b.things[0])[: 1 + i % 2])
    for i, (a, b) in enumerate(zip(COMBINATIONS[1::7], COMBINATIONS[6::7], strict=False))
]
RATE = 8_000


@pytest.fixture(scope="module")
def scores() -> list[list[Note]]:
    """Of eighty clips of four seconds."""
    _, bounces = draw(MOTIONS, np.random.default_rng(0), 16, frames=32)
    return [score(*pair) for pair in zip(MOTIONS, bounces, strict=True)]


@pytest.fixture(scope="module")
def true(scores: list[list[Note]]) -> list[list[float]]:
    return [[note.time for note in each] for each in scores]


@pytest.fixture(scope="module")
def sounds(scores: list[list[Note]]) -> np.ndarray:
    return play(scores, 4, np.random.default_rng(1))


def test_a_note_at_each_bounce_names_what_bounces(scores: list[list[Note]]) -> None:
    assert sum(map(len, scores)) > 150
    for motion, notes in zip(MOTIONS, scores, strict=True):
        for note in notes:
            thing = motion.things[note.thing]
            assert TIMBRES.index(note.timbre) == SHAPES.index(thing.shape or "")
            assert list(NOTES).index(note.name) == list(COLOURS).index(thing.colour or "")


def test_soundtracks_follow_from_the_generator_and_are_silent_but_for_their_notes(scores: list[list[Note]]) -> None:
    few = play(scores[:9], 4, np.random.default_rng(1))
    assert few.shape == (9, 32_000) and few.dtype == np.float32 and 0.2 < np.abs(few).max() <= 1
    assert np.array_equal(few[:4], play(scores[:4], 4, np.random.default_rng(1)))
    for sound, notes in zip(few, scores, strict=False):
        silent = np.ones(len(sound), bool)
        for note in notes:
            silent[round((note.time - 0.01) * RATE) : round((note.time + HELD + 0.03) * RATE)] = False
        assert np.abs(sound[silent]).max() < 0.01
    with pytest.raises(ValueError, match="at least 4000"):
        play(scores[:1], 4, np.random.default_rng(0), 3_000)


@pytest.mark.parametrize("rate", [4_000, 8_000, 16_000])
def test_onsets_and_notes_of_soundtracks_are_heard(
    scores: list[list[Note]], true: list[list[float]], rate: int
) -> None:
    sounds = play(scores, 4, np.random.default_rng(1), rate)
    found = [onsets(sound, rate) for sound in sounds]
    assert f1(found, true) >= 0.95
    right = []
    for sound, times, notes in zip(sounds, found, scores, strict=True):
        pairs = matched(times, [note.time for note in notes])
        heard = named(sound, rate, [times[number] for number, _ in pairs])
        right += [name == notes[number].name for name, (_, number) in zip(heard, pairs, strict=True)]
    assert np.mean(right) > 0.9


def test_what_is_not_in_sync_scores_as_chance(sounds: np.ndarray, true: list[list[float]]) -> None:
    found = [onsets(sound, RATE) for sound in sounds]
    assert f1(found[1:] + found[:1], true) < 0.2
    assert f1([[time + 0.25 for time in times] for times in found], true) < 0.12
    assert f1([onsets(np.zeros(32_000), RATE) for _ in true], true) == 0
    noise = np.random.default_rng(0).normal(0, 0.2, sounds.shape)
    assert f1([onsets(each, RATE) for each in noise], true) < 0.02
    assert f1([[]], [[]]) == 0 and onsets(np.zeros(0), RATE) == []


def test_each_onset_is_that_of_one_bounce() -> None:
    assert matched([1.0, 1.01, 2.0], [1.05, 3.0]) == [(0, 0)]
    assert matched([1.0, 1.05], [1.04, 1.06]) == [(0, 0), (1, 1)]
    assert matched([0.9], [1.0]) == [] and matched([0.9], [1.0], tolerance=0.11) == [(0, 0)]
    assert f1([[1.0], []], [[1.0], [2.0]]) == pytest.approx(2 / 3)
