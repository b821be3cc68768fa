import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.core.prompt_features import PromptFeatures
from genai.media.sound import Sound
from genai.modalities import optional
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.audio_dataset import MAX_ITEM_FRAMES
from genai.toy.data.score import ToyNotes

RATE, HOP = 8000, 80


class Counting(PromptFeatures):
    """Features that are the number of each frame and the length of the prompt."""

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


@pytest.mark.parametrize("num_classes", [256, 1024])
def test_every_level_survives_a_round_trip(num_classes: Any) -> None:
    audio = Audio(num_classes=num_classes)
    levels = torch.arange(num_classes).to(torch.uint8 if num_classes == 256 else torch.int16)
    assert audio.encode(audio.decode(levels)).equal(levels)


def test_levels_survive_a_file_of_16_bits(tmp_path: Path) -> None:
    audio, levels = Audio(), torch.arange(256).to(torch.uint8)
    (tmp_path / "a.wav").write_bytes(audio.decode(levels).to_bytes())
    assert audio.encode(Sound.read(tmp_path / "a.wav")).equal(levels)


def test_without_classes_a_waveform_is_kept_exactly() -> None:
    audio, wave = Audio(num_classes=None), Sound(np.linspace(-1, 1, 99, dtype=np.float32), RATE)
    assert np.array_equal(audio.decode(audio.encode(wave)).samples, wave.samples)


def test_a_sound_of_another_rate_is_resampled() -> None:
    assert len(Audio().encode(Sound(np.zeros(16_000, np.float32), 16_000))) == 8000


def test_validation_has_every_sample_once(tmp_path: Path) -> None:
    lengths = [100, MAX_ITEM_FRAMES * HOP + 30, 4000]
    audio = Audio(prompt_features=Counting())
    packed = audio.pack(split(lengths), tmp_path)
    assert len(packed) == 4
    batch = packed.batch(range(4), None)
    assert batch.valid is not None and batch.valid.sum(1).tolist() == [100, MAX_ITEM_FRAMES * HOP, 30, 4000]
    assert batch.x.shape[1] == batch.valid.shape[1] + 1
    whole, item_length = audio.encode(split(lengths)[1].media), MAX_ITEM_FRAMES * HOP
    assert batch.x[1, 1:].equal(whole[:item_length]) and batch.x[2, :31].equal(whole[item_length - 1 :])
    assert batch.x[0, 0] == audio.silence[0]
    assert batch.span is not None and batch.span.tolist() == [[0, 2], [0, 401], [400, 401], [0, 50]]
    assert batch.local is not None and batch.local[2, :2].tolist() == [[400, 6], [401, 6]]
    assert batch.prompts == ["clip 0", "clip 1", "clip 1", "clip 2"]


def test_crops_are_whole_frames_with_their_prompt_features(tmp_path: Path) -> None:
    audio = Audio(crop=7, prompt_features=Counting())
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
    repeated = packed.batch([0, 1], chance([0, 1], 59))
    assert repeated.x.equal(batch.x)


def test_crops_prefer_loud_parts(tmp_path: Path) -> None:
    wave = np.zeros(40_000, np.float32)
    wave[20_000:24_000] = 0.5
    source = Split("train", 1, lambda _: Example(Sound(wave, RATE), ""), "gap")
    packed = Audio(crop=13).pack(source, tmp_path)
    loud = [float((packed.batch([0], chance([0], e)).x != 128).float().mean()) for e in range(200)]
    assert 0.15 < np.mean([fraction > 0 for fraction in loud]) < 0.5  # an eighth without the preference


def test_a_clip_shorter_than_a_crop_is_padded(tmp_path: Path) -> None:
    batch = Audio(crop=13).pack(split([90, 90]), tmp_path).batch([0], chance([0]))
    assert batch.valid is not None and batch.valid.sum() == 90


