"""Previews of pictures: samples, or pictures that a model gives back beside the held-out ones."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from genai.core.data import Split
from genai.media.picture import Picture, contact_sheet
from genai.modalities.base import Modality
from genai.modalities.image_preview import ImagePreview
from genai.modalities.preview import PromptSamples

PAIR_TITLES = ("held out", "given back")


class PairPreview(ImagePreview):
    """Presents pictures; those that are given back, beside the held-out ones.

    Args:
        image: converts pictures.
    """

    def __init__(self, image: Modality) -> None:
        super().__init__()
        self.image = image
        self.split: Split | None = None
        self.originals: list[Picture] = []

    def prompts(self, split: Split) -> list[str]:
        """Choose a few prompts; pictures of the split are read when a method needs them."""
        self.split = split
        return super().prompts(split)

    def inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Picture] | None:
        """Return held-out pictures for a method that gives pictures back, and keep them to be shown."""
        if self.split is None or degrade(torch.zeros(1, *self.image.interface["shape"], dtype=torch.uint8)) is None:
            return None
        places = [number * len(self.split) // len(prompts) for number in range(len(prompts))]
        inputs = degrade(torch.stack([self.image.encode(self.split[place].media) for place in places]))
        assert inputs is not None
        originals = [cast(Picture, self.image.decode(x)) for x in inputs]
        self.originals = [originals[number % len(originals)] for number in range(len(prompts))]
        return self.originals

    def contact_sheet(self, samples: PromptSamples) -> Picture:
        """Return all samples; those of ``inits`` to the right of what they are made from."""
        if not self.originals:
            return super().contact_sheet(samples)
        pairs = zip(self.originals, (picture for _, picture in samples), strict=True)
        return contact_sheet([each for pair in pairs for each in zip(PAIR_TITLES, pair, strict=True)])
