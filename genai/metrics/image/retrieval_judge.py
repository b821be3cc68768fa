"""A judge of pictures that needs no pretrained weights: what does a picture show, and in which style?"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from genai.core.errors import UserError
from genai.core.terminal import printable
from genai.data.image_folder import ImageFolder
from genai.metrics.base import EvalContext
from genai.metrics.image.caption_map import CaptionMap, fit_captions
from genai.metrics.image.picture_features import layouts
from genai.metrics.image.picture_items import PictureItem, PictureSplit, read_items
from genai.metrics.image.picture_space import PictureSpace, fit_space
from genai.metrics.image.retrieval_targets import CaptionTargets, ReferenceTargets, RetrievalTargets, without_copies
from genai.metrics.image.style_classifier import StyleClassifier, fit_styles

HELD_OUT = "held-out pictures"
MIN_PICTURES = 20
"""Pictures with references below which captions are used instead."""


@dataclass(frozen=True)
class RetrievalJudge:
    """What is learned from real pictures, and references that the model was not trained on.

    Attributes:
        train, val: the splits of the data.
        space: fitted to ``train`` and to excluded pictures.
        references: targets of the labels that have references.
        reference_text: where they come from, for people.
        uses_captions: whether captions are used where there are too few references.
    """

    train: PictureSplit
    val: PictureSplit
    space: PictureSpace
    references: ReferenceTargets
    reference_text: str
    uses_captions: bool

    @cached_property
    def styles(self) -> StyleClassifier | None:
        """The classifier of styles; ``None`` if there are fewer than two."""
        return fit_styles(self.train.features, self.train.styles) if len(set(self.train.styles)) > 1 else None

    @cached_property
    def captions(self) -> CaptionMap:
        """The map from words, learned from the training pictures."""
        vectors = self.space.embed(self.train.features, self.train.styles)
        return fit_captions(self.train.pictures, vectors)

    @cached_property
    def _caption_targets(self) -> CaptionTargets:
        return CaptionTargets([*self.val.pictures, *self.train.pictures], self.captions)

    def targets(self, pictures: Sequence[PictureItem]) -> tuple[RetrievalTargets, str]:
        """Return what pictures of these kinds are compared with, and its description.

        A caption says nothing of its own training pictures: its label is left out of what is learned.
        """
        num_known = sum(map(self.references.has, pictures))
        if num_known >= MIN_PICTURES or not self.uses_captions:
            return self.references, self.reference_text
        return self._caption_targets, "captions of other items"


def fit_judge(context: EvalContext) -> RetrievalJudge:
    """Fit a judge to the data. Raises ``UserError`` if there are no captions, or references that cannot be used."""
    source, modality = context.source, context.model.modality
    train, val = (read_items(source, split, modality) for split in (source.train, source.val))
    if not train.pictures or not val.pictures:
        raise UserError("'prompt_retrieval' compares what captions name, and these pictures have none. Leave it out.")
    excluded = None if source.excluded is None else read_items(source, source.excluded, modality)
    space = _fit_space(train, val, excluded)
    parts, text = [val], HELD_OUT
    if context.references:
        folder = reference_folder(context.references)
        parts = [read_items(folder, split, modality) for split in (folder.train, folder.val)]
        text = f"pictures of {printable(context.references.name)}"
    elif excluded is not None and len(set(excluded.labels) & set(train.labels)) >= MIN_PICTURES:
        parts, text = [excluded], "pictures that were left out of both splits"
    references = [picture for part in parts for picture in part.pictures]
    features = torch.cat([part.features for part in parts])
    used = without_copies(layouts(features), layouts(train.features))
    if num_copies := int((~used).sum()):
        context.note(f"{num_copies:,} of {len(used):,} {text} look like training pictures: they are no references.")
    if context.references and not used.any():
        raise UserError(f"references={context.references}: all of them were trained on. Choose others.")
    references, features = [picture for picture, use in zip(references, used, strict=True) if use], features[used]
    styles = [picture.style for picture in references]
    space = space.with_styles(features, styles)
    targets = ReferenceTargets(references, space.embed(features, styles))
    return RetrievalJudge(train, val, space, targets, text, text == HELD_OUT)


def _fit_space(train: PictureSplit, val: PictureSplit, excluded: PictureSplit | None) -> PictureSpace:
    """Fit a space to the training pictures, and to excluded pictures of the same labels, which the model never saw.

    Excluded pictures of a held-out part (column ``split``) may show what no training picture shows, and are not used.
    """
    features, labels, styles = [train.features], [*train.labels], [*train.styles]
    if excluded is not None:
        known, held_out = set(labels), {picture.part for picture in val.pictures} - {""}
        rows = [
            row
            for row, picture in enumerate(excluded.pictures)
            if picture.label in known and picture.part not in held_out
        ]
        features.append(excluded.features[rows])
        labels += [excluded.labels[row] for row in rows]
        styles += [excluded.styles[row] for row in rows]
    return fit_space(torch.cat(features), labels, styles).with_styles(val.features, val.styles)


def reference_folder(path: Path) -> ImageFolder:
    """Return the pictures of a folder, both splits of which are references. Raises ``UserError`` if there are none."""
    folder = ImageFolder(str(path))
    if not any([*(folder.train.prompts or ()), *(folder.val.prompts or ())]):
        raise UserError(f"references={path}: these pictures have no captions.")
    return folder