def test_packed_data_are_cached_and_can_be_pickled(tmp_path: Path) -> None:
    audio = Audio()
    first = audio.pack(split([900, 500]), tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert json.loads(first.path.with_suffix(".json").read_text())["lengths"] == [900, 500]
    second = pickle.loads(pickle.dumps(audio.pack(split([900, 500]), tmp_path)))
    assert second.batch([1], chance([1])).x.equal(first.batch([1], chance([1])).x)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_fit_computes_the_typical_length(tmp_path: Path) -> None:
    audio, other = Audio(), Audio()
    audio.fit(split([800, 1600, 8000]), tmp_path)
    other.restore(audio.state())
    assert other.typical_seconds == 0.2
    assert other.request([""], [0], None, AudioOptions()).size == (1600,)
    with pytest.raises(UserError, match="typical"):
        other.restore({"typical": float("nan")})


def test_a_request_continues_init() -> None:
    audio = Audio(prompt_features=Counting())
    init = Sound(np.full(850, 0.25, np.float32), RATE)
    request = audio.request(["abc"], [0], init, AudioOptions(seconds=0.1))
    assert request.size == (800,) and request.init is not None and request.local is not None
    assert request.init[0].equal(torch.cat([audio.silence, audio.encode(init)]))
    assert request.local[0].shape == (21, 2)
    decoder = audio.decoder(request.init[0], AudioOptions(format="flac"))
    part = decoder.push(0, audio.encode(Sound(np.zeros(10, np.float32), RATE)))
    assert len(part.samples) == 10 and len(decoder.result().samples) == 860
    assert decoder.result().suffix == ".flac" and decoder.result().to_bytes().startswith(b"fLaC")


def test_a_stream_writer_starts_with_the_initial_sound(tmp_path: Path) -> None:
    audio, initial = Audio(), Sound(np.full(50, 0.25, np.float32), RATE)
    writer = audio.stream_writer(tmp_path / "a.wav", initial)
    assert writer is not None
    writer.append(initial)
    assert len(Sound.read(tmp_path / "a.wav").samples) == 100
    writer.close()
    assert audio.stream_writer(tmp_path / "a.flac", Sound(initial.samples, RATE, ".flac")) is None


def test_notes_name_unreadable_prompts_and_resampling() -> None:
    audio = Audio(prompt_features=ToyNotes())
    notes = [
        *audio.request_notes(Sound(np.zeros(50, np.float32), 44_100), None),
        *audio.prompt_notes(["a flute plays C4", "", "a banjo plays C4"]),
    ]
    assert notes == [
        "init= is resampled from 44,100 Hz to 8,000 Hz",
        "prompt 'a banjo plays C4' is no melody of the toy world: unknown word 'banjo'",
    ]
    assert optional.request_notes(Audio(), ["a banjo plays C4"], Sound(np.zeros(50, np.float32), 8_000), None) == []
    assert Audio(num_classes=None, prompt_features=ToyNotes()).prompt_notes(["hello"]) == []


def test_the_default_length_is_ten_seconds_at_most() -> None:
    audio = Audio()
    audio.restore({"typical": 180.0})
    init = Sound(np.zeros(RATE // 2, np.float32), RATE)
    assert audio.request(["a"], [0], init, AudioOptions()).size == (10 * RATE,)
    assert audio.request(["a"], [0], None, AudioOptions(seconds=12)).size == (12 * RATE,)
    audio.restore({"typical": 0.5})
    assert audio.request(["a"], [0], init, AudioOptions()).size == (RATE // 2,)


def test_logs_include_real_sounds(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    audio, source = Audio(), split([4000] * 8)
    preview = audio.preview()
    prompts = preview.prompts(source)
    assert len(prompts) == 4
    with SummaryWriter(tmp_path) as writer:
        preview.log(writer, "preview", [(prompts[0], source[0].media), ("another", source[1].media)], 3)
    events = EventAccumulator(str(tmp_path), {"audio": 9, "images": 9}).Reload()
    assert events.Tags()["audio"] == ["preview/0", "preview/0-real", "preview/1"]
    assert events.Tags()["images"] == ["preview"]


@pytest.mark.parametrize("length", [1, 2])
def test_a_sound_of_one_sample_is_logged(tmp_path: Path, length: int) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    preview, source = Audio().preview(), split([length])
    samples = [(prompt, source[0].media) for prompt in preview.prompts(source)]
    with SummaryWriter(tmp_path) as writer:
        preview.log(writer, "preview", samples, 1)
    events = EventAccumulator(str(tmp_path), {"audio": 9, "images": 9}).Reload()
    assert events.Tags()["audio"] == ["preview/0", "preview/0-real"]
    assert [event.length_frames for event in events.Audio("preview/0-real")] == [2]


def test_a_sound_cannot_be_written_in_an_unknown_format() -> None:
    with pytest.raises(UserError, match="mp3"):
        Sound(np.zeros(10, np.float32), RATE).to_bytes(".mp3")
