import numpy as np
import pytest

from genai.modalities.visual_onsets import VisualOnsets
from genai.toy.data.soundtrack import FRAMES, ToySoundtracks
from genai.toy.world.motion import parse
from genai.toy.world.soundtrack import f1, onsets


@pytest.fixture(scope="module")
def source() -> ToySoundtracks:
    return ToySoundtracks(items=100)


def test_examples_are_sounds_beside_their_clips(source: ToySoundtracks) -> None:
    assert (len(source.train), len(source.val)) == (100, 10)
    examples = list(source.train)
    assert {len(each.beside.frames) for each in examples} == set(FRAMES)
    assert all(each.media.seconds == each.beside.seconds for each in examples)
    found = [onsets(each.media.samples, each.media.rate) for each in examples]
    true = [[note.time for note in source.score(source.train, index)] for index in range(100)]
    assert f1(found, true) > 0.93
    assert sum(each.prompt == "" for each in examples) == pytest.approx(50, abs=4)


def test_there_are_one_thing_or_two_and_held_out_is_held_out(source: ToySoundtracks) -> None:
    held = {motion.things[0] for motion in source.motions["val"]}
    for split in (source.train, source.val):
        said = [parse(each.prompt) for each in split if each.prompt]
        assert {len(motion.things) for motion in said} == {1, 2}
        assert all((thing in held) == (split.name == "val") for motion in said for thing in motion.things)
    alone = ToySoundtracks(items=20, things=1)
    assert {len(parse(each.prompt).things) for each in alone.train if each.prompt} == {1}


def test_the_fingerprint_is_of_all_that_matters(source: ToySoundtracks) -> None:
    same = ToySoundtracks(items=100, sight=VisualOnsets())
    assert same.train.fingerprint == source.train.fingerprint != source.val.fingerprint
    others = [{"items": 101}, {"rate": 16_000}, {"seed": 1}, {"things": 1}]
    prints = {ToySoundtracks(**{"items": 100, **other}).train.fingerprint for other in others}  # type: ignore[arg-type]
    assert len(prints | {source.train.fingerprint}) == 5
    first, again = source.train[70], ToySoundtracks(items=100).train[70]
    assert np.array_equal(first.media.samples, again.media.samples)
    assert np.array_equal(first.beside.frames, again.beside.frames)
    with pytest.raises(ValueError, match="64 GiB"):
        ToySoundtracks(48_000, items=1_000_000)
