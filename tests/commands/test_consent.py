"""``python -m genai consent``, and the doors that ask for it: training, loading, sampling, exporting, pages."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

import genai
from genai.core.errors import UserError
from genai.inference.labels import LabelOptions, create_labeler
from genai.media.sound import Sound
from genai.methods.autoregressive import Autoregressive
from genai.runs.checkpoint import CheckpointHeader, load_checkpoint
from genai.runs.run import Run
from genai.trust.consent import find_records
from genai.trust.revocations import read_revocations, revoke
from genai.trust.xmp import read_xmp
from tests.conftest import SMALL_AUDIO

Inside = Callable[..., subprocess.CompletedProcess[str]]
WORDS = ("data=audio_folder", *(word for word in SMALL_AUDIO if not word.startswith("data.")))
VALUES = {
    "id": "anna-2026", "who": "Anna", "given_by": "Anna Example", "given_on": "2026-01-30", "to": ["train"],
    "license": "CC-BY-4.0", "withdrawal": "anna@example.org", "speakers": ["anna"],
}  # fmt: skip
COMMENT = "synthetic voice; trainedAlgorithmicMedia; model Audio Autoregressive; consent anna-2026"


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, sounds: Path, trained: Callable[[str], Path]) -> Iterator[Path]:
    """A folder with recordings and their consent, ``voice``, and runs of a method that needs it, ``runs``.

    The method is one for all sounds, changed for the time of these tests.
    """
    root = tmp_path_factory.mktemp("consent")
    trained("audio")  # as long as its method does not need it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENAI_CONSENT", str(root / "revoked.json"))
        patch.setattr(Autoregressive, "needs_consent", True)
        shutil.copytree(sounds, root / "voice")
        fill_in(root / "voice")
        genai.fit(*WORDS, f"data.path={root / 'voice'}", f"runs={root / 'runs'}", "steps=2")
        yield root


@pytest.fixture(autouse=True)
def nothing_revoked(voice: Path) -> Iterator[None]:
    yield
    (voice / "revoked.json").unlink(missing_ok=True)


def fill_in(folder: Path, **values: Any) -> None:
    """Write the consent for all recordings in a folder."""
    from genai.commands.consent import _find_recordings, _hashes

    hashes = _hashes(_find_recordings(str(folder))[1], folder)
    (folder / "consent.yaml").write_text(yaml.safe_dump({"records": [{**VALUES, "files": hashes, **values}]}))


def only_run(voice: Path) -> Run:
    return Run(next((voice / "runs").glob("*/*")))


def comment(file: Path) -> str:
    """What a player shows of a file."""
    with soundfile.SoundFile(file) as sound:
        return str(sound.comment)


def test_the_template_is_filled_in_with_hashes_and_then_checked(
    inside: Inside, voice: Path, sounds: Path, tmp_path: Path
) -> None:
    shutil.copytree(sounds, folder := tmp_path / "voice")
    shown = inside("consent", f"data.path={folder}", cwd=tmp_path)
    assert shown.returncode == 0 and "12 recordings, to fill in" in shown.stderr
    (folder / "consent.yaml").write_text(shown.stdout)
    assert "id is empty" in inside("consent", f"data.path={folder}", cwd=tmp_path).stderr
    record = {**yaml.safe_load(shown.stdout)["records"][0], **VALUES}
    (folder / "consent.yaml").write_text(yaml.safe_dump({"records": [record]}))
    checked = inside("consent", f"data.path={folder}", cwd=tmp_path)
    assert checked.returncode == 0 and "anna-2026: Anna, given by Anna Example on 2026-01-30" in checked.stdout
    (folder / "new.wav").write_bytes(Sound.read(folder / "low_tone" / "2.wav").to_bytes() + b"\0\0")
    partly = inside("consent", f"data.path={folder}", cwd=tmp_path)
    assert partly.returncode == 2 and "covers new.wav: 1 of 13 recordings" in partly.stderr
    assert list(yaml.safe_load(partly.stdout)["records"][0]["files"]) == ["new.wav"]
    single = inside("consent", f"data.path={folder / 'new.wav'}", cwd=tmp_path)
    assert single.returncode == 2 and '"new.wav":' in single.stdout


def test_mistakes_of_the_command(inside: Inside, tmp_path: Path) -> None:
    for words, message in (
        ([], "give data.path=FOLDER, revoke=ID or list=true"),
        (["revok=x"], "There is no option 'revok=x'. Did you mean 'revoke'?"),
        (["list=maybe"], "it should be true or false"),
        (["revoke=a/b"], "cannot be the id of a consent"),
        (["reason=x"], "reason= is for revoke="),
        (["data.path=nowhere"], "there is no such folder"),
    ):
        done = inside("consent", *words, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr
    assert "paperwork, not truth" in inside("consent", "--help", cwd=tmp_path).stdout


def test_training_asks_for_consent_and_writes_nothing_without(
    inside: Inside, voice: Path, sounds: Path, tmp_path: Path
) -> None:
    shutil.copytree(sounds, folder := tmp_path / "voice")

    def train(*words: str) -> str:
        done = inside("train", *WORDS, f"data.path={folder}", "runs=runs", "steps=1", *words, cwd=tmp_path)
        assert done.returncode == 2 and not (tmp_path / "runs").exists()
        return done.stderr

    assert "which model=wavenet needs" in train() and "records:" in train()
    fill_in(folder, to=["publish"])
    assert "was not given to train a model" in train()
    fill_in(folder)
    assert "label=false: each file of model=wavenet says" in train("label=false")
    revoke("anna-2026")
    assert "is refused: 'anna-2026' was revoked" in train()
    done = inside("train", *SMALL_AUDIO, "runs=runs", "steps=1", cwd=tmp_path)
    assert done.returncode == 2 and "needs recordings in a folder with a consent.yaml" in done.stderr


def test_the_consent_travels_with_the_model(voice: Path) -> None:
    run = only_run(voice)
    own = {"id": "anna-2026", "to": ["train"], "license": "CC-BY-4.0", "speakers": ["anna"], "source": ""}
    assert CheckpointHeader.read(load_checkpoint(run.best)).consent == [own]
    assert json.loads(run.record_file.read_text())["consent"] == [own]
    assert "example.org" not in run.record_file.read_text()  # who gave it stays with the recordings
    model = genai.load(run.folder, device="cpu")
    assert model.makes_voices and [each.id for each in model.voices] == ["anna-2026"]


def test_each_file_says_that_the_voice_is_synthetic(
    inside: Inside, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_LABEL", "false")  # a default, which these models do not have
    run = only_run(voice)
    words = (f"ckpt={run.folder}", "prompt=low tone", "seconds=0.02")
    assert inside("sample", *words, "out=a", cwd=tmp_path).returncode == 0
    assert comment(tmp_path / "a" / "000.wav") == COMMENT
    found = genai.provenance(tmp_path / "a" / "000.wav")
    assert (found.voice, found.consent) == ("synthetic", "anna-2026") and "a synthetic voice, consent" in found.text
    refused = inside("sample", *words, "label=false", "out=b", cwd=tmp_path)
    assert refused.returncode == 2 and "Leave it out" in refused.stderr and not (tmp_path / "b").exists()
    labeler = create_labeler(LabelOptions()).of(genai.load(run.folder, device="cpu"))
    for suffix in (".flac", ".ogg"):
        (file := tmp_path / f"c{suffix}").write_bytes(
            labeler.encode(Sound.read(tmp_path / "a" / "000.wav"), suffix)[suffix]
        )
        assert comment(file) == COMMENT and read_xmp(file.read_bytes())["Consent"] == "anna-2026"
    previews = [file for file in run.folder.glob("previews/**/*") if file.suffix == ".wav"]
    assert all(comment(file) == COMMENT for file in previews)


def test_a_sound_in_progress_says_it_too(voice: Path, tmp_path: Path) -> None:
    from genai.media.wav_stream import WavWriter, stream_header

    chunk = create_labeler(LabelOptions()).of(genai.load(only_run(voice).folder, device="cpu")).wav_info()
    with WavWriter(tmp_path / "a.wav", 8000) as writer:
        writer.append(Sound.read(next((voice / "voice" / "low_tone").glob("*.wav"))))
        before = Sound.read(tmp_path / "a.wav").samples
        writer.insert_chunk(chunk)
        assert comment(tmp_path / "a.wav") == COMMENT
    assert (Sound.read(tmp_path / "a.wav").samples == before).all()
    (tmp_path / "b.wav").write_bytes(stream_header(8000, chunk) + bytes(800))
    assert comment(tmp_path / "b.wav") == COMMENT and len(Sound.read(tmp_path / "b.wav").samples) == 400


def test_a_model_is_exported_only_if_that_was_agreed_to(
    inside: Inside, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = only_run(voice)
    refused = inside("export", f"ckpt={run.folder}", "format=genai", "out=out", cwd=tmp_path)
    assert refused.returncode == 2 and "was not given to publish it" in refused.stderr
    monkeypatch.setattr("genai.runs.voices.check_purpose", lambda *_: None)
    assert inside("export", f"ckpt={run.folder}", "format=genai", "out=out", cwd=tmp_path).returncode == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "anna-2026 (given to train, CC-BY-4.0, speakers anna)" in card and "synthetic voice" in card
    assert [each.id for each in genai.load(tmp_path / "out", device="cpu").voices] == ["anna-2026"]
    revoke("anna-2026")
    with pytest.raises(UserError, match="was revoked"):
        genai.load(tmp_path / "out", device="cpu")


def test_all_doors_refuse_a_revoked_voice(inside: Inside, voice: Path, tmp_path: Path) -> None:
    run, model = only_run(voice), genai.load(only_run(voice).folder, device="cpu")
    done = inside("consent", "revoke=Anna-2026", f"data.path={voice / 'voice'}", f"runs={voice / 'runs'}", cwd=tmp_path)
    assert done.returncode == 0 and "revoked, with 12 recordings" in done.stdout and "note" not in done.stderr
    for name, *words in (
        ("sample", f"ckpt={run.folder}"),
        ("export", f"ckpt={run.folder}", "out=out"),
        ("evaluate", f"ckpt={run.folder}"),
        ("card", f"ckpt={run.folder}"),
        ("page", f"ckpt={run.folder}", f"samples={voice}"),
        ("train", f"resume={run.folder}", "steps=3"),
        ("train", f"init_from={run.folder}", *SMALL_AUDIO, "steps=3"),
    ):
        done = inside(name, *words, cwd=tmp_path)
        assert done.returncode == 2 and "'Anna-2026' was revoked" in done.stderr, (name, done.stderr)
    with pytest.raises(UserError, match="was revoked"):
        model.sample("low tone", seconds=0.02)  # loaded before, as in a server
    fill_in(copy := Path(shutil.copytree(voice / "voice", tmp_path / "copy")), id="another")
    done = inside("train", *WORDS, f"data.path={copy}", "steps=1", cwd=tmp_path)
    assert done.returncode == 2 and "the recording" in done.stderr
    listed = inside("consent", "list=true", f"runs={voice / 'runs'}", cwd=tmp_path)
    assert "revoked  anna-2026 (given to train, CC-BY-4.0, speakers anna)" in listed.stdout


def test_an_unknown_id_is_revoked_with_a_note(inside: Inside, voice: Path, tmp_path: Path) -> None:
    done = inside("consent", "revoke=anna-2025", f"runs={voice / 'runs'}", "reason=moved", cwd=tmp_path)
    assert done.returncode == 0 and "Did you mean 'anna-2026'?" in done.stderr
    assert "was revoked already" in inside("consent", "revoke=anna-2025", "runs=none", cwd=tmp_path).stdout
    listed = inside("consent", "list=true", "runs=none", cwd=tmp_path)
    assert "revoked  anna-2025, on" in listed.stdout and ": moved" in listed.stdout
    assert list(read_revocations()) == ["anna-2025"] and find_records(voice / "voice")[0].id == "anna-2026"


def test_other_sounds_say_that_consent_is_not_stated(
    trained: Callable[[str], Path], voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("audio")
    with pytest.raises(UserError, match="names no consent"):  # its method needs it now
        genai.load(run, device="cpu")
    monkeypatch.setattr(Autoregressive, "needs_consent", False)
    model = genai.load(run, device="cpu")
    content = create_labeler(LabelOptions(label=True)).of(model).encode(Sound.read(next(voice.rglob("*.wav"))))[".wav"]
    (tmp_path / "a.wav").write_bytes(content)
    assert comment(tmp_path / "a.wav") == "trainedAlgorithmicMedia; consent not stated"
    from genai.inference.card import model_card

    assert "**Voices:** consent not stated" in model_card(model)
