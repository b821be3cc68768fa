"""Enlarged pictures: a model of pictures and a second one that enlarges its samples (``then=``)."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le

from genai.core.errors import UserError
from genai.inference.known_prompts import describe_model
from genai.inference.model import Model, Stream
from genai.inference.part import load_part
from genai.media.picture import Picture
from genai.methods.upscale import Upscale
from genai.modalities.image import STEPS_NOTE, Image, ImageOptions

FINAL_OPTIONS = ("watermark", "noise_level")
"""Options of a request that the last model applies."""


@dataclass(frozen=True)
class UpscaledOptions(ImageOptions):
    """Options of a request for enlarged images, with those of ``ImageOptions``.

    Attributes:
        noise_level: noise that is added to the small picture before it is enlarged, as a fraction of the largest in
            training; ``None``: the default of the model that enlarges.
    """

    noise_level: Annotated[float, Ge(0), Le(1)] | None = None


class UpscaledModel(Model):
    """A model of pictures whose samples are enlarged, which depends only on the sample and its seed.

    Args:
        model: makes the small pictures.
        upscale_model: enlarges each, with its own default options.
    """

    def __init__(self, model: Model, upscale_model: Model) -> None:
        vars(self).update(vars(model))
        self.modality = copy(model.modality)
        self.modality.Options = UpscaledOptions  # type: ignore[misc]
        self.parts = {**model.parts, "then": upscale_model}

    def open_stream(
        self,
        prompts: list[str],
        seeds: list[int],
        init: Any,
        options: Mapping[str, Any],
        interpolation: Any = None,
    ) -> Stream:
        return UpscaledStream(self, prompts, seeds, init, options, interpolation)


class UpscaledStream(Stream):
    """Small pictures in progress; the results are enlarged."""

    def __init__(
        self,
        model: UpscaledModel,
        prompts: list[str],
        seeds: list[int],
        init: Any,
        options: Mapping[str, Any],
        interpolation: Any = None,
    ) -> None:
        first = {name: value for name, value in options.items() if name not in FINAL_OPTIONS}
        super().__init__(model, prompts, seeds, init, first, interpolation)
        self.upscale_model = model.parts["then"]
        last = {name: options.get(name) for name in FINAL_OPTIONS}
        self.last_options = {name: value for name, value in last.items() if value is not None}
        blank = model.modality.decode(torch.zeros(self._request.size, dtype=torch.uint8))
        self._enlarge(blank, seeds[0])  # refuses options before anything is made

    def iter_results(self, items: Sequence[int] | None = None) -> Iterator[Picture]:
        items = range(len(self.seeds)) if items is None else items
        for item, picture in zip(items, super().iter_results(items), strict=True):
            stream = self._enlarge(picture, self.seeds[item])
            for _ in stream:
                pass
            yield from stream.results()

    def _enlarge(self, picture: Any, seed: int) -> Stream:
        """Return a stream that enlarges a picture. Raises ``UserError``."""
        return self.upscale_model.open_stream([""], [seed], picture, self.last_options)


def upscale_notes(model: Model) -> list[str]:
    """Return a line for people about how samples are enlarged; none if they are not."""
    if "then" not in model.parts:
        return []
    _, options = model.parts["then"].build_options({})
    return [f"then= enlarges in {options.steps} step{'s' * (options.steps > 1)}: {STEPS_NOTE}"]


def with_upscaling(model: Model, source: str | None, **place: Any) -> Model:
    """Compose a model of pictures with one that enlarges them.

    Args:
        model: of pictures.
        source: run folder or checkpoint file of the second model; ``None``: ``model`` stays as it is.
        place: further arguments of ``load_part``.

    Raises:
        UserError: there is no such run; it does not enlarge pictures; ``model`` makes none.
    """
    if source is None:
        return model
    if not isinstance(model.modality, Image):
        kind = type(model.modality).__name__.lower()
        raise UserError(f"then= enlarges pictures, and this model makes {kind}. Leave it out, or give another ckpt=.")
    upscale_model = load_part("then", source, **place)
    if not isinstance(upscale_model.method, Upscale):
        raise UserError(
            f"then={source} makes {describe_model(upscale_model)}: it should be a run of model=upscale, which enlarges."
        )
    if getattr(upscale_model.modality, "channels", 3) < model.modality.channels:
        raise UserError(f"then={source} makes gray pictures, and this model makes pictures in color.")
    return UpscaledModel(model, upscale_model)
