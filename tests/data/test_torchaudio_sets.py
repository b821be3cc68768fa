from pathlib import Path

import numpy as np
import pytest
import soundfile

from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.torchaudio_sets import DATASETS, TorchaudioSet


def put(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 800), 16_000)


def commands(root: Path) -> Path:
    """Two words of six recordings; of each the first is for testing, the second for validation."""
    folder = root / "SpeechCommands" / "speech_commands_v0.02"
    names = [f"{word}/{speaker:08x}_nohash_0.wav" for word in ("bed", "two") for speaker in range(6)]
    for seed, name in enumerate(names):
        put(folder / name, seed)
    put(folder / "_background_noise_" / "rain.wav", 99)
    for list_, rest in (("testing", "0_nohash_0.wav"), ("validation", "1_nohash_0.wav")):
        (folder / f"{list_}_list.txt").write_text("".join(f"{name}\n" for name in names if name.endswith(rest)))
    return folder


def lj(root: Path) -> None:
    folder = root / "LJSpeech-1.1"
    for number in range(10):
        put(folder / "wavs" / f"LJ001-{number:04}.wav", number)
    rows = [f'LJ001-{number:04}|Number {number}, "so|number {number}, so' for number in range(10)]
    (folder / "metadata.csv").write_text("\n".join(rows))


def texts(split: Split) -> list[str]:
    return sorted(example.prompt for example in split)


def test_words_are_prompts_and_the_testing_list_is_held_out(tmp_path: Path) -> None:
    folder = commands(tmp_path)
    source = TorchaudioSet("SPEECHCOMMANDS", str(tmp_path), sample_rate=8_000)
    assert (texts(source.train), texts(source.val)) == (["bed"] * 4 + ["two"] * 4, ["bed", "two"])
    assert source.column_values(source.val, "speaker") == ["00000000"] * 2 and "speaker" in source.column_names
    assert (source.val[0].media.sample_rate, len(source.val[0].media.samples)) == (8_000, 400)
    assert source.description == (
        f"SPEECHCOMMANDS in {tmp_path}: 8 sounds to train on, 2 held out, 2 different prompts, 0.5 seconds in all"
    )
    (folder / "bed" / "00000000_nohash_0.wav").write_bytes(b"RIFF")
    reloaded = TorchaudioSet("SPEECHCOMMANDS", str(tmp_path), sample_rate=8_000)
    assert texts(reloaded.val) == ["two"] and "00000000_nohash_0.wav" in reloaded.skipped[0]


def test_transcripts_are_prompts(tmp_path: Path) -> None:
    lj(tmp_path)
    source = TorchaudioSet("LJSPEECH", str(tmp_path), val_fraction=0.2)
    assert (len(source.train), len(source.val)) == (8, 2)
    assert sorted(texts(source.train) + texts(source.val)) == [f"number {number}, so" for number in range(10)]


def test_yes_and_no(tmp_path: Path) -> None:
    for seed, name in enumerate(("0_1_1", "1_0_0")):
        put(tmp_path / "waves_yesno" / f"{name}.wav", seed)
    source = TorchaudioSet("YESNO", str(tmp_path))
    assert sorted(texts(source.train) + texts(source.val)) == ["no yes yes", "yes no no"]


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_missing_is_said_and_never_fetched(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("a download"))
    folder = tmp_path / DATASETS[name].folder
    with pytest.raises(UserError, match=f"{name} was not found in {folder}.*data.download=true"):
        _ = TorchaudioSet(name, str(tmp_path)).train
    put(folder / "other" / "x.wav", 1)
    with pytest.raises(UserError, match=f"{name} in {folder} is incomplete") as caught:
        _ = TorchaudioSet(name, str(tmp_path)).train
    assert len(str(caught.value).splitlines()) == 1


def test_a_download_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchaudio.datasets.yesno.download_url_to_file", no_network)
    with pytest.raises(UserError, match=r"data\.name=YESNO cannot be downloaded: no network"):
        _ = TorchaudioSet("YESNO", str(tmp_path / "new"), download=True).train


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UserError, match=r"data\.name=SPEECHCOMMAND: there is no such data set\. Did you mean 'SPEECHCOMMANDS"
    ):
        TorchaudioSet("SPEECHCOMMAND", "x")
