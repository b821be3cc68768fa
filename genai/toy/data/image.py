"""Pictures of the toy world: rendered scenes with captions."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.picture import Picture
from genai.toy.world.draw import render_scenes
from genai.toy.world.scene import Scene, caption_scene, drop_attributes, scene_cache_text, split_scenes

CHUNK_EXAMPLES = 256
"""Examples that are rendered and cached together."""
MAX_BYTES = 64 * 2**30
"""Largest data set, in bytes; a larger request is taken for a mistake."""


class ToyImages(Source):
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
    metrics = ("val_loss", "toy_image", "nearest")
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
        if items * size**2 * 3 > MAX_BYTES:
            raise ValueError(f"{items:,} pictures of {size} x {size} pixels are more than {MAX_BYTES // 2**30} GiB")
        self.size, self.items, self.things, self.seed = size, items, things, seed
        self.partial_caption_prob = partial_caption_prob
        self.train_scenes, self.val_scenes = split_scenes(val_fraction, things=things)

    @property
    def train(self) -> Split:
        return self._split("train", self.items, self.train_scenes)

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10), self.val_scenes)

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Draw new captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        scenes = self.val_scenes if split.name == "val" else self.train_scenes
        return [caption_scene(scenes[index], rng) for index in rng.integers(len(scenes), size=count)]

    @property
    def description(self) -> str:
        return (
            f"toy world, {self.items:,} pictures of {len(self.train_scenes)} combinations, "
            f"{len(self.val_scenes)} combinations held out"
        )

    def _split(self, name: str, count: int, scenes: list[Scene]) -> Split:
        @lru_cache(maxsize=2)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            chunk_scenes = [scenes[index] for index in rng.integers(len(scenes), size=CHUNK_EXAMPLES)]
            images = render_scenes(chunk_scenes, self.size, rng)
            caption_scenes = [
                drop_attributes(scene, rng) if rng.random() < self.partial_caption_prob else scene
                for scene in chunk_scenes
            ]
            return [
                Example(Picture(pixels), caption_scene(scene, rng))
                for pixels, scene in zip(images, caption_scenes, strict=True)
            ]

        settings = [self.size, self.things, self.partial_caption_prob, self.seed]
        content_hash = cache_key("world", 2, name, count, *settings, [scene_cache_text(scene) for scene in scenes])
        return Split(name, count, lambda index: chunk(index // CHUNK_EXAMPLES)[index % CHUNK_EXAMPLES], content_hash)
