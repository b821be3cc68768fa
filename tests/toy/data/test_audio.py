import numpy as np
import pytest

from genai.media.sound import Sound
from genai.toy.data.audio import KINDS, ToyAudio
from genai.toy.data.score import FADING, ToyNotes
from genai.toy.world.audio_oracle import all_right, hear
from genai.toy.world.melody import NOTES, TIMBRES, Melody, parse
from genai.toy.world.synth import timing


@pytest.fixture(scope="module")
def source() -> ToyAudio:
    return ToyAudio(items=300)


def test_examples_are_sounds_of_their_captions(source: ToyAudio) -> None:
    for split, count in ((source.train, 300), (source.val, 30)):
        examples = list(split)
        assert len(split) == len(examples) == count
        assert {type(each.media) for each in examples} == {Sound}
        assert {(each.media.rate, each.media.samples.shape) for each in examples} == {(8_000, (8_000,))}
        asked = [parse(each.prompt) for each in examples]
        heard = hear(np.stack([each.media.samples for each in examples]))
        assert np.mean([all_right(*pair) for pair in zip(asked, heard, strict=True)]) >= 0.99


def test_the_splits_share_no_melody_and_counts_of_notes_are_even(source: ToyAudio) -> None:
    trained, unheard, held_out = (
        {(melody.timbre, melody.notes) for melody in source.melodies[kind]}
        for kind in ("trained", "unheard", "held_out")
    )
    asked = [parse(each.prompt) for each in source.train]
    assert all((melody.timbre, melody.notes) in trained for melody in asked if melody.timbre)
    counts = np.bincount([len(melody.notes) for melody in asked], minlength=4) / len(asked)
    assert counts[1:] == pytest.approx(np.full(3, 1 / 3), abs=0.08)
    for index, example in enumerate(source.val):
        melody = parse(example.prompt)
        kind = held_out if index % 2 else unheard
        assert melody.timbre is None or (melody.timbre, melody.notes) in kind
    assert not trained & (unheard | held_out)


def test_prompts_are_fresh_complete_and_of_their_kind(source: ToyAudio) -> None:
    for kind in KINDS:
        prompts = source.asked(kind, 90, 3)
        assert prompts == source.asked(kind, 90, 3) != source.asked(kind, 90, 4)
        assert all(parse(prompt).is_complete and parse(prompt) in source.melodies[kind] for prompt in prompts)
    for split in (source.train, source.val):
        prompts = source.prompts(split, 20, 3)
        assert prompts == source.prompts(split, 20, 3) != source.prompts(split, 20, 4)
        assert all(parse(prompt).is_complete for prompt in prompts)
    assert parse(source.prompts(source.val, 2, 0)[1]) in source.melodies["held_out"]


def test_the_fingerprint_is_of_all_that_matters(source: ToyAudio) -> None:
    same = ToyAudio(items=300, score=ToyNotes())
    assert same.train.fingerprint == source.train.fingerprint != source.val.fingerprint
    others = [{"items": 301}, {"rate": 16_000}, {"seed": 1}]
    prints = {ToyAudio(**{"items": 300, **other}).train.fingerprint for other in others}  # type: ignore[arg-type]
    assert len(prints | {source.train.fingerprint}) == 4
    first, again = source.train[70], ToyAudio(items=300).train[70]
    assert first.prompt == again.prompt and np.array_equal(first.media.samples, again.media.samples)
    with pytest.raises(ValueError, match="64 GiB"):
        ToyAudio(48_000, items=10_000_000)


# The score.


def columns(prompt: str, count: int = 100, near: float = 0.0) -> dict[str, np.ndarray]:
    from genai.toy.data.score import _NAMES

    return dict(zip(_NAMES, ToyNotes(near).frames(prompt, count).T, strict=True))


def test_the_score_says_what_sounds_when() -> None:
    score = columns("a loud flute plays short C4 E4")
    assert set(score["flute"]) == {1} and set(score["organ"]) == {0} and set(score["loudness"]) == {1}
    assert set(score["score"]) == {1}
    (first, end), (second, last) = timing(Melody(("C4", "E4"), length="short"))
    assert np.flatnonzero(score["C4"]).tolist() == list(range(first, end + FADING))
    assert np.flatnonzero(score["E4"]).tolist() == list(range(second, last + FADING))
    assert np.flatnonzero(score["gate"]).tolist() == [*range(first, end), *range(second, last)]
    assert np.flatnonzero(score["beginning"]).tolist() == [first, second]
    assert score["fading"][end : end + FADING + 1] == pytest.approx([1, np.exp(-1), np.exp(-2), 0])
    assert score["decay 5"][second : second + 2] == pytest.approx([1, np.exp(-0.2)])
    assert score["time"][second + 5] == pytest.approx(0.1)


def test_neighbouring_notes_are_alike_in_the_score() -> None:
    sounding = [columns(note, near=0.15)[other][10] for note in ("C4", "E4") for other in NOTES]
    near = np.array(sounding).reshape(2, -1)
    assert (np.diff(near[0]) < 0).all()  # the farther, the less
    assert near[1].argmax() == 2 and near[1, 3] > near[1, 1] > near[1, 0]  # F4 is a semitone away, D4 two


def test_the_score_chooses_what_is_not_said_by_what_is() -> None:
    free, chosen = columns("C4"), {name: set() for name in (*TIMBRES, "loudness")}
    assert free["gate"].sum() == 85  # long, where nothing is said
    for prompt in (f"{note} {other}" for note in NOTES for other in NOTES):
        score = columns(prompt)
        assert sum(score[name].sum() for name in TIMBRES) == len(score["gate"])
        assert score.keys() and all(np.array_equal(score[name], columns(f"play {prompt}")[name]) for name in score)
        for name, seen in chosen.items():
            seen |= set(score[name])
    assert all(seen == {0, 1} for name, seen in chosen.items() if name != "loudness") and chosen["loudness"] == {-1, 1}
    assert set(columns("soft C4")["loudness"]) == {-1}


@pytest.mark.parametrize("prompt", ["", "a red circle", "a piano plays C4", "flute"])
def test_what_is_no_melody_has_no_score(prompt: str) -> None:
    assert not ToyNotes().frames(prompt, 100).any()


@pytest.mark.parametrize("count", [0, 1, 37, 100, 250])
def test_scores_of_any_length_begin_alike(count: int) -> None:
    frames = ToyNotes().frames("bell plays C4 E4 G4", count)
    assert frames.shape == (count, ToyNotes.features) and frames.dtype == np.float32
    shared = min(count, 100)
    assert np.array_equal(frames[:shared], ToyNotes().frames("bell plays C4 E4 G4", 100)[:shared])
