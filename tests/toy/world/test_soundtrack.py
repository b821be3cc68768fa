import numpy as np
import pytest

from genai.toy.world.melody import NOTES, TIMBRES
from genai.toy.world.motion import COMBINATIONS, Motion
from genai.toy.world.scene import COLORS, SHAPES
from genai.toy.world.soundtrack import (
    NOTE_SECONDS,
    Note,
    bounce_notes,
    classify_notes,
    detect_onsets,
    match_onsets,
    onset_f1,
    render_soundtracks,
)
from genai.toy.world.trajectories import render_clips

MOTIONS = [
    Motion((a.things[0], b.things[0])[: 1 + i % 2])
    for i, (a, b) in enumerate(zip(COMBINATIONS[1::7], COMBINATIONS[6::7], strict=False))
]
RATE = 8_000


@pytest.fixture(scope="module")
def scores() -> list[list[Note]]:
    """Of eighty clips of four seconds."""
    _, bounces = render_clips(MOTIONS, np.random.default_rng(0), 16, frames=32)
    return [bounce_notes(*pair) for pair in zip(MOTIONS, bounces, strict=True)]


@pytest.fixture(scope="module")
def targets(scores: list[list[Note]]) -> list[list[float]]:
    return [[note.time for note in each] for each in scores]


@pytest.fixture(scope="module")
def sounds(scores: list[list[Note]]) -> np.ndarray:
    return render_soundtracks(scores, 4, np.random.default_rng(1))


def test_notes_at_bounces(scores: list[list[Note]]) -> None:
    assert sum(map(len, scores)) > 150
    for motion, notes in zip(MOTIONS, scores, strict=True):
        for note in notes:
            thing = motion.things[note.thing]
            assert TIMBRES.index(note.timbre) == SHAPES.index(thing.shape or "")
            assert list(NOTES).index(note.name) == list(COLORS).index(thing.color or "")


def test_soundtracks_depend_only_on_the_seed(scores: list[list[Note]]) -> None:
    subset = render_soundtracks(scores[:9], 4, np.random.default_rng(1))
    assert subset.shape == (9, 32_000) and subset.dtype == np.float32 and 0.2 < np.abs(subset).max() <= 1
    assert np.array_equal(subset[:4], render_soundtracks(scores[:4], 4, np.random.default_rng(1)))
    for sound, notes in zip(subset, scores, strict=False):
        silent = np.ones(len(sound), bool)
        for note in notes:
            silent[round((note.time - 0.01) * RATE) : round((note.time + NOTE_SECONDS + 0.03) * RATE)] = False
        assert np.abs(sound[silent]).max() < 0.01
    with pytest.raises(ValueError, match="at least 4000"):
        render_soundtracks(scores[:1], 4, np.random.default_rng(0), 3_000)


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 16_000])
def test_detected_onsets_and_notes(scores: list[list[Note]], targets: list[list[float]], sample_rate: int) -> None:
    sounds = render_soundtracks(scores, 4, np.random.default_rng(1), sample_rate)
    onsets = [detect_onsets(sound, sample_rate) for sound in sounds]
    assert onset_f1(onsets, targets) >= 0.95
    right = []
    for sound, times, notes in zip(sounds, onsets, scores, strict=True):
        pairs = match_onsets(times, [note.time for note in notes])
        heard = classify_notes(sound, sample_rate, [times[number] for number, _ in pairs])
        right += [name == notes[number].name for name, (_, number) in zip(heard, pairs, strict=True)]
    assert np.mean(right) > 0.9


def test_what_is_not_in_sync_scores_as_chance(sounds: np.ndarray, targets: list[list[float]]) -> None:
    onsets = [detect_onsets(sound, RATE) for sound in sounds]
    assert onset_f1(onsets[1:] + onsets[:1], targets) < 0.2
    assert onset_f1([[time + 0.25 for time in times] for times in onsets], targets) < 0.12
    assert onset_f1([detect_onsets(np.zeros(32_000), RATE) for _ in targets], targets) == 0
    noise = np.random.default_rng(0).normal(0, 0.2, sounds.shape)
    assert onset_f1([detect_onsets(each, RATE) for each in noise], targets) < 0.02
    assert onset_f1([[]], [[]]) == 0 and detect_onsets(np.zeros(0), RATE) == []


def test_onsets_match_at_most_one_bounce() -> None:
    assert match_onsets([1.0, 1.01, 2.0], [1.05, 3.0]) == [(0, 0)]
    assert match_onsets([1.0, 1.05], [1.04, 1.06]) == [(0, 0), (1, 1)]
    assert match_onsets([0.9], [1.0]) == [] and match_onsets([0.9], [1.0], tolerance=0.11) == [(0, 0)]
    assert onset_f1([[1.0], []], [[1.0], [2.0]]) == pytest.approx(2 / 3)
