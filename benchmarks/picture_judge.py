"""How often does the judge of ``prompt_retrieval`` know real pictures? No model is needed.

    python benchmarks/picture_judge.py FOLDER --size 64 --without flags

FOLDER is read as ``data=image_folder``, with columns label, style, family, group, keywords or tags, and split. The
judge learns from the training pictures. Shares are of up to 600 pictures: best of 100, best 5 of 100.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from genai.core.cache import cache_dir
from genai.data.image_folder import ImageFolder
from genai.metrics.image.caption_map import CaptionMap, fit_captions
from genai.metrics.image.picture_items import PictureItem, PictureSplit, read_items
from genai.metrics.image.picture_space import PictureSpace, fit_space
from genai.metrics.image.prompt_retrieval import share_result
from genai.metrics.image.retrieval_targets import CaptionTargets, ReferenceTargets, RetrievalTargets
from genai.modalities.image import Image

MAX_QUERIES = 600


class KnownCaptions(CaptionMap):
    """Predicts a label from all captions, its own included."""

    def predict(self, label: str, keywords: str) -> Tensor:
        return self.predict_known(label, keywords)


def select(split: PictureSplit, is_used: Sequence[bool]) -> tuple[list[PictureItem], Tensor]:
    """Return some of the pictures and their features."""
    pictures = [picture for picture, used in zip(split.pictures, is_used, strict=True) if used]
    return pictures, split.features[torch.tensor(is_used)]


def show(name: str, pictures: Sequence[PictureItem], vectors: Tensor, targets: RetrievalTargets) -> None:
    """Print the shares of pictures that are found, by part."""
    for part in sorted({picture.part for picture in pictures}):
        rows = [row for row, picture in enumerate(pictures) if picture.part == part and targets.has(picture)]
        rows = np.random.default_rng(0).permutation(rows)[:MAX_QUERIES].tolist()
        ranks = [
            targets.rank(vectors[row], pictures[row], np.random.default_rng([0, number]))[0]
            for number, row in enumerate(rows)
        ]
        if ranks:
            top1, top5 = (share_result([rank < k for rank in ranks], "") for k in (1, 5))
            print(f"{name:<40} {part:<14} {top1.value:.3f} {top5.value:.3f} {top1.description}", flush=True)


def embed(space: PictureSpace, pictures: Sequence[PictureItem], features: Tensor) -> Tensor:
    """Embed pictures."""
    return space.embed(features, [picture.style for picture in pictures])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--without", default="", help="name of a group that is left out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source, modality = ImageFolder(options.folder), Image(options.size)
    splits = [source.train, source.val]
    for split in splits:
        modality.pack_split(split, cache_dir())
    start = time.process_time()
    train, val = (read_items(source, split, modality) for split in splits)
    print(f"features of {len(train) + len(val):,} pictures: {time.process_time() - start:.1f} CPU s")
    known, known_features = select(train, [picture.group != options.without for picture in train.pictures])
    held_out, held_out_features = select(val, [picture.group != options.without for picture in val.pictures])
    start = time.process_time()
    space = fit_space(known_features, [each.label for each in known], [each.style for each in known])
    print(f"space: {time.process_time() - start:.1f} CPU s")
    vectors, known_vectors = embed(space, held_out, held_out_features), embed(space, known, known_features)
    references = ReferenceTargets([*known, *held_out], torch.cat([known_vectors, vectors]))
    show("pictures in all other styles", held_out, vectors, references)
    for name, keywords in (("label", False), ("label and keywords", True)):
        queries, trained = (
            [each if keywords else replace(each, keywords="") for each in part] for part in (held_out, known)
        )
        start = time.process_time()
        captions = fit_captions(trained, known_vectors)
        print(f"captions: {time.process_time() - start:.1f} CPU s")
        for kind, fitted in (("", KnownCaptions(**vars(captions))), (" of other families", captions)):
            show(f"{name}{kind}", queries, vectors, CaptionTargets([*queries, *trained], fitted))
    pictures, all_vectors = [*known, *held_out], torch.cat([known_vectors, vectors])
    for style in sorted({each.style for each in known} - {""}):
        is_reference = torch.tensor([each.style == style for each in pictures])
        drawings, queries = ([each for each in pictures if (each.style == style) == wanted] for wanted in (True, False))
        targets = ReferenceTargets(drawings, all_vectors[is_reference])
        show(f"{style} alone, which no generator saw", queries, all_vectors[~is_reference], targets)


if __name__ == "__main__":
    main()
