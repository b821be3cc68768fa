"""Pictures of the toy world: rendered scenes with captions."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.data import Example, Split
from genai.media.picture import Picture
from genai.toy.data.base import ToySource
from genai.toy.world.draw import render_scenes
from genai.toy.world.scene import (
    Scene,
    caption_scene,
    drop_attributes,
    parse_scene,
    scene_cache_text,
    split_scenes,
)


class ToyImages(ToySource):
    """Pictures of the toy world.

    Args:
        size: side in pixels; only squares are rendered.
        items: number of training pictures; the validation split has a tenth as many, of held-out combinations.
        things: 1, or 2 with a relation.
        partial_caption_prob: probability that a caption omits some attributes.
        val_fraction: fraction of the combinations of attributes that are held out.
        seed: random seed of scenes, pictures and captions.
    """

    media = Picture
    chunk_examples = 256
    content_version = ("world", 2)
    metrics = ("val_loss", "toy_image", "nearest")
    rewards = MappingProxyType({"attributes": 1.0, "strict": 0.0})
    own_rewards: ClassVar[Mapping[str, str]] = {
        "fulfilment": "genai.toy.rewards.image.Fulfilment",
        "strict": "genai.toy.rewards.image.Strict",
        "binding": "genai.toy.rewards.image.Binding",
        "attributes": "genai.toy.rewards.image.Attributes",
    }
    own_metrics: ClassVar[Mapping[str, str]] = {"toy_image": "genai.toy.metrics.image.ScenePromptAccuracy"}

    def __init__(
        self,
        size: Annotated[int, Ge(16), Le(512)] | list[int] = 32,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 16_000,
        things: Annotated[int, Ge(1), Le(2)] = 1,
        partial_caption_prob: Annotated[float, Ge(0), Le(1)] = 0.1,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if not isinstance(size, int):
            raise ValueError(
                "the toy world draws squares: modality.size=32. For other shapes choose other data, such as "
                "data=image_folder."
            )
        super().__init__(items, seed, items * size**2 * 3, f"pictures of {size} x {size} pixels")
        self.size, self.things, self.partial_caption_prob = size, things, partial_caption_prob
        self.scenes = dict(zip(("train", "val"), split_scenes(val_fraction, things=things), strict=True))

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        return [caption_scene(scene, rng) for scene in self._draw(split.name, count, rng)]

    def parse(self, prompt: str) -> Sequence[Any]:
        return parse_scene(prompt).things

    @property
    def description(self) -> str:
        return (
            f"toy world, {self.items:,} pictures of {len(self.scenes['train'])} combinations, "
            f"{len(self.scenes['val'])} combinations held out"
        )

    def _draw(self, name: str, count: int, rng: np.random.Generator) -> list[Scene]:
        scenes = self.scenes[name]
        return [scenes[index] for index in rng.integers(len(scenes), size=count)]

    def _chunk(self, name: str, number: int) -> list[Example]:
        rng = self._rng(name, number)
        scenes = self._draw(name, self.chunk_examples, rng)
        images = render_scenes(scenes, self.size, rng)
        scenes = [
            drop_attributes(scene, rng) if rng.random() < self.partial_caption_prob else scene for scene in scenes
        ]
        pairs = zip(images, scenes, strict=True)
        return [Example(Picture(pixels), caption_scene(scene, rng)) for pixels, scene in pairs]

    def _hash_parts(self, name: str) -> list[Any]:
        scenes = [scene_cache_text(scene) for scene in self.scenes[name]]
        return [self.size, self.things, self.partial_caption_prob, self.seed, scenes]
