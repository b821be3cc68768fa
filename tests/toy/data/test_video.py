import numpy as np
import pytest

from genai.media.clip import Clip
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import parse
from genai.toy.world.video_oracle import all_right, watch


@pytest.mark.parametrize("things", [1, 2])
def test_examples_are_clips_of_their_captions(things: int) -> None:
    source = ToyVideo(items=70, things=things)
    for split, count in ((source.train, 70), (source.val, 7)):
        examples = list(split)
        assert len(split) == len(examples) == count
        assert {(type(e.media), e.media.fps, e.media.frames.shape) for e in examples} == {(Clip, 8.0, (16, 32, 32, 3))}
        asked = [parse(example.prompt) for example in examples]
        assert all(motion.is_complete and len(motion.things) == things for motion in asked)
        seen = watch(np.stack([example.media.frames.transpose(0, 3, 1, 2) for example in examples]))
        assert np.mean([all_right(*pair) for pair in zip(asked, seen, strict=True)]) >= (0.97 if things == 1 else 0.8)


@pytest.mark.parametrize("things", [1, 2])
def test_the_splits_share_no_combination(things: int) -> None:
    source = ToyVideo(items=40, things=things, held_out=0.2)
    trained = {motion.things[0] for motion in source.train_motions}
    held = {motion.things[0] for motion in source.val_motions}
    assert not trained & held and len(held) == 128
    for split, movers in ((source.train, trained), (source.val, held)):
        prompts = source.prompts(split, 60, 3)
        assert prompts == source.prompts(split, 60, 3) != source.prompts(split, 60, 4)
        for prompt in (*prompts, *(example.prompt for example in split)):
            motion = parse(prompt)
            assert set(motion.things) <= movers
            assert len({(thing.shape, thing.colour) for thing in motion.things}) == things


def test_paths_depend_on_neither_size_nor_frames_and_fingerprints_on_all() -> None:
    clip, longer = ToyVideo(items=20).train[17], ToyVideo(items=40, frames=20).train[17]
    assert clip.prompt == longer.prompt and np.array_equal(clip.media.frames, longer.media.frames[:16])
    changes = ({"size": 16}, {"frames": 8}, {"fps": 4.0}, {"items": 21}, {"things": 2}, {"held_out": 0.2}, {"seed": 1})
    sources = [ToyVideo(**{"items": 20, **change}) for change in ({}, *changes)]  # type: ignore[arg-type]
    prints = [split.fingerprint for source in sources for split in (source.train, source.val)]
    assert len(set(prints)) == len(prints) - 1  # 20 and 21 clips hold out the same two
    assert ToyVideo(items=20).train.fingerprint == prints[0]


def test_a_set_without_measure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10,000,000 clips of 16 frames of 512 x 512 pixels are more than 64 GiB"):
        ToyVideo(size=512, items=10_000_000)


def test_the_description() -> None:
    assert ToyVideo(items=20).description == "toy world, 20 clips of 576 combinations, 64 combinations held out"
    assert "576 combinations of each thing, 64" in ToyVideo(items=20, things=2).description
