import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genai.core.data import Example, ItemRandom, PromptFeatures, Split
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.audio_dataset import LONGEST
from genai.toy.data.score import ToyNotes

RATE, HOP = 8000, 80


class Counting(PromptFeatures):
    """A score that says the number of each frame, and how long its prompt is."""

    features: ClassVar[int] = 2

    def frames(self, prompt: str, count: int) -> NDArray[np.float32]:
        return np.stack([np.arange(count), np.full(count, len(prompt))], 1).astype(np.float32)


def split(lengths: Sequence[int], level: float = 0.5) -> Split:
    def load(index: int) -> Example:
        wave = np.round(32_768 * level * np.sin(np.arange(lengths[index]) * 0.3 + index)) / 32_768
        return Example(Sound(wave.astype(np.float32), RATE), f"clip {index}")

    return Split("train", len(lengths), load, f"{lengths}{level}")


def chance(indices: Sequence[int], epoch: int = 0) -> ItemRandom:
    return ItemRandom(0, [epoch] * len(indices), indices)


@pytest.mark.parametrize("classes", [256, 1024])
def test_every_level_comes_back(classes: Any) -> None:
    audio = Audio(classes=classes)
    levels = torch.arange(classes).to(torch.uint8 if classes == 256 else torch.int16)
    assert audio.encode(audio.decode(levels)).equal(levels)


def test_levels_survive_a_file_of_16_bits(tmp_path: Path) -> None:
    audio, levels = Audio(), torch.arange(256).to(torch.uint8)
    (tmp_path / "a.wav").write_bytes(audio.decode(levels).to_bytes())
    assert audio.encode(Sound.read(tmp_path / "a.wav")).equal(levels)


def test_a_waveform_comes_back_without_classes() -> None:
    audio, wave = Audio(classes=None), Sound(np.linspace(-1, 1, 99, dtype=np.float32), RATE)
    assert np.array_equal(audio.decode(audio.encode(wave)).samples, wave.samples)


def test_a_sound_of_another_rate_is_resampled() -> None:
    assert len(Audio().encode(Sound(np.zeros(16_000, np.float32), 16_000))) == 8000


def test_validation_has_every_sample_once(tmp_path: Path) -> None:
    lengths = [100, LONGEST * HOP + 30, 4000]
    packed = Audio(score=Counting()).pack(split(lengths), tmp_path)
    assert len(packed) == 4
    batch = packed.batch(range(4), None)
    assert batch.valid is not None and batch.valid.sum(1).tolist() == [100, LONGEST * HOP, 30, 4000]
    assert batch.x.shape[1] == batch.valid.shape[1] + 1
    audio = packed.audio
    whole = audio.encode(split(lengths)[1].media)
    assert batch.x[1, 1:].equal(whole[: LONGEST * HOP]) and batch.x[2, :31].equal(whole[LONGEST * HOP - 1 :])
    assert batch.x[0, 0] == audio.silence[0]
    assert batch.span is not None and batch.span.tolist() == [[0, 2], [0, 401], [400, 401], [0, 50]]
    assert batch.local is not None and batch.local[2, :2].tolist() == [[400, 6], [401, 6]]
    assert batch.prompts == ["clip 0", "clip 1", "clip 1", "clip 2"]


def test_crops_are_whole_frames_of_the_clip_and_its_score(tmp_path: Path) -> None:
    audio = Audio(crop=7, score=Counting())
    packed = audio.pack(split([5000, 6000]), tmp_path)
    whole = [audio.encode(example.media) for example in split([5000, 6000])]
    starts = []
    for epoch in range(60):
        batch = packed.batch([0, 1], chance([0, 1], epoch))
        assert batch.x.shape == (2, 7 * HOP + 1) and batch.local is not None and batch.span is not None
        for row in range(2):
            start = int(batch.span[row, 0])
            starts.append(start)
            assert batch.local[row, :, 0].tolist() == list(range(start, start + 7))
            inside = whole[row][start * HOP : (start + 7) * HOP]
            assert batch.x[row, 1 : 1 + len(inside)].equal(inside)
            assert batch.x[row, 0] == (whole[row][start * HOP - 1] if start else audio.silence[0])
    assert 0 in starts and max(starts) >= 50
    again = packed.batch([0, 1], chance([0, 1], 59))
    assert again.x.equal(batch.x)


def test_crops_are_where_more_is_to_be_heard(tmp_path: Path) -> None:
    wave = np.zeros(40_000, np.float32)
    wave[20_000:24_000] = 0.5
    source = Split("train", 1, lambda _: Example(Sound(wave, RATE), ""), "gap")
    packed = Audio(crop=13).pack(source, tmp_path)
    heard = [float((packed.batch([0], chance([0], e)).x != 128).float().mean()) for e in range(200)]
    assert 0.15 < np.mean([share > 0 for share in heard]) < 0.5  # of one draw each it would be an eighth


