import numpy as np
import pytest

from genai.media.sound import Sound
from genai.toy.data.audio import KIND_DESCRIPTIONS, ToyAudio
from genai.toy.data.score import RELEASE_FRAMES, ToyNotes
from genai.toy.world.audio_oracle import detect_melodies, is_melody_match
from genai.toy.world.melody import NOTES, TIMBRES, Melody, parse_melody
from genai.toy.world.synth import note_intervals


@pytest.fixture(scope="module")
def source() -> ToyAudio:
    return ToyAudio(items=300)


def test_examples_match_their_captions(source: ToyAudio) -> None:
    for split, count in ((source.train, 300), (source.val, 30)):
        examples = list(split)
        assert len(split) == len(examples) == count
        assert {type(each.media) for each in examples} == {Sound}
        assert {(each.media.sample_rate, each.media.samples.shape) for each in examples} == {(8_000, (8_000,))}
        targets = [parse_melody(each.prompt) for each in examples]
        detections = detect_melodies(np.stack([each.media.samples for each in examples]))
        assert np.mean([is_melody_match(*pair) for pair in zip(targets, detections, strict=True)]) >= 0.99


def test_splits_are_disjoint_and_counts_of_notes_equal(source: ToyAudio) -> None:
    train, new_melodies, new_notes = (
        {(melody.timbre, melody.notes) for melody in source.melodies[kind]}
        for kind in ("train", "new_melodies", "new_notes")
    )
    targets = [parse_melody(each.prompt) for each in source.train]
    assert all((melody.timbre, melody.notes) in train for melody in targets if melody.timbre)
    counts = np.bincount([len(melody.notes) for melody in targets], minlength=4) / len(targets)
    assert counts[1:] == pytest.approx(np.full(3, 1 / 3), abs=0.08)
    for index, example in enumerate(source.val):
        melody = parse_melody(example.prompt)
        kind = new_notes if index % 2 else new_melodies
        assert melody.timbre is None or (melody.timbre, melody.notes) in kind
    assert not train & (new_melodies | new_notes)


def test_prompts_are_new_complete_and_from_their_kind(source: ToyAudio) -> None:
    for kind in KIND_DESCRIPTIONS:
        prompts = source.kind_prompts(kind, 90, 3)
        assert prompts == source.kind_prompts(kind, 90, 3) != source.kind_prompts(kind, 90, 4)
        assert all(
            parse_melody(prompt).is_complete and parse_melody(prompt) in source.melodies[kind] for prompt in prompts
        )
    for split in (source.train, source.val):
        prompts = source.prompts(split, 20, 3)
        assert prompts == source.prompts(split, 20, 3) != source.prompts(split, 20, 4)
        assert all(parse_melody(prompt).is_complete for prompt in prompts)
    assert parse_melody(source.prompts(source.val, 2, 0)[1]) in source.melodies["new_notes"]


def test_content_hash_depends_on_all_settings(source: ToyAudio) -> None:
    same = ToyAudio(items=300, prompt_features=ToyNotes())
    assert same.train.content_hash == source.train.content_hash != source.val.content_hash
    others = [{"items": 301}, {"sample_rate": 16_000}, {"seed": 1}]
    prints = {ToyAudio(**{"items": 300, **other}).train.content_hash for other in others}  # type: ignore[arg-type]
    assert len(prints | {source.train.content_hash}) == 4
    first, again = source.train[70], ToyAudio(items=300).train[70]
    assert first.prompt == again.prompt and np.array_equal(first.media.samples, again.media.samples)
    with pytest.raises(ValueError, match="64 GiB"):
        ToyAudio(48_000, items=10_000_000)


# The score.


def columns(prompt: str, count: int = 100, near: float = 0.0) -> dict[str, np.ndarray]:
    from genai.toy.data.score import _FEATURE_NAMES

    return dict(zip(_FEATURE_NAMES, ToyNotes(near).frames(prompt, count).T, strict=True))


def test_note_features() -> None:
    features = columns("a loud flute plays short C4 E4")
    assert set(features["flute"]) == {1} and set(features["organ"]) == {0} and set(features["loudness"]) == {1}
    assert set(features["score"]) == {1}
    (first, end), (second, last) = note_intervals(Melody(("C4", "E4"), length="short"))
    assert np.flatnonzero(features["C4"]).tolist() == list(range(first, end + RELEASE_FRAMES))
    assert np.flatnonzero(features["E4"]).tolist() == list(range(second, last + RELEASE_FRAMES))
    assert np.flatnonzero(features["gate"]).tolist() == [*range(first, end), *range(second, last)]
    assert np.flatnonzero(features["onset"]).tolist() == [first, second]
    assert features["release"][end : end + RELEASE_FRAMES + 1] == pytest.approx([1, np.exp(-1), np.exp(-2), 0])
    assert features["decay 5"][second : second + 2] == pytest.approx([1, np.exp(-0.2)])
    assert features["time"][second + 5] == pytest.approx(0.1)


def test_neighbor_notes_are_similar() -> None:
    sounding = [columns(note, near=0.15)[other][10] for note in ("C4", "E4") for other in NOTES]
    near = np.array(sounding).reshape(2, -1)
    assert (np.diff(near[0]) < 0).all()  # the farther, the less
    assert near[1].argmax() == 2 and near[1, 3] > near[1, 1] > near[1, 0]  # F4 is a semitone away, D4 two


def test_free_attributes_are_drawn_from_the_notes() -> None:
    free, chosen = columns("C4"), {name: set() for name in (*TIMBRES, "loudness")}
    assert free["gate"].sum() == 85  # long, where nothing is said
    for prompt in (f"{note} {other}" for note in NOTES for other in NOTES):
        features = columns(prompt)
        assert sum(features[name].sum() for name in TIMBRES) == len(features["gate"])
        assert features.keys() and all(
            np.array_equal(features[name], columns(f"play {prompt}")[name]) for name in features
        )
        for name, values in chosen.items():
            values |= set(features[name])
    assert all(values == {0, 1} for name, values in chosen.items() if name != "loudness") and chosen["loudness"] == {
        -1,
        1,
    }
    assert set(columns("soft C4")["loudness"]) == {-1}


@pytest.mark.parametrize("prompt", ["", "a red circle", "a piano plays C4", "flute"])
def test_other_prompts_have_no_features(prompt: str) -> None:
    assert not ToyNotes().frames(prompt, 100).any()


@pytest.mark.parametrize("count", [0, 1, 37, 100, 250])
def test_features_of_any_length(count: int) -> None:
    frames = ToyNotes().frames("bell plays C4 E4 G4", count)
    assert frames.shape == (count, ToyNotes.features) and frames.dtype == np.float32
    shared = min(count, 100)
    assert np.array_equal(frames[:shared], ToyNotes().frames("bell plays C4 E4 G4", 100)[:shared])
