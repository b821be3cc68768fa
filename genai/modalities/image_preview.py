"""Previews of pictures: side by side; those that are enlarged beside the small and the real ones."""

from collections.abc import Callable
from itertools import cycle
from typing import cast

from PIL import Image as Pillow
from torch import Tensor

from genai.core.data import Split
from genai.media.picture import DenoisingAnimation, Picture, contact_sheet
from genai.modalities.base import Modality
from genai.modalities.preview import Preview, PromptSamples

NUM_ENLARGED = 4
"""Held-out pictures that previews enlarge."""


class ImagePreview(Preview):
    """Presents pictures.

    Args:
        modality: of a model that enlarges pictures; ``None``: samples are new pictures.
    """

    animation_class = DenoisingAnimation

    def __init__(self, modality: Modality | None = None) -> None:
        self.modality = modality
        self.references: dict[str, Picture] = {}
        self.small: dict[str, Picture] = {}

    def prompts(self, split: Split) -> list[str]:
        """Choose prompts of held-out data, or names for the held-out pictures that are made small and enlarged."""
        if self.modality is None:
            return super().prompts(split)
        count = min(len(split), NUM_ENLARGED)
        examples = (split[number * len(split) // count] for number in range(count))
        pictures = [self.modality.decode(self.modality.encode(example.media)) for example in examples]
        self.references = {f"picture {number}": cast(Picture, picture) for number, picture in enumerate(pictures)}
        return list(self.references)

    def inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Picture] | None:
        """Return the references made small, in turn, also for other prompts."""
        if self.modality is None or not self.references:
            return None
        for prompt, real in zip(prompts, cycle(list(self.references.values())), strict=False):
            small = degrade(self.modality.encode(real)[None])
            if small is None:
                return None
            self.references[prompt] = real
            self.small[prompt] = cast(Picture, self.modality.decode(small[0]))
        return [self.small[prompt] for prompt in prompts]

    def contact_sheet(self, samples: PromptSamples) -> Picture:
        """Return all pictures on one; a row for each that is enlarged: small, bicubic, the sample, real."""
        rows = [row for prompt, picture in samples if (row := self._row(prompt, picture))]
        return contact_sheet([pair for row in rows for pair in row], columns=4) if rows else contact_sheet(samples)

    def interpolation_strip(self, samples: PromptSamples) -> Picture:
        return contact_sheet(samples, min_width=96, columns=len(samples))

    def _row(self, prompt: str, picture: Picture) -> list[tuple[str, Picture]]:
        """Return (title, picture) of what a preview is compared with; nothing if it is a sample of something else."""
        small, real = self.small.get(prompt), self.references.get(prompt)
        if small is None or real is None:
            return []
        size = picture.image.size
        resize = lambda way: Picture.from_pil(small.image.resize(size, way))  # noqa: E731
        return [
            ("small", resize(Pillow.Resampling.NEAREST)),
            ("bicubic", resize(Pillow.Resampling.BICUBIC)),
            ("enlarged", picture),
            ("real", real),
        ]
