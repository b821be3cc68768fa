"""Rewards of toy pictures: what the image oracle sees of the prompt."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from genai.core.errors import UserError, short_repr
from genai.media.picture import Picture
from genai.rewards.base import BatchReward
from genai.toy.world.image_oracle import STRICT_OVERLAP, SceneDetection, detect_scenes, is_scene_match, match_scene
from genai.toy.world.scene import Scene, parse_scene


class SceneReward(BatchReward):
    """A reward of pictures by what the oracle detects in them."""

    def check(self, prompts: Sequence[str]) -> None:
        for prompt in prompts:
            try:
                parse_scene(prompt)
            except ValueError as error:
                raise UserError(f"rewards: the prompt {short_repr(prompt)} describes no scene: {error}.") from error

    def scores(self, prompts: Sequence[str], samples: Sequence[Picture]) -> list[float]:
        pixels = np.stack([sample.pixels for sample in samples])
        if pixels.shape[-1] != 3:
            raise UserError("rewards: the toy world's need color pictures, but this model generates gray ones.")
        scenes = {prompt: parse_scene(prompt) for prompt in set(prompts)}
        detections = detect_scenes(pixels)
        return [self.score(scenes[prompt], each) for prompt, each in zip(prompts, detections, strict=True)]

    @abstractmethod
    def score(self, target: Scene, detection: SceneDetection) -> float:
        """Return the reward of a picture of ``target``."""


class Fulfilment(SceneReward):
    """1 if every attribute of the prompt is right."""

    def score(self, target: Scene, detection: SceneDetection) -> float:
        return float(is_scene_match(target, detection))


class Strict(SceneReward):
    """1 if every attribute is right and the outlines are cleanly drawn."""

    def score(self, target: Scene, detection: SceneDetection) -> float:
        return float(is_scene_match(target, detection) and detection.overlap >= STRICT_OVERLAP)


class Binding(SceneReward):
    """1 if of two things each color is on its own shape."""

    def check(self, prompts: Sequence[str]) -> None:
        super().check(prompts)
        if not any(len(parse_scene(prompt).things) == 2 for prompt in prompts):
            raise UserError("rewards: binding is for prompts with two things: data.things=2.")

    def score(self, target: Scene, detection: SceneDetection) -> float:
        return float(match_scene(target, detection).get("binding", False))


class Attributes(SceneReward):
    """Share of the attributes of the prompt that are right, times the overlap with the ideal outline."""

    def score(self, target: Scene, detection: SceneDetection) -> float:
        matches: Mapping[str, bool] = match_scene(target, detection)
        return sum(matches.values()) / len(matches) * detection.overlap