def test_a_clip_shorter_than_a_crop_is_padded(tmp_path: Path) -> None:
    batch = Audio(crop=13).pack(split([90, 90]), tmp_path).batch([0], chance([0]))
    assert batch.valid is not None and batch.valid.sum() == 90


def test_what_is_packed_is_found_again_and_passes_to_workers(tmp_path: Path) -> None:
    audio = Audio()
    first = audio.pack(split([900, 500]), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert json.loads(first.path.with_suffix(".json").read_text())["lengths"] == [900, 500]
    again = pickle.loads(pickle.dumps(audio.pack(split([900, 500]), tmp_path)))
    assert again.batch([1], chance([1])).x.equal(first.batch([1], chance([1])).x)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_fitting_finds_the_typical_length(tmp_path: Path) -> None:
    audio, other = Audio(), Audio()
    audio.fit(split([800, 1600, 8000]), tmp_path)
    other.restore(audio.state())
    assert other.typical == 0.2
    assert other.request([""], [0], None, AudioOptions()).size == (1600,)
    with pytest.raises(ValueError, match="typical"):
        other.restore({"typical": float("nan")})


def test_a_request_continues_what_is_given() -> None:
    audio = Audio(score=Counting())
    given = Sound(np.full(850, 0.25, np.float32), RATE)
    request = audio.request(["abc"], [0], given, AudioOptions(seconds=0.1))
    assert request.size == (800,) and request.init is not None and request.local is not None
    assert request.init[0].equal(torch.cat([audio.silence, audio.encode(given)]))
    assert request.local[0].shape == (21, 2)
    decoder = audio.decoder(request.init[0], AudioOptions(format="flac"))
    part = decoder.push(0, audio.encode(Sound(np.zeros(10, np.float32), RATE)))
    assert len(part.samples) == 10 and len(decoder.result().samples) == 860
    assert decoder.result().suffix == ".flac" and decoder.result().to_bytes().startswith(b"fLaC")


def test_a_growing_file_begins_with_what_was_given(tmp_path: Path) -> None:
    audio, given = Audio(), Sound(np.full(50, 0.25, np.float32), RATE)
    file = audio.growing(tmp_path / "a.wav", given)
    assert file is not None
    file.append(given)
    assert len(Sound.read(tmp_path / "a.wav").samples) == 100
    file.close()
    assert audio.growing(tmp_path / "a.flac", Sound(given.samples, RATE, ".flac")) is None


def test_people_are_told_what_becomes_of_their_prompt_and_sound() -> None:
    audio = Audio(score=ToyNotes())
    told = audio.remarks(["a flute plays C4", "", "a banjo plays C4"], Sound(np.zeros(50, np.float32), 44_100))
    assert told == [
        "44,100 Hz become 8,000, the model's",
        "prompt 'a banjo plays C4' is no melody of the toy world: unknown word 'banjo'",
    ]
    assert Audio().remarks(["a banjo plays C4"], Sound(np.zeros(50, np.float32), 8_000)) == []
    assert Audio(classes=None, score=ToyNotes()).remarks(["hello"], None) == []


def test_an_unasked_sound_is_ten_seconds_at_most() -> None:
    audio = Audio()
    audio.restore({"typical": 180.0})
    given = Sound(np.zeros(RATE // 2, np.float32), RATE)
    assert audio.request(["a"], [0], given, AudioOptions()).size == (10 * RATE,)
    assert audio.request(["a"], [0], None, AudioOptions(seconds=12)).size == (12 * RATE,)
    audio.restore({"typical": 0.5})
    assert audio.request(["a"], [0], given, AudioOptions()).size == (RATE // 2,)


def test_sounds_are_shown_beside_real_ones(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    audio, source = Audio(), split([4000] * 8)
    prompts = audio.preview_prompts(source)
    assert len(prompts) == 4
    with SummaryWriter(tmp_path) as writer:
        audio.show(writer, "preview", [(prompts[0], source[0].media), ("another", source[1].media)], 3)
    events = EventAccumulator(str(tmp_path), {"audio": 9, "images": 9}).Reload()
    assert events.Tags()["audio"] == ["preview/0", "preview/0-real", "preview/1"]
    assert events.Tags()["images"] == ["preview"]


def test_a_sound_cannot_be_written_as_what_it_is_not() -> None:
    with pytest.raises(UserError, match="mp3"):
        Sound(np.zeros(10, np.float32), RATE).to_bytes(".mp3")
