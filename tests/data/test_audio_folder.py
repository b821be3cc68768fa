import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from genai.core.data import Split
from genai.core.errors import UserError
from genai.data.audio_folder import AudioFolder
from genai.data.image_folder import ImageFolder
from genai.media.sound import Sound


def put(path: Path, seed: int, sample_rate: int = 8_000, seconds: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, round(sample_rate * seconds)), sample_rate)
    return path


def prompts(source: AudioFolder) -> list[str]:
    return sorted(example.prompt for split in (source.train, source.val) for example in split)


def samples(split: Split) -> set[bytes]:
    return {example.media.samples.tobytes() for example in split}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sounds that can be used: what a test adds comes on top."""
    put(tmp_path / "good" / "one.wav", 1)
    put(tmp_path / "good" / "two.flac", 2)
    return tmp_path / "good"


# ------------------------------------------------------------------------------------------------------- captions


def test_captions_beside_in_tables_and_of_folders(folder: Path) -> None:
    (folder / "one.txt").write_text("a bell")
    put(folder / "birds" / "x.mp3", 3, 16_000)
    put(folder / "old_door" / "müsli.ogg", 4)
    (folder / "birds" / "metadata.jsonl").write_text('{"file_name": "x.mp3", "text": "a wren"}')
    source = AudioFolder(str(folder))
    assert prompts(source) == ["", "a bell", "a wren", "old door"]
    assert source.skipped == ()
    assert source.description == (
        f"{folder}: 3 sounds to train on, 1 held out, 3 different prompts (1 without), 0.4 seconds in all"
    )


@pytest.mark.parametrize("third", ["", "|number {}, so"])
def test_a_table_of_ljspeech_has_no_header(tmp_path: Path, third: str) -> None:
    for number in range(4):
        put(tmp_path / "wavs" / f"LJ001-{number}.wav", number)
    rows = [f'LJ001-{number}|{number}, "path,' + third.format(number) for number in (0, 1, 2, 3, 9)]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    source = AudioFolder(str(tmp_path))
    template = "number {}, so" if third else '{}, "path,'
    assert prompts(source) == [template.format(number) for number in range(4)]
    assert [line.partition("metadata.csv")[2] for line in source.skipped] == [
        ":5 names 'LJ001-9', which does not exist."
    ]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("manifest.csv", "path,caption\n{0}/one.wav,a\ntwo.flac,b\n"),
        ("manifest.jsonl", '{{"audio_filepath": "{0}/one.wav", "text": "a"}}\n{{"path": "two.flac", "prompt": "b"}}'),
        ("metadata.csv", "file_name|text\none.wav|a\ntwo.flac|b\n"),
    ],
)
def test_manifests_name_files_by_their_path(folder: Path, name: str, table: str) -> None:
    (folder / name).write_text(table.format(folder))
    source = AudioFolder(str(folder))
    assert (prompts(source), source.skipped) == (["a", "b"], ())


def test_what_cannot_be_used_is_said_and_passed_over(folder: Path) -> None:
    (folder / "alone.txt").write_text("hello")
    (folder / "empty.wav").touch()
    (folder / "fake.mp3").write_text("hello")
    soundfile.write(folder / "slow.wav", np.ones(5), 1)
    soundfile.write(folder / "nan.wav", np.array([0, np.nan]), 8_000, "FLOAT")
    (folder / "cut.wav").write_bytes((folder / "one.wav").read_bytes()[:-500])
    (folder / "gone.wav").symlink_to("nowhere")
    source = AudioFolder(str(folder))
    assert prompts(source) == ["", ""]
    messages = ["cut short", "empty file", "not a sound", "No such file", "not finite", "a sample rate of 1 Hz"]
    assert len(source.skipped) == 7 and source.skipped[-1].endswith("alone.txt is a caption without a sound.")
    assert all(words in line for words, line in zip(messages, source.skipped, strict=False))


def test_silent_sounds_and_those_that_are_read_otherwise_are_named_and_used(folder: Path) -> None:
    soundfile.write(folder / "silent.wav", np.zeros(800), 8_000)
    soundfile.write(folder / "loud.wav", np.linspace(-500, 500, 800), 8_000, "FLOAT")
    source = AudioFolder(str(folder))
    assert len(source.train) + len(source.val) == 4
    assert source.description.endswith("in all; 1 silent")
    assert source.skipped == ()
    assert [line.removeprefix(f"{folder}/") for line in source.file_notes] == [
        "loud.wav: its samples go up to 500: they are divided by 32,768.",
        "silent.wav is silent.",
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "there is no such folder"),
        ("empty", "no sounds. Looked for .aac"),
        ("good/one.wav", "two different sounds are needed"),
        ("bad", "two different sounds are needed.*x.wav is an empty file"),
        ("sided", "two different sounds are needed.*c.wav is an empty file"),
    ],
)
def test_where_there_are_no_sounds_the_path_is_named(folder: Path, path: str, message: str) -> None:
    root = folder.parent
    (root / "empty").mkdir()
    for name in ("bad/y.wav", "bad/z.wav", "sided/train/a.wav"):
        put(root / name, 1)
    for name in ("bad/x.wav", "sided/test/c.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(UserError, match=message) as caught:
        _ = AudioFolder(str(root / path)).train
    assert f"data.path={root / path}" in str(caught.value)
    with pytest.raises(UserError, match=r"data\.path= is empty: give a folder of sounds"):
        _ = AudioFolder("").train


# -------------------------------------------------------------------------------------------------------- division


def test_equal_files_are_on_one_side_and_content_decides(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / "forth" / f"{number:02}.wav", number)
        put(tmp_path / "back" / f"{99 - number}.wav", number)
        shutil.copy(tmp_path / "back" / f"{99 - number}.wav", tmp_path / "back" / f"copy of {number}.wav")
    forth, back = (AudioFolder(str(tmp_path / name), 0.3) for name in ("forth", "back"))
    assert samples(forth.val) == samples(back.val)
    assert (len(forth.val), len(back.val), len(back.train)) == (6, 12, 28)
    assert not samples(back.train) & samples(back.val)


@pytest.mark.parametrize("val_name", ["val", "validation", "valid", "test"])
def test_train_and_test_are_sides_and_no_prompts(tmp_path: Path, val_name: str) -> None:
    for seed, name in enumerate(
        ("train/a.wav", "train/bell/b.wav", f"{val_name}/c.wav", f"{val_name}/bell/d.wav", "e.wav")
    ):
        put(tmp_path / name, seed)
    shutil.copy(tmp_path / val_name / "c.wav", tmp_path / "train" / "again.wav")
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\na.wav,a drum\n")
    (tmp_path / val_name / "metadata.csv").write_text("file_name,text\nc.wav,a horn\n")
    source = AudioFolder(str(tmp_path))
    assert sorted(example.prompt for example in source.train) == ["a drum", "bell"]
    assert sorted(example.prompt for example in source.val) == ["a horn", "bell"]
    assert source.skipped == (
        f"{tmp_path}/e.wav is in neither train nor {val_name}.",
        f"{tmp_path}/train/again.wav is also in the validation data: it is not trained on.",
    )


def test_train_alone_is_a_prompt_and_pictures_have_sides_too(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / "sounds" / "train" / f"{number}.wav", number)
        path = tmp_path / "pictures" / ("train" if number else "val") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (8, 8), (99 * number, 0, 0)).save(path)
    assert prompts(AudioFolder(str(tmp_path / "sounds"))) == ["train"] * 3
    pictures = ImageFolder(str(tmp_path / "pictures"))
    assert (len(pictures.train), len(pictures.val), prompts(pictures)) == (2, 1, [""] * 3)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- loading, remembered


def test_sounds_come_out_in_the_rate_that_is_wanted(folder: Path) -> None:
    put(folder / "three.wav", 3, 44_100)
    source = AudioFolder(str(folder), sample_rate=16_000)
    media = [example.media for split in (source.train, source.val) for example in split]
    assert {(each.sample_rate, len(each.samples)) for each in media} == {(16_000, 1_600)}


@pytest.mark.parametrize(
    ("seconds", "fraction", "held_out"),
    [
        ([60, 1], 0.1, [1]),  # whichever hash is the smaller one: never the long one
        ([20] + [1] * 10, 0.1, [1, 1, 1]),
        ([10, 10, 10, 10, 4], 0.1, [4]),
        ([2.0] * 10, 0.1, [2]),
        ([2.0, 2.1, 2.2], 0.1, None),
    ],
)
def test_sounds_of_unequal_length_are_held_out_by_seconds(
    tmp_path: Path, seconds: list[float], fraction: float, held_out: list[float] | None
) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        for number, duration in enumerate(seconds):
            put(folder / f"{number}.wav", 100 * attempt + number, 1000, duration)
        val = [len(example.media.samples) / 1000 for example in AudioFolder(str(folder), fraction).val]
        assert val == held_out if held_out else len(val) == 1


def test_what_is_held_out_does_not_depend_on_names(tmp_path: Path) -> None:
    for number, seconds in enumerate([9, 1, 1, 2, 1, 3, 1]):
        put(tmp_path / "a" / f"{number}.wav", number, 1000, seconds)
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "a" / f"{number}.wav", tmp_path / "b" / f"{10 - number}.wav")
    assert samples(AudioFolder(str(tmp_path / "a")).val) == samples(AudioFolder(str(tmp_path / "b")).val)


def test_the_second_start_reads_no_sound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        put(folder / f"{number}.wav", 10 + number)
    (folder / "bad.wav").write_text("bad")
    before = AudioFolder(str(folder))
    state = before.description, before.skipped, before.train.content_hash
    read_files: list[str] = []
    read = Sound.read

    def recording_read(path: Path, sample_rate: int | None = None) -> Sound:
        read_files.append(path.name)
        return read(path, sample_rate)

    monkeypatch.setattr(Sound, "read", recording_read)
    reloaded = AudioFolder(str(folder))
    assert (reloaded.description, reloaded.skipped, reloaded.train.content_hash) == state
    assert read_files == []
    os.utime(folder / "bad.wav", (1, 1))
    put(folder / "new.wav", 99)
    _ = AudioFolder(str(folder)).train
    assert sorted(read_files) == ["bad.wav", "new.wav"]


def test_fingerprints_follow_content_captions_and_rate(folder: Path) -> None:
    def hashes(**options: Any) -> set[str]:
        source = AudioFolder(str(folder), **options)
        return {source.train.content_hash, source.val.content_hash}

    first = hashes()
    (folder / "one.wav").rename(folder / "another name.wav")
    assert hashes() == first
    assert not hashes(sample_rate=16_000) & first
    (folder / "two.txt").write_text("a caption")
    assert len(hashes() - first) == 1


def test_a_midi_file_is_a_caption(tmp_path: Path) -> None:
    mido = pytest.importorskip("mido")
    messages = [mido.Message(kind, note=60, time=ticks) for kind, ticks in (("note_on", 0), ("note_off", 960))]
    for number in range(4):
        (tmp_path / f"{number}.wav").write_bytes(Sound(np.full(2000, 0.1 * number, np.float32), 8000).to_bytes())
        mido.MidiFile(tracks=[mido.MidiTrack(messages)]).save(tmp_path / f"{number}.MID")
    (tmp_path / "2.txt").write_text("a harp plays C4")
    (tmp_path / "3.MID").write_bytes(b"MThd")
    source = AudioFolder(str(tmp_path))
    prompts = sorted([*(source.train.prompts or ()), *(source.val.prompts or ())])
    assert prompts == ["", "a harp plays C4", "piano: C4:1", "piano: C4:1"]
    assert [line for line in source.skipped if "3.MID" in line and "not a MIDI file" in line]
