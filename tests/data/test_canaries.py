from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.data import Source
from genai.core.errors import UserError
from genai.data.audio_folder import AudioFolder
from genai.data.canaries import WithCanaries, add_canaries, split_node, without_canaries
from genai.data.chat import ChatFiles
from genai.data.image_folder import ImageFolder
from genai.data.media_readers import ImageReader
from genai.data.tar_files import TarFiles
from genai.data.text import TextFolder
from genai.toy.data.image import ToyImages
from genai.toy.data.video import ToyVideo


def source(kind: str, request: pytest.FixtureRequest) -> Source:
    if kind == "text":
        return TextFolder(str(request.getfixturevalue("corpus")))
    if kind == "image":
        return ImageFolder(str(request.getfixturevalue("pictures")))
    if kind == "audio":
        return AudioFolder(str(request.getfixturevalue("sounds")))
    return ToyVideo(size=16, items=20, frames=6)


def content(media: Any) -> bytes:
    arrays = [getattr(media, name) for name in ("pixels", "frames", "samples") if hasattr(media, name)]
    return arrays[0].tobytes() if arrays else str(media).encode()


@pytest.mark.parametrize("kind", ["text", "image", "audio", "video"])
def test_half_of_the_canaries_are_planted(kind: str, request: pytest.FixtureRequest) -> None:
    plain = source(kind, request)
    planted = add_canaries(source(kind, request), 5)
    assert isinstance(planted, WithCanaries) and isinstance(planted, type(plain))
    assert type(planted).__name__ == type(plain).__name__
    count = len(plain.train)
    assert len(planted.train) == count + 5 and len(planted.val) == len(plain.val)
    assert planted.train.content_hash != plain.train.content_hash
    assert planted.val.content_hash == plain.val.content_hash
    assert content(planted.train[0].media) == content(plain.train[0].media)
    examples = list(planted.train)[count:]
    twins = list(planted.twins)
    assert [content(each.media) for each in examples] == [content(each.media) for each in twins[::2]]
    assert len({content(each.media) for each in twins}) == 10
    assert {type(each.media) for each in twins} == {type(plain.train[0].media)}
    assert [planted.train.prompt(count + number) for number in range(5)] == [each.prompt for each in examples]
    assert all(bool(each.prompt) == bool(plain.train[0].prompt) for each in twins)
    assert planted.description == f"{plain.description}; 5 canaries planted"


def test_canaries_are_the_same_each_time_and_others_for_other_data() -> None:
    first, again, other = (add_canaries(ToyImages(16, items=9, seed=seed), 3) for seed in (0, 0, 1))
    assert isinstance(first, WithCanaries) and isinstance(again, WithCanaries) and isinstance(other, WithCanaries)
    assert first.train.content_hash == again.train.content_hash
    assert content(first.twins[0].media) == content(again.twins[0].media) != content(other.twins[0].media)
    assert add_canaries(ToyImages(16, items=9), 4).train.content_hash != first.train.content_hash


def test_prompts_do_not_show_canaries(pictures: Path) -> None:
    planted = add_canaries(ImageFolder(str(pictures)), 50)
    assert not any("canary" in prompt for prompt in planted.prompts(planted.train, 200, 0))
    prompts = [planted.train.prompt(number) for number in range(len(planted.train))]
    assert sum("canary" in prompt for prompt in prompts) == 50
    assert not any("canary" in prompt for prompt in without_canaries(planted, prompts))
    assert without_canaries(ImageFolder(str(pictures)), ["canary 0001"]) == ["canary 0001"]


def test_pictures_have_the_size_and_channels_of_the_first() -> None:
    planted = add_canaries(ToyImages(24, items=9), 2)
    pixels = planted.train[9].media.pixels
    assert pixels.shape == planted.train[0].media.pixels.shape and pixels.dtype == np.uint8
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 16  # tiles, which a small model can learn


def test_no_canaries_are_no_change() -> None:
    plain = ToyImages(16, items=9)
    assert add_canaries(plain, 0) is plain
    assert split_node({"_target_": "a.B", "canaries": 4, "items": 3}) == ({"_target_": "a.B", "items": 3}, 4)
    assert split_node({"items": 3}) == ({"items": 3}, 0)


@pytest.mark.parametrize("value", [-1, 1.5, "many", 100_000])
def test_a_wrong_number_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"data\.canaries="):
        split_node({"canaries": value})


def test_conversations_are_refused(talks: Path) -> None:
    with pytest.raises(UserError, match="only for texts, pictures, sounds and clips"):
        add_canaries(ChatFiles(str(talks)), 3)


def test_data_that_are_read_in_order_are_refused_before_they_are_read(tars: Path) -> None:
    with pytest.raises(UserError, match="prepared in shards take none"):
        add_canaries(TarFiles(str(tars), ImageReader()), 3)
