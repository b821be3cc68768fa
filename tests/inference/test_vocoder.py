"""Speech through a trained vocoder: copies of recordings, speech, its recipe, and what is refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import genai
from genai.core.errors import UserError
from genai.data.audio_folder import AudioFolder
from genai.inference.provenance import read_recipe
from genai.inference.vocoder import with_vocoder
from genai.media.sound import Sound
from genai.metrics.audio.copy_synthesis import CopySynthesis
from genai.metrics.base import EvalContext
from genai.modalities.vocoder_audio import VocoderAudio
from genai.server.job_recipes import public_recipe
from tests.stubs import decoded_files

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def vocoder(trained: Callable[[str], Path]) -> genai.Model:
    return genai.load(trained("vocoder"), device="cpu")


def test_a_recording_is_copied_at_its_pitch(vocoder: genai.Model, voices: Path) -> None:
    real = Sound.read(voices / "1.wav")
    (copy,) = vocoder.sample(init=voices / "1.wav")
    assert len(copy.samples) == len(real.samples)
    pitches = [vocoder.modality.frames(sound)[:, -1] for sound in (real, copy)]  # type: ignore[attr-defined]
    voiced = (pitches[0] > 0) & (pitches[1] > 0)
    cents = 1200 * (pitches[1][voiced] / pitches[0][voiced]).log2().abs()
    assert voiced.sum() > 20 and cents.median() < 20
    with pytest.raises(UserError, match="give a recording to analyze with init=FILE"):
        vocoder.sample()
    with pytest.raises(UserError, match="seconds=: a vocoder gives the sound of init="):
        vocoder.sample(init=voices / "1.wav", seconds=1)


def test_copies_are_measured_beside_those_of_world(vocoder: genai.Model, voices: Path) -> None:
    results = CopySynthesis().compute(EvalContext(vocoder, AudioFolder(str(voices)), n=2))
    assert results.keys() == {"copy_convergence", "copy_magnitude"}
    assert all(0 < result.value < 2 and 0 < result.reference < 2 for result in results.values())  # type: ignore[operator]


def test_speech_goes_through_a_vocoder_and_its_recipe_makes_it_again(
    vocoder: genai.Model, trained: Callable[[str], Path], tmp_path: Path, inside: Command
) -> None:
    words, key = (f"ckpt={trained('speech')}", "prompt=Amo. Emo."), f"vocoder={vocoder.file}"
    for out, more in (("world", ()), ("model", (key,))):
        process = inside("sample", *words, *more, f"out={out}", cwd=tmp_path)
        assert process.returncode == 0, process.stderr
    sounds = [Sound.read(tmp_path / out / "000.wav") for out in ("world", "model")]
    assert len(sounds[0].samples) == len(sounds[1].samples)
    assert not np.array_equal(sounds[0].samples, sounds[1].samples)
    recipe = json.loads((tmp_path / "model" / "000.json").read_text())
    assert recipe["vocoder"]["checkpoint_sha256"] == vocoder.digest
    again = inside("sample", "from=model/000.json", f"runs={tmp_path}", "out=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert decoded_files(tmp_path / "model", "000.wav") == decoded_files(tmp_path / "again", "000.wav")
    public = public_recipe(read_recipe(tmp_path / "model" / "000.json"), {})
    assert public.vocoder and "/" not in public.vocoder.checkpoint


def test_consent_of_both_models_counts(vocoder: genai.Model, trained: Callable[[str], Path]) -> None:
    model = with_vocoder(genai.load(trained("speech"), device="cpu"), str(vocoder.file), device="cpu")
    assert vocoder.makes_voices and vocoder.voices
    assert set(model.parts) == {"ckpt", "vocoder"} and model.voices == vocoder.voices


def test_what_is_no_vocoder_is_refused(vocoder: genai.Model, trained: Callable[[str], Path], tmp_path: Path) -> None:
    speech = genai.load(trained("speech"), device="cpu")
    with pytest.raises(UserError, match="it should be a run of model=vocoder"):
        with_vocoder(speech, str(trained("speech")), device="cpu")
    with pytest.raises(UserError, match="vocoder=: "):
        with_vocoder(speech, str(tmp_path / "none"))
    with pytest.raises(
        UserError, match=r"vocoder= is for speech \(model=tts\), and this model makes sound of 16,000 Hz"
    ):
        with_vocoder(vocoder, str(vocoder.file))
    speech.modality.sample_rate = 24_000  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="makes sound of 16,000 Hz, and this model of 24,000 Hz"):
        with_vocoder(speech, str(vocoder.file), device="cpu")
    with pytest.raises(ValueError, match="no state"):
        VocoderAudio().restore({"mean": 1})
