from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.media.midi import midi_to_prompt
from genai.media.sound import Sound
from genai.modalities import optional
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.note_features import _COLUMNS, RELEASE_SECONDS, Notes, pitch_features

PROMPTS = ("a piano plays C4:0.5", "a flute plays C4:0.1 E4:0.1", "a piano plays E4", "a dog barks")


@pytest.fixture
def notes() -> Notes:
    notes = Notes(max_instruments=3)
    notes.fit(PROMPTS)
    return notes


def columns(notes: Notes, prompt: str, count: int) -> dict[str, list[float]]:
    frames = notes.frames(prompt, count)
    assert frames.shape == (count, notes.features) and frames.dtype == np.float32
    named = {name: frames[:, column] for name, column in _COLUMNS.items()}
    names = dict(enumerate(notes.instruments, len(_COLUMNS)))
    return {
        key: np.round(x.astype(float), 2).tolist()
        for key, x in (named | {x: frames[:, i] for i, x in names.items()}).items()
    }


def test_features_of_notes(notes: Notes) -> None:
    features = columns(notes, "a soft flute plays C4:0.05 R:0.02 E4+G4:0.03", 12)
    assert features["gate"] == [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0]
    assert features["end"] == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    assert features["onset"] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert features["decay 1"][:2] == [1, 0.37] and features["decay 1"][7:9] == [1, 0.37]
    assert features["remaining 1"][3:6] == [0.14, 0.37, 0] and features["release 1"][5:8] == [1, 0.37, 0]
    assert {*features["loudness"]} == {-1} and {*features["flute"]} == {1} and {*features["piano"]} == {0}


def test_pitches_are_like_their_neighbors_and_their_octaves(notes: Notes) -> None:
    pitch = pitch_features(1.0)
    similarity = pitch @ pitch[48]  # C4
    assert similarity.argmax() == 48 and similarity[49] > similarity[50] > similarity[53]
    assert similarity[60] > similarity[54] and similarity[60] > similarity[59]
    frames = notes.frames("piano: C4+G4:0.1", 10)[:, -pitch.shape[1] :]
    assert np.array_equal(frames[5], np.maximum(pitch[48], pitch[55]))


def test_instruments_sound_only_in_their_notes_where_there_are_several(notes: Notes) -> None:
    features = columns(notes, "piano: C4:0.02; flute: R:0.5 C4:0.02", 60)
    assert features["piano"][:2] == [1, 1] and features["piano"][50:] == [0] * 10
    assert features["flute"][:50] == [0] * 50 and features["flute"][50:] == [1] * 10


def test_instruments_are_those_of_the_training_prompts(notes: Notes) -> None:
    other = Notes(max_instruments=3)
    other.restore(notes.state())
    assert other.instruments == notes.instruments == ["piano", "flute"]
    assert np.array_equal(other.frames("grand piano: C4", 9), notes.frames("piano: C4", 9))
    assert notes.warning("piano: C4") is None and notes.warning("C4") is None
    assert notes.warning("a pan flute plays C4") == (
        "played by the most similar name, flute: 'pan flute' is new; there are: flute, piano"
    )
    for state in ({"instruments": ["a", ""]}, {"instruments": "piano"}, {"instruments": ["a"] * 2000}):
        with pytest.raises(UserError, match="instruments"):
            other.restore(state)


def test_prompts_without_notes(notes: Notes) -> None:
    assert not notes.frames("a dog barks", 20).any() and notes.seconds("a dog barks") is None
    assert notes.warning("C4:x") and notes.words("a dog barks") == "a dog barks"


@pytest.mark.parametrize("count", [0, 1, 55, 200])
def test_features_of_any_length(notes: Notes, count: int) -> None:
    frames, whole = notes.frames(PROMPTS[0], count), notes.frames(PROMPTS[0], 300)
    assert np.array_equal(frames, whole[:count])


def test_a_model_of_notes(tmp_path: Path) -> None:
    """The modality fits, records and restores the names, gives notes as frames, and the other words as a prompt."""
    load = lambda index: Example(Sound(np.zeros(4000, np.float32), 8000), PROMPTS[index])  # noqa: E731
    split = Split("train", len(PROMPTS), load, "notes")
    audio, other = Audio(prompt_features=Notes()), Audio(prompt_features=Notes())
    audio.fit(split, tmp_path)
    other.restore(audio.state())
    batch = audio.pack(split, tmp_path).batch([0, 1], ItemRandom(0, [0, 0], [0, 1]))
    assert batch.prompts == ["a piano plays", "a flute plays"] and batch.local is not None
    request = other.request(["a flute plays C4:1 E4:1", "a piano plays C4"], [0, 1], None, AudioOptions())
    assert request.prompts == ["a flute plays", "a piano plays"] and request.local is not None
    assert request.size == (round((2 + RELEASE_SECONDS) * 8000),) and request.local[0][150].any()
    assert other.request(["a dog"], [0], None, AudioOptions()).size == (4000,)
    assert other.request(["C4:1"], [0], None, AudioOptions(seconds=0.5)).size == (4000,)
    init = Sound(np.zeros(8000, np.float32), 8000)
    assert other.request(["C4:1"], [0], init, AudioOptions()).size == (round(RELEASE_SECONDS * 8000),)
    assert optional.prompt_words(other, "piano: C4:1") == "piano:"
    assert other.preview().options(["C4:9"]) is None
    assert other.preview().options(["C4:9", "C4:12"]) == [{"seconds": 9 + RELEASE_SECONDS}, {"seconds": 10.0}]
    with pytest.raises(UserError, match="prompt_features"):
        other.restore({"typical": 1.0, "prompt_features": []})


def test_a_midi_file_in_place_of_a_prompt(tmp_path: Path) -> None:
    mido = pytest.importorskip("mido")
    messages: list[Any] = [
        mido.Message(kind, note=60, time=ticks) for kind, ticks in (("note_on", 0), ("note_off", 960))
    ]
    mido.MidiFile(tracks=[mido.MidiTrack(messages)]).save(tmp_path / "a.mid")
    audio, options = Audio(prompt_features=Notes()), AudioOptions(midi=str(tmp_path / "a.mid"))
    audio.prompt_features.fit(PROMPTS[1:2])  # type: ignore[union-attr]
    assert midi_to_prompt(tmp_path / "a.mid") == "piano: C4:1"
    request = audio.request(["", ""], [0, 1], None, options)
    assert request.prompts == ["piano:"] * 2 and request.size == (round((1 + RELEASE_SECONDS) * 8000),)
    assert audio.prompt_notes([""], options) == [
        "prompt 'piano: C4:1' is played by the most similar name, flute: 'piano' is new; there are: flute"
    ]
    for modality, prompt in ((Audio(), ""), (audio, "a flute")):
        with pytest.raises(UserError, match="midi="):
            modality.request([prompt], [0], None, options)
