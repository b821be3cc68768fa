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
    return Audio(crop=13, sight=VisualOnsets())


def test_what_is_seen_goes_along_with_what_is_heard(audio: Audio, tmp_path: Path) -> None:
    packed = pickle.loads(pickle.dumps(audio.pack(SOURCE.train, tmp_path)))
    whole = [VisualOnsets().frames(example.beside, 400) for example in SOURCE.train]
    for epoch in range(20):
        batch = packed.batch([3, 35], chance([3, 35], epoch))
        assert batch.local.shape == (2, 13, VisualOnsets.features) and batch.local.dtype.is_floating_point
        for row, index in enumerate((3, 35)):
            first = int(batch.span[row, 0])
            expected = np.pad(whole[index], ((0, 13), (0, 0)))[first : first + 13]
            assert batch.local[row].numpy() == pytest.approx(expected, abs=2e-3)
    held = packed.batch(range(40), None)
    assert held.local.shape == (40, 400, VisualOnsets.features) and not held.local[35, 200:].any()
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    audio.pack(SOURCE.train, tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_crops_are_mostly_of_notes(audio: Audio, tmp_path: Path) -> None:
    def share(audio: Audio) -> float:
        batch = audio.pack(SOURCE.train, tmp_path).batch(range(40), chance(range(40)))
        return float(((batch.x.float() - 127.5).abs() > 60).any(1).float().mean())

    assert share(audio) > 0.35 > share(Audio(crop=13))


def test_a_score_and_a_sight_are_side_by_side(tmp_path: Path) -> None:
    audio = Audio(score=Counting(), sight=VisualOnsets())
    assert audio.interface["local"] == 2 + VisualOnsets.features
    batch = audio.pack(SOURCE.val, tmp_path).batch([0], None)
    assert batch.local is not None and batch.local[0, :3, 0].tolist() == [0, 1, 2]
    clip = SOURCE.val[0].beside
    request = audio.request(["abc"], [0], None, AudioOptions(clip=clip))
    assert request.local is not None and request.local[0].shape == (400, 2 + VisualOnsets.features)
    assert batch.local[0, :, 2:].numpy() == pytest.approx(request.local[0][:, 2:].numpy(), abs=2e-3)


def test_a_sound_is_as_long_as_its_clip(audio: Audio) -> None:
    clip = SOURCE.train[0].beside
    request = audio.request(["", "a"], [0, 1], None, AudioOptions(clip=clip))
    assert request.size == (32_000,) and request.local is not None and len(request.local) == 2
    begin = Sound(np.zeros(2_000, np.float32), 8_000)
    assert audio.request([""], [0], begin, AudioOptions(clip=clip)).size == (30_000,)
    with pytest.raises(UserError, match=r"4 s, and init= is not shorter"):
        audio.request([""], [0], Sound(np.zeros(32_000, np.float32), 8_000), AudioOptions(clip=clip))


@pytest.mark.parametrize(
    ("audio", "options", "said"),
    [
        (Audio(sight=VisualOnsets()), {}, "this model makes the sound of a clip: say of which with clip=FILE"),
        (
            Audio(sight=VisualOnsets()),
            {"clip": "a.mp4", "seconds": 2.0},
            "seconds=2: here a sound is as long as its clip",
        ),
        (Audio(), {"clip": "a.mp4"}, "clip='a.mp4': this model does not make the sound of a clip"),
        (Audio(classes=None), {"clip": "a.mp4"}, "does not make the sound of a clip"),
    ],
)
def test_a_clip_is_asked_for_where_it_is_needed_and_nowhere_else(audio: Audio, options: Any, said: str) -> None:
    init = Sound(np.zeros(9, np.float32), 8_000) if audio.needs == "init" else None
    with pytest.raises(UserError, match=said):
        audio.request([""], [0], init, AudioOptions(**options))


def test_sounds_without_clips_are_refused(audio: Audio, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none beside them"):
        audio.pack(split([900]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_previews_are_of_clips_that_are_held_out(audio: Audio) -> None:
    def load(index: int) -> Example:
        return Example(
            Sound(np.zeros(96_000, np.float32), 8_000), f"clip {index}", Clip(np.zeros((96, 4, 4, 3), np.uint8), 8)
        )

    prompts = audio.preview_prompts(Split("val", 5, load, "long"))
    assert prompts == ["clip 0", "clip 1", "clip 2", "clip 3"]
    options = audio.preview_options(["clip 1", "mine"])
    assert options is not None and [each["clip"].seconds for each in options] == [10, 10]
    assert audio.preview_options(["clip 1", "mine"]) == options and "mine" in audio.references
    assert Audio().preview_options(prompts) is None


def test_a_preview_is_marked_where_things_turn_round(audio: Audio) -> None:
    audio.preview_prompts(SOURCE.val)
    prompt, sound = next(iter(audio.references.items()))
    with_marks = audio.sheet([(prompt, sound)]).pixels
    audio.clips.clear()
    assert (with_marks != audio.sheet([(prompt, sound)]).pixels).any()
