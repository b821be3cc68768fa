"""Rewards of toy pictures: pictures whose scene is known."""

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.picture import Picture
from genai.rewards.base import Rewards, parse_rewards
from genai.toy.data.image import ToyImages
from genai.toy.rewards.image import Attributes, Binding, Fulfilment, Strict
from genai.toy.world.draw import render_scenes
from genai.toy.world.image_oracle import SceneDetection
from genai.toy.world.scene import parse_scene


def picture(caption: str, jitter: bool = False) -> Picture:
    return Picture(render_scenes([parse_scene(caption)], 32, np.random.default_rng(0), jitter)[0])


def parts(prompt: str, sample: Picture, things: int = 1) -> dict[str, float]:
    source = ToyImages(items=40, things=things)
    names = ["fulfilment", "strict", "attributes", *(["binding"] if things == 2 else [])]
    return {
        name: value for name, (value,) in Rewards(parse_rewards(names, source)).score([prompt], [sample])[1].items()
    }


def test_the_picture_of_the_prompt_has_all_rewards() -> None:
    caption = "a large red circle on the left"
    rewards = parts(caption, picture(caption))
    assert rewards["fulfilment"] == rewards["strict"] == 1 and rewards["attributes"] > 0.8


def test_a_wrong_attribute_costs_a_quarter_of_the_graded_reward() -> None:
    sample = picture("a large red circle on the left")
    right, wrong = parts("a large red circle on the left", sample), parts("a large blue circle on the left", sample)
    assert wrong["fulfilment"] == wrong["strict"] == 0
    assert wrong["attributes"] == pytest.approx(0.75 * right["attributes"])


def test_an_unclean_outline_is_fulfilled_but_not_strict() -> None:
    scene = parse_scene("a large red square on the left")
    for overlap, expected in ((0.76, 0.0), (0.78, 1.0)):
        detection = SceneDetection(scene, overlap)
        assert (Fulfilment().score(scene, detection), Strict().score(scene, detection)) == (1, expected)
        assert Attributes().score(scene, detection) == overlap


def test_binding_is_of_two_things() -> None:
    sample = picture("a small red circle left of a large blue square")
    assert parts("a small red circle left of a large blue square", sample, 2)["binding"] == 1
    assert parts("a small blue circle left of a large red square", sample, 2)["binding"] == 0
    with pytest.raises(UserError, match=r"two things: data\.things=2"):
        Binding().check(["a red circle"])


def test_prompts_of_other_data_are_refused() -> None:
    with pytest.raises(UserError, match="the prompt 'a cat' describes no scene"):
        Binding().check(["a cat"])


def test_rewards_of_texts_are_not_offered() -> None:
    with pytest.raises(UserError, match=r"no reward 'exact'\. There are: attributes, binding, fulfilment"):
        parse_rewards(["exact"], ToyImages(items=40))
    default = parse_rewards(ToyImages(items=40).rewards, ToyImages(items=40))
    assert [(reward.name, reward.weight) for reward in default] == [("attributes", 1), ("strict", 0)]
