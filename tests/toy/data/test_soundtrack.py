import numpy as np
import pytest

from genai.modalities.visual_onsets import VisualOnsets
from genai.toy.data.soundtrack import CLIP_FRAMES, ToySoundtracks
from genai.toy.world.motion import parse_motion
from genai.toy.world.soundtrack import detect_onsets, onset_f1


@pytest.fixture(scope="module")
def source() -> ToySoundtracks:
    return ToySoundtracks(items=100)


def test_examples_match_their_clips(source: ToySoundtracks) -> None:
    assert (len(source.train), len(source.val)) == (100, 10)
    examples = list(source.train)
    assert {len(each.conditioning.frames) for each in examples} == set(CLIP_FRAMES)
    assert all(each.media.seconds == each.conditioning.seconds for each in examples)
    onsets = [detect_onsets(each.media.samples, each.media.sample_rate) for each in examples]
    targets = [[note.time for note in source.notes(source.train, index)] for index in range(100)]
    assert onset_f1(onsets, targets) > 0.93
    assert sum(each.prompt == "" for each in examples) == pytest.approx(50, abs=4)


def test_number_of_things_and_val_split(source: ToySoundtracks) -> None:
    val = {motion.things[0] for motion in source.motions["val"]}
    for split in (source.train, source.val):
        motions = [parse_motion(each.prompt) for each in split if each.prompt]
        assert {len(motion.things) for motion in motions} == {1, 2}
        assert all((thing in val) == (split.name == "val") for motion in motions for thing in motion.things)
    single = ToySoundtracks(items=20, things=1)
    assert {len(parse_motion(each.prompt).things) for each in single.train if each.prompt} == {1}


def test_content_hash_depends_on_all_settings(source: ToySoundtracks) -> None:
    same = ToySoundtracks(items=100, clip_features=VisualOnsets())
    assert same.train.content_hash == source.train.content_hash != source.val.content_hash
    others = [{"items": 101}, {"sample_rate": 16_000}, {"seed": 1}, {"things": 1}]
    prints = {ToySoundtracks(**{"items": 100, **other}).train.content_hash for other in others}  # type: ignore[arg-type]
    assert len(prints | {source.train.content_hash}) == 5
    first, again = source.train[70], ToySoundtracks(items=100).train[70]
    assert np.array_equal(first.media.samples, again.media.samples)
    assert np.array_equal(first.conditioning.frames, again.conditioning.frames)
    with pytest.raises(ValueError, match="64 GiB"):
        ToySoundtracks(48_000, items=1_000_000)
