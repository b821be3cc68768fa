import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import genai
from genai.core.errors import UserError
from genai.modalities.speech_dataset import MIN_CUT_FRAMES, SpeechSegment
from genai.modalities.speech_decoder import enhance_formants
from genai.modalities.speech_state import SpeechState


@pytest.fixture(scope="module")
def model(trained: Callable[[str], Path]) -> genai.Model:
    return genai.load(trained("speech"), device="cpu")


def test_a_text_is_read_sentence_by_sentence(model: genai.Model) -> None:
    stream = model.stream("Amo, emo. Imo mio!", seed=3)
    parts = list(stream)
    (sound,) = stream.results()
    assert len(parts) == 2 and sound.sample_rate == 16_000
    np.testing.assert_array_equal(np.concatenate([part[0].samples for part in parts]), sound.samples)
    words = json.loads(sound.side_files["-words.json"])["words"]
    assert [word["text"] for word in words] == ["amo", "emo", "imo", "mio"]
    assert [phone["symbol"] for phone in words[0]["phones"]] == list("amo")
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times) and times[-1] <= sound.seconds
    again = model.sample("Amo, emo. Imo mio!", seed=3)[0]
    np.testing.assert_array_equal(again.samples, sound.samples)
    assert not np.array_equal(model.sample("Amo, emo. Imo mio!", seed=4)[0].samples[:4000], sound.samples[:4000])


def test_speakers_are_named_and_differ(model: genai.Model) -> None:
    sounds = [model.sample("amo", speaker=speaker, variation=0)[0] for speaker in ("anna", "bruno")]
    assert not np.array_equal(*(sound.samples[:800] for sound in sounds))
    with pytest.raises(UserError, match=r"There is no speaker 'ana'. Did you mean 'anna'\? There are: anna, bruno\."):
        model.sample("amo", speaker="ana")
    with pytest.raises(UserError, match="There is no language 'de'"):
        model.sample("amo", language="de")
    with pytest.raises(UserError, match="nothing to read aloud"):
        model.sample("...")
    with pytest.raises(UserError, match="cannot start from a file"):
        model.sample("amo", init=sounds[0])


def test_speed_pause_and_pitch(model: genai.Model) -> None:
    mean_log = model.sample("amo. emo", variation=0)[0]
    assert model.sample("amo. emo", variation=0, speed=2)[0].seconds < 0.7 * mean_log.seconds
    assert model.sample("amo. emo", variation=0, pause=3)[0].seconds > mean_log.seconds
    raised = model.sample("amo. emo", variation=0, pitch=5)[0]
    assert raised.seconds == mean_log.seconds and not np.array_equal(raised.samples, mean_log.samples)


def test_a_note_names_phones_that_training_never_heard(model: genai.Model) -> None:
    assert model.modality.prompt_notes(["amo"]) == []  # type: ignore[attr-defined]
    assert "never heard z" in model.modality.prompt_notes(["zoo"])[0]  # type: ignore[attr-defined]


def test_a_state_of_strangers_is_checked(model: genai.Model) -> None:
    state = model.modality.state()
    assert SpeechState.from_plain(state).to_plain().keys() == state.keys()
    wrong = {
        "speakers": ["anna", "anna"],
        "symbols": ["a", "sil"],
        "means": torch.zeros(2, 3),
        "stds": state["stds"] * 0,
        "mean_log_durations": state["mean_log_durations"] * torch.inf,
        "speaker_languages": [0, 5],
        "main_speaker": 2,
        "source": "a program",
        "lexicon": {"amo": 3},
        "aligner_means": torch.zeros(3, 27),
    }
    for name, value in wrong.items():
        with pytest.raises((UserError, ValueError)):
            SpeechState.from_plain({**state, name: value})


def test_recordings_are_cut_at_pauses_between_sentences() -> None:
    phones = np.array([[0, 3, 0, 4, 1], [1, 0, 1, 100, 1], [0, 5, 0, 2 * MIN_CUT_FRAMES + 1, 1], [2, 0, 1, 50, 1]])
    frames = np.arange(phones[:, 3].sum() * 63, dtype=np.float32).reshape(-1, 63)
    whole = SpeechSegment("a b", frames, phones, np.zeros((4, 3), np.float32), 0, 0)
    first, second = whole.cut(np.array([False, False, True, False]))
    assert first.phones[:, 3].tolist() == [4, 100, MIN_CUT_FRAMES]
    assert second.phones[:, 3].tolist() == [MIN_CUT_FRAMES + 1, 50]
    assert first.phones[-1, 4] == second.phones[0, 4] == 0
    np.testing.assert_array_equal(np.concatenate([first.frames, second.frames]), frames)
    assert len(list(whole.cut(np.zeros(4, bool)))) == 1


def test_formants_become_clearer_and_loudness_stays() -> None:
    envelope = np.random.default_rng(0).normal(size=(3, 60)).astype(np.float32)
    np.testing.assert_allclose(enhance_formants(envelope, 1.0), envelope, atol=1e-5)
    sharp = enhance_formants(envelope, 1.2)
    np.testing.assert_allclose(sharp.mean(1), envelope.mean(1), atol=1e-5)
    assert (sharp.std(1) > envelope.std(1)).all()
