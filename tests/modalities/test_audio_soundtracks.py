import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.data import Example, Split
from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.media.sound import Sound
from genai.modalities.audio import Audio, AudioOptions
from genai.modalities.visual_onsets import VisualOnsets
from genai.toy.data.soundtrack import ToySoundtracks
from tests.modalities.test_audio import Counting, chance, split

SOURCE = ToySoundtracks(items=40)


@pytest.fixture
def audio() -> Audio:
    return Audio(crop=13, clip_features=VisualOnsets())


def test_clip_features_are_aligned_with_the_sound(audio: Audio, tmp_path: Path) -> None:
    packed = pickle.loads(pickle.dumps(audio.pack(SOURCE.train, tmp_path)))
    whole = [VisualOnsets().frames(example.conditioning, 400) for example in SOURCE.train]
    for epoch in range(20):
        batch = packed.batch([3, 35], chance([3, 35], epoch))
        assert batch.local.shape == (2, 13, VisualOnsets.features) and batch.local.dtype.is_floating_point
        for row, index in enumerate((3, 35)):
            first = int(batch.span[row, 0])
            expected = np.pad(whole[index], ((0, 13), (0, 0)))[first : first + 13]
            assert batch.local[row].numpy() == pytest.approx(expected, abs=2e-3)
    batch = packed.batch(range(40), None)
    assert batch.local.shape == (40, 400, VisualOnsets.features) and not batch.local[35, 200:].any()
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    audio.pack(SOURCE.train, tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_crops_often_contain_notes(audio: Audio, tmp_path: Path) -> None:
    def loud_fraction(audio: Audio) -> float:
        batch = audio.pack(SOURCE.train, tmp_path).batch(range(40), chance(range(40)))
        return float(((batch.x.float() - 127.5).abs() > 60).any(1).float().mean())

    assert loud_fraction(audio) > 0.35 > loud_fraction(Audio(crop=13))


def test_prompt_features_and_clip_features_are_concatenated(tmp_path: Path) -> None:
    audio = Audio(prompt_features=Counting(), clip_features=VisualOnsets())
    assert audio.interface["local"] == 2 + VisualOnsets.features
    batch = audio.pack(SOURCE.val, tmp_path).batch([0], None)
    assert batch.local is not None and batch.local[0, :3, 0].tolist() == [0, 1, 2]
    clip = SOURCE.val[0].conditioning
    request = audio.request(["abc"], [0], None, AudioOptions(clip=clip))
    assert request.local is not None and request.local[0].shape == (400, 2 + VisualOnsets.features)
    assert batch.local[0, :, 2:].numpy() == pytest.approx(request.local[0][:, 2:].numpy(), abs=2e-3)


def test_a_sound_is_as_long_as_its_clip(audio: Audio) -> None:
    clip = SOURCE.train[0].conditioning
    request = audio.request(["", "a"], [0, 1], None, AudioOptions(clip=clip))
    assert request.size == (32_000,) and request.local is not None and len(request.local) == 2
    begin = Sound(np.zeros(2_000, np.float32), 8_000)
    assert audio.request([""], [0], begin, AudioOptions(clip=clip)).size == (30_000,)
    with pytest.raises(UserError, match=r"4 s, and init= is not shorter"):
        audio.request([""], [0], Sound(np.zeros(32_000, np.float32), 8_000), AudioOptions(clip=clip))


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (Audio(clip_features=VisualOnsets()), {}, "this model makes soundtracks: give a clip with clip=FILE"),
        (
            Audio(clip_features=VisualOnsets()),
            {"clip": "a.mp4", "seconds": 2.0},
            "seconds=2: a soundtrack is as long as its clip",
        ),
        (Audio(), {"clip": "a.mp4"}, "clip='a.mp4': this model does not make soundtracks"),
        (Audio(num_classes=None), {"clip": "a.mp4"}, "does not make soundtracks"),
    ],
)
def test_only_soundtrack_models_take_a_clip_and_they_need_one(audio: Audio, options: Any, message: str) -> None:
    init = Sound(np.zeros(9, np.float32), 8_000) if audio.required_option == "init" else None
    with pytest.raises(UserError, match=message):
        audio.request([""], [0], init, AudioOptions(**options))


def test_soundtrack_data_need_clips(audio: Audio, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="these data have no clips"):
        audio.pack(split([900]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_previews_use_held_out_clips(audio: Audio) -> None:
    def load(index: int) -> Example:
        return Example(
            Sound(np.zeros(96_000, np.float32), 8_000), f"clip {index}", Clip(np.zeros((96, 4, 4, 3), np.uint8), 8)
        )

    preview = audio.preview()
    prompts = preview.prompts(Split("val", 5, load, "long"))
    assert prompts == ["clip 0", "clip 1", "clip 2", "clip 3"]
    options = preview.options(["clip 1", "mine"])
    assert options is not None and [option["clip"].seconds for option in options] == [10, 10]
    assert preview.options(["clip 1", "mine"]) == options and "mine" in preview.references
    assert Audio().preview().options(prompts) is None


def test_contact_sheets_mark_changes_of_direction(audio: Audio) -> None:
    preview = audio.preview()
    preview.prompts(SOURCE.val)
    prompt, sound = next(iter(preview.references.items()))
    with_marks = preview.contact_sheet([(prompt, sound)]).pixels
    preview.clips.clear()
    assert (with_marks != preview.contact_sheet([(prompt, sound)]).pixels).any()
