"""The toy world as a data set: drawn scenes and their captions, a finite number of each split."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.picture import Picture
from genai.toy.world import draw, scene

CHUNK = 256
LARGEST = 64 * 2**30
"""Bytes of a set that is drawn: more is a mistake, or a stranger's wish."""


class ToyImages(Source):
    """Pictures of the toy world.

    Args:
        size: of a side, in pixels; other shapes than squares are not drawn.
        items: training pictures; another tenth is held out, of combinations that are not trained on.
        things: 1, or 2 with a relation.
        vague: share of the captions that leave attributes out.
        held_out: share of the combinations of attributes that are never trained on.
        seed: of all that is drawn.
    """

    media = Picture
    metrics = ("val_loss", "toy_image", "nearest")
    own_metrics: ClassVar[Mapping[str, str]] = {"toy_image": "genai.toy.metrics.image.Obedience"}

    def __init__(
        self,
        size: Annotated[int, Ge(16), Le(512)] | list[int] = 32,
        items: Annotated[int, Ge(1), Le(10_000_000)] = 16_000,
        things: Annotated[int, Ge(1), Le(2)] = 1,
        vague: Annotated[float, Ge(0), Le(1)] = 0.1,
        held_out: Annotated[float, Gt(0), Lt(1)] = 0.1,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if not isinstance(size, int):
            raise ValueError("the toy world draws squares: modality.size=32. Other shapes need data=image_folder, say.")
        if items * size**2 * 3 > LARGEST:
            raise ValueError(f"{items:,} pictures of {size} x {size} pixels are more than {LARGEST // 2**30} GiB")
        self.size, self.items, self.things, self.seed = size, items, things, seed
        self.vague = vague
        self.train_scenes, self.val_scenes = scene.held_out(held_out, things=things)

    @property
    def train(self) -> Split:
        return self._split("train", self.items, self.train_scenes)

    @property
    def val(self) -> Split:
        return self._split("val", max(1, self.items // 10), self.val_scenes)

    def prompts(self, split: Split, count: int, seed: int) -> list[str]:
        """Fresh captions that name every attribute, of the combinations of ``split``."""
        rng = np.random.default_rng([seed, split.name == "val"])
        scenes = self.val_scenes if split.name == "val" else self.train_scenes
        return [scene.caption(scenes[index], rng) for index in rng.integers(len(scenes), size=count)]

    @property
    def description(self) -> str:
        return (
            f"toy world, {self.items:,} pictures of {len(self.train_scenes)} combinations, "
            f"{len(self.val_scenes)} combinations held out"
        )

    def _split(self, name: str, count: int, scenes: list[scene.Scene]) -> Split:
        @lru_cache(maxsize=2)
        def chunk(number: int) -> list[Example]:
            rng = np.random.default_rng([self.seed, name == "val", number])
            chosen = [scenes[index] for index in rng.integers(len(scenes), size=CHUNK)]
            pictures = draw.draw(chosen, self.size, rng)
            said = [scene.hide(each, rng) if rng.random() < self.vague else each for each in chosen]
            return [
                Example(Picture(pixels), scene.caption(each, rng)) for pixels, each in zip(pictures, said, strict=True)
            ]

        about = cache_key(
            "world", 2, name, count, self.size, self.things, self.vague, self.seed, [repr(s) for s in scenes]
        )
        return Split(name, count, lambda index: chunk(index // CHUNK)[index % CHUNK], about)
