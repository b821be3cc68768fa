import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genai.core.caption_choice import Caption, TagDropout
from genai.core.data import Example, ItemRandom, Split, packed_captions
from genai.core.loader import TrainBatches
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.modalities.packed_captions import PackedCaptions, pack_prompt
from genai.modalities.video import Video

CAPTIONS: tuple[Caption, ...] = ("a red ball", "ball", ("red", "round", "toy", "small"))
MEDIA = {
    "image": lambda: Picture(np.zeros((8, 8, 3), np.uint8)),
    "audio": lambda: Sound(np.zeros(2000, np.float32), 1000),
    "video": lambda: Clip(np.zeros((6, 8, 8, 3), np.uint8), 4.0),
}
MODALITIES = {
    "image": lambda: Image(size=8),
    "audio": lambda: Audio(sample_rate=1000),
    "video": lambda: Video(size=8, frames=4, fps=4.0, stills=0.5),
}


def _split(kind: str, captions: tuple[Caption, ...] = CAPTIONS, content_hash: str = "several") -> Split:
    examples = [Example(MEDIA[kind](), "a red ball", captions=captions), Example(MEDIA[kind](), "the sky")]
    return Split("train", 2, examples.__getitem__, content_hash)


def _random(epoch: int, indices: list[int]) -> ItemRandom:
    return ItemRandom(7, [epoch] * len(indices), indices)


@pytest.mark.parametrize("kind", MODALITIES)
def test_one_caption_is_drawn_in_each_epoch(tmp_path: Path, kind: str) -> None:
    packed: Any = MODALITIES[kind]().pack(_split(kind), tmp_path)
    assert [*packed.prompts] == ["a red ball", "the sky"]
    assert packed.batch([0, 1], None).prompts == ["a red ball", "the sky"]  # validation takes the first
    drawn = {packed.batch([0], _random(epoch, [0])).prompts[0] for epoch in range(60)}
    assert {"a red ball", "ball"} < drawn and len(drawn) > 12
    assert {word for text in drawn for word in text.replace("a red ball", "").replace(",", " ").split()} == {
        "ball", "red", "round", "toy", "small"
    }  # fmt: skip
    assert [*packed_captions(packed)] == ["a red ball", "ball", "red, round, toy, small", "the sky"]
    reopened = copy.deepcopy(packed)
    assert reopened.batch([0], _random(3, [0])).prompts == packed.batch([0], _random(3, [0])).prompts


def test_the_draw_depends_on_seed_epoch_and_index_alone(tmp_path: Path) -> None:
    packed: Any = Image(size=8).pack(_split("image"), tmp_path)
    whole = [TrainBatches(packed, 4, seed=3)[step].prompts for step in range(20)]
    assert [TrainBatches(packed, 4, seed=3)[step].prompts for step in (19, 7)] == [whole[19], whole[7]]  # resumed
    halves = [TrainBatches(packed, 2, 3, rank, 2)[7].prompts for rank in range(2)]
    assert halves[0] + halves[1] == whole[7]
    assert whole != [TrainBatches(packed, 4, seed=4)[step].prompts for step in range(20)]


def test_each_example_of_a_batch_of_frames_has_a_caption_of_its_clip(tmp_path: Path) -> None:
    clip = MODALITIES["video"]()
    packed: Any = clip.pack(_split("video"), tmp_path)
    packed.pixels = packed.pixels.copy()
    packed.pixels[:6] = 9  # the first clip
    seen = set()
    for epoch in range(40):
        batch = packed.batch([0, 1], _random(epoch, [0, 1]))
        seen.add(len(batch))
        assert [prompt == "the sky" for prompt in batch.prompts] == (batch.x.flatten(1)[:, 0] == 0).tolist()
    assert len(seen) > 1


def test_without_choices_nothing_changes(tmp_path: Path) -> None:
    assert pack_prompt(Example(None, "x")) == "x" and pack_prompt(Example(None, "x", captions=CAPTIONS)) == [*CAPTIONS]
    packed: Any = Image(size=8).pack(_split("image", (), "one"), tmp_path)
    assert packed.read_index() == ["a red ball", "the sky"]  # as files of before
    batch = packed.batch([1, 0], _random(0, [1, 0]))
    assert batch.prompts == ["the sky", "a red ball"] and torch.equal(batch.x, packed.batch([1, 0], None).x)


@pytest.mark.parametrize("entry", [[], [[]], [1], [["a", 1]], {"a": 1}, [["a"], None], 3])
def test_what_is_no_caption_stays_for_the_check_of_shards(entry: Any) -> None:
    prompts = PackedCaptions(["a", entry])
    assert prompts[1] == entry and not isinstance(prompts[1], str)


def test_tags_of_a_prompt_are_dropped_in_training_alone() -> None:
    packed = PackedCaptions(["a, b, c, d, e, f", "one sentence", ["x, y, z", ["k", "l"]]], TagDropout(0.5))
    assert packed.draw([0, 1, 2], None) == ["a, b, c, d, e, f", "one sentence", "x, y, z"]
    drawn = [packed.draw([0, 1, 2], _random(epoch, [0, 1, 2])) for epoch in range(20)]
    assert len({first for first, _, _ in drawn}) > 10 and {second for _, second, _ in drawn} == {"one sentence"}
    assert all(first.startswith("a") for first, _, _ in drawn)
    assert drawn[7] == packed.draw([0, 1, 2], _random(7, [0, 1, 2]))
    assert packed.draw([2], _random(7, [2])) == drawn[7][2:]  # whatever else is in the batch
    assert packed.captions == ["a, b, c, d, e, f", "one sentence", "x, y, z", "k, l"]
