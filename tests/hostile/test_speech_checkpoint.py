"""Voices of strangers: a checkpoint of speech, its recordings and texts, and what the cache keeps of them."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.core.cache import cache_dir
from genai.core.errors import NonFiniteOutput, UserError
from genai.data.audio_folder import AudioFolder
from genai.modalities.speech import Speech
from genai.runs.run import Run
from genai.speech.text_to_phones import TextToPhones
from tests.conftest import SMALL_SPEECH, copy_run
from tests.hostile.attempts import attempt, limited
from tests.hostile.checkpoints import Change, State, assert_refused, put, remove, write_changed
from tests.hostile.test_cache import flipped, truncated
from tests.hostile.test_checkpoint_values import VALUES

STATE = ("genai", "modality_state")
BIDI = "a\u202eb"


@pytest.fixture
def good(trained: Callable[[str], Path]) -> Path:
    """A real checkpoint of a voice."""
    return trained("speech") / "checkpoints" / "last.ckpt"


def fill(value: float, name: str, column: int | None = None) -> Change:
    """Set all numbers, or a column, of a tensor of the state."""

    def change(state: State) -> None:
        tensor = state["genai"]["modality_state"][name]
        (tensor if column is None else tensor[:, column]).fill_(value)

    return change


def fill_weights(value: float, name: str) -> Change:
    """Set all numbers of the weights with a name."""

    def change(state: State) -> None:
        for key, tensor in state["state_dict"].items():
            if name in key:
                tensor.fill_(value)

    return change


REFUSED: dict[str, Change] = {
    **{
        f"{name}: {kind}": put(VALUES[kind], *STATE, name)
        for name in ("symbols", "speakers", "lexicon", "speaker_languages", "aligner_means")
        for kind in ("endless lists of few levels", "1 MB with control characters", "nan", "60 digits")
    },
    **{f"no {name}": remove(*STATE, name) for name in ("lexicon", "means", "aligner_scale")},
    "no state": put(None, *STATE),
    "a table without a pause": put(["a", "b"], *STATE, "symbols"),
    "a phone twice": put(["sil", "a", "a", "i", "m", "o"], *STATE, "symbols"),
    "a phone of control characters": put(["sil", "\x1b[2J", "e", "i", "m", "o"], *STATE, "symbols"),
    "half of a character": put(["sil", "\ud800", "e", "i", "m", "o"], *STATE, "symbols"),
    "fewer phones than the network": put(["sil", "a", "e"], *STATE, "symbols"),
    "a speaker of control characters": put(["anna", "\n\x1b]0;x"], *STATE, "speakers"),
    "a speaker that turns the line": put(["anna", BIDI], *STATE, "speakers"),
    "a speaker more": put(["anna", "bruno", "carla"], *STATE, "speakers"),
    "a long speaker": put(["anna", "b" * 1000], *STATE, "speakers"),
    "a language that is not there": put([0, 9], *STATE, "speaker_languages"),
    "another source of phones": put("__import__('os')", *STATE, "source"),
    "a lexicon of control characters": put({"amo": "\x1b[2J0 a0"}, *STATE, "lexicon"),
    "a lexicon without phones": put({"amo": "   "}, *STATE, "lexicon"),
    "a lexicon of one long phone": put({"amo": "a" * 1999 + "0"}, *STATE, "lexicon"),
    "a lexicon of numbers": put({3: "a0"}, *STATE, "lexicon"),
    "nan in the means": fill(float("nan"), "means"),
    "infinite means": fill(float("inf"), "means"),
    "means beyond all sounds": fill(1e30, "means"),
    "no deviation": fill(0, "stds"),
    "hardly any deviation": fill(1e-30, "stds"),
    "whole numbers": put(torch.zeros(2, 62).int(), *STATE, "means"),
    "a view of one number": put(torch.zeros(1).expand(2 * 10**8), *STATE, "means"),
    "no numbers": put(torch.zeros(0), *STATE, "mean_log_durations"),
    "an aligner that divides by nothing": fill(1e-300, "aligner_scale"),
    "an aligner of another size": put(torch.zeros(5000, 27), *STATE, "aligner_means"),
    "a network of endless layers": put([1] * 50_000, "genai", "model", "network", "dilations"),
    "code as a modality": put("os.system", "genai", "modality", "_target_"),
    "no consent": put([], "genai", "consent"),
    "a consent of control characters": put([{"id": "\x1b[2J"}], "genai", "consent"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_such_a_voice_is_not_loaded(kind: str, good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", REFUSED[kind])
    assert_refused(lambda: genai.load(path, device="cpu"), r"x\.ckpt", tmp_path)


SILENT: dict[str, Change] = {
    "pitch beyond hearing": fill(20, "means", -1),
    "infinite pitch": fill(1e4, "means", -1),
    "infinite power": fill(1e4, "means", 3),
    "wild deviations": fill(1e4, "stds"),
    "wild frames": fill_weights(1e17, "frame_out"),
    "wild prosody": fill_weights(1e17, "prior.out"),
}


@pytest.mark.parametrize("kind", SILENT)
@pytest.mark.filterwarnings("error")
def test_numbers_that_are_no_voice_make_no_sound(kind: str, good: Path, tmp_path: Path) -> None:
    model = genai.load(write_changed(good, tmp_path / "x.ckpt", SILENT[kind]), device="cpu")
    with limited(), pytest.raises(NonFiniteOutput, match=r"failed or its file changed"):
        model.sample("amo")


def test_a_file_that_a_checkpoint_names_is_not_read(good: Path, tmp_path: Path) -> None:
    (secret := tmp_path / "secret").write_text("amo  z z z z\n")
    path = write_changed(good, tmp_path / "x.ckpt", put(str(secret), "genai", "modality", "lexicon"))
    (sound,) = genai.load(path, device="cpu").sample("amo")
    assert [phone["symbol"] for phone in json.loads(sound.side_files["-words.json"])["words"][0]["phones"]] == [*"amo"]


def test_endless_durations_are_bounded(good: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", fill_weights(1e17, "duration_out"))
    with limited():
        assert genai.load(path, device="cpu").sample("amo")[0].seconds < 10


@pytest.mark.parametrize("change", [fill(1e-300, "aligner_scale"), put("x", *STATE, "lexicon")])
def test_training_does_not_begin_from_it(change: Change, good: Path, voices: Path, tmp_path: Path) -> None:
    path = write_changed(good, tmp_path / "x.ckpt", change)
    words = [*SMALL_SPEECH, f"data.path={voices}", f"runs={tmp_path / 'runs'}"]
    assert_refused(lambda: genai.fit(*words, f"init_from={path}", "steps=1"), r"x\.ckpt", tmp_path)


def test_a_run_of_a_stranger_is_not_resumed(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run(copy_run(trained("speech"), tmp_path))
    for file in run.last.parent.glob("*.ckpt"):
        write_changed(file, file, put(["sil", "\x1b[2J"], *STATE, "symbols"))
    assert_refused(lambda: genai.fit(f"resume={run.folder}", "steps=7"), r"\.ckpt|does not fit", tmp_path)


# ------------------------------------------------------------------------------------------- recordings and the cache


@pytest.fixture
def recordings(voices: Path, tmp_path: Path) -> Path:
    """The table of a copy of the recordings."""
    return Path(shutil.copytree(voices, tmp_path / "voices")) / "metadata.csv"


def fitted(table: Path) -> dict[str, Any]:
    """The state of a voice that is learned from a folder."""
    modality, split = Speech(phones="letters"), AudioFolder(str(table.parent)).train
    modality.fit(split, cache_dir())
    modality.pack(split, cache_dir())
    return modality.state()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("anna", "\x1b[2J", "has control characters"),
        ("speaker,", "language,", "is no code of a language"),
        ("file_name", "../../etc/passwd", "file_name"),
    ],
)
def test_a_table_of_strangers_is_only_text(
    old: str, new: str, message: str, recordings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recordings.write_text(recordings.read_text().replace(old, new))
    answer = attempt(lambda: fitted(recordings), capfd)
    assert answer.code == 2 and message in "\n".join(answer.lines)


def test_what_cannot_be_loaded_is_not_trained(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.modalities.speech_state.Symbols", list[int])
    with pytest.raises(UserError, match="data: no voice can be learned from it: symbols"):
        fitted(recordings)


@pytest.mark.parametrize("text", ["9" * 10_000, "[[" * 10_000, "999," * 2_500, "a." * 10_000 + "b", " " * 20_000 + "b"])
def test_texts_take_no_more_than_their_length(text: str) -> None:
    with limited(), suppress(UserError):
        TextToPhones("en", "letters").convert([text])


@pytest.mark.parametrize("damage", [truncated, flipped], ids=lambda damage: damage.__name__)
def test_damaged_frames_are_made_again(
    damage: Callable[[Path], None], recordings: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = recordings.parent.parent / "cache"
    monkeypatch.setenv("GENAI_CACHE", str(folder))
    before = fitted(recordings)
    files = [file for file in folder.iterdir() if file.suffix in (".f4", ".i4", ".p4", ".json")]
    for file in files:
        damage(file)
    after: dict[str, Any] = {}
    assert attempt(lambda: after.update(fitted(recordings)), capfd).code == 0
    assert {".f4", ".i4", ".p4", ".json"} == {file.suffix for file in files}
    assert all(torch.equal(after[name], before[name]) for name in ("means", "stds", "aligner_means"))
