import numpy as np
import pytest

from genai.media.clip import Clip
from genai.toy.data.video import ToyVideo
from genai.toy.world.motion import parse_motion
from genai.toy.world.video_oracle import detect_motions, is_motion_match


@pytest.mark.parametrize("things", [1, 2])
def test_examples_match_their_captions(things: int) -> None:
    source = ToyVideo(items=70, things=things)
    for split, count in ((source.train, 70), (source.val, 7)):
        examples = list(split)
        assert len(split) == len(examples) == count
        assert {(type(e.media), e.media.fps, e.media.frames.shape) for e in examples} == {(Clip, 8.0, (16, 32, 32, 3))}
        targets = [parse_motion(example.prompt) for example in examples]
        assert all(motion.is_complete and len(motion.things) == things for motion in targets)
        detections = detect_motions(np.stack([example.media.frames.transpose(0, 3, 1, 2) for example in examples]))
        assert np.mean([is_motion_match(*pair) for pair in zip(targets, detections, strict=True)]) >= (
            0.97 if things == 1 else 0.8
        )


@pytest.mark.parametrize("things", [1, 2])
def test_the_splits_share_no_combination(things: int) -> None:
    source = ToyVideo(items=40, things=things, val_fraction=0.2)
    train = {motion.things[0] for motion in source.motions["train"]}
    val = {motion.things[0] for motion in source.motions["val"]}
    assert not train & val and len(val) == 128
    for split, pool in ((source.train, train), (source.val, val)):
        prompts = source.prompts(split, 60, 3)
        assert prompts == source.prompts(split, 60, 3) != source.prompts(split, 60, 4)
        for prompt in (*prompts, *(example.prompt for example in split)):
            motion = parse_motion(prompt)
            assert set(motion.things) <= pool
            assert len({(thing.shape, thing.color) for thing in motion.things}) == things


def test_paths_and_content_hash() -> None:
    clip, longer = ToyVideo(items=20).train[17], ToyVideo(items=40, frames=20).train[17]
    assert clip.prompt == longer.prompt and np.array_equal(clip.media.frames, longer.media.frames[:16])
    changes = (
        {"size": 16},
        {"frames": 8},
        {"fps": 4.0},
        {"items": 21},
        {"things": 2},
        {"val_fraction": 0.2},
        {"seed": 1},
    )
    sources = [ToyVideo(**{"items": 20, **change}) for change in ({}, *changes)]  # type: ignore[arg-type]
    prints = [split.content_hash for source in sources for split in (source.train, source.val)]
    assert len(set(prints)) == len(prints) - 1  # 20 and 21 clips hold out the same two
    assert ToyVideo(items=20).train.content_hash == prints[0]


def test_too_large_data_raise() -> None:
    with pytest.raises(ValueError, match=r"10,000,000 clips of 16 frames of 512 x 512 pixels are more than 64 GiB"):
        ToyVideo(size=512, items=10_000_000)


def test_the_description() -> None:
    assert ToyVideo(items=20).description == "toy world, 20 clips of 576 combinations, 64 combinations held out"
    assert "576 combinations of each thing, 64" in ToyVideo(items=20, things=2).description
