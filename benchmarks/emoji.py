"""Pictures without prompts from real drawings, after equal CPU seconds, beside denoising-diffusion-pytorch.

    python scripts/emoji.py FOLDER
    python benchmarks/emoji.py FOLDER [--seconds 330] [--json OUT] [words ...]

Drawings of noto, twemoji and fluent, 64 x 64 pixels, one thread, one seed. All samples are scored by the Frechet
distance to the held-out drawings, in the first 32 dimensions of the judge of ``metrics=[prompt_retrieval]``; the floor
is that of as many training drawings. ``words`` are further settings of ours.

    pip install --no-deps denoising-diffusion-pytorch==2.3.4 ema-pytorch accelerate
    pip install einops psutil scipy tqdm
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image_peers
import numpy as np
import torch
from common import save, steps_for, train
from image_peers import TrainedModel
from torch import Tensor

from genai.core.cache import cache_dir
from genai.core.device import reuse_memory
from genai.data.image_folder import ImageFolder
from genai.inference.model import count_parameters
from genai.media.picture import Picture, contact_sheet
from genai.metrics.frechet import frechet_result
from genai.metrics.image.picture_features import picture_features
from genai.metrics.image.picture_items import PictureSplit, read_items
from genai.metrics.image.picture_space import PictureSpace, fit_space
from genai.metrics.image.prompt_retrieval import FRECHET_DIMENSIONS, FRECHET_SCALE
from genai.modalities.image import Image

COUNT = 256
BATCH = 32


def train_ours(folder: str, seconds: float, words: list[str]) -> TrainedModel:
    """Train ``experiment=emoji`` without prompts, and sample it."""
    words = ["experiment=emoji", f"data.path={folder}", "model.prompt_drop=1.0", *words]
    words += [f"batch={BATCH}", "trainer=cpu", "trainer.threads=1"]
    model = train(*words, f"steps={steps_for(seconds, words)}")
    start = time.process_time()
    pictures = model.sample([""] * COUNT, batch=64)
    sample_seconds = time.process_time() - start
    pixels = torch.stack([model.modality.encode(picture) for picture in pictures])
    record = model.record
    count, steps = count_parameters(model.method.ema_module), record["steps"]
    return TrainedModel(count, steps, steps * BATCH, record["cpu_seconds"], pixels, sample_seconds, [])


@dataclass(frozen=True)
class Scorer:
    """The Frechet distance of pictures to held-out drawings.

    Attributes:
        space: where they are compared. Styles are not told apart.
        real: the held-out drawings (pictures, dimensions).
    """

    space: PictureSpace
    real: Tensor

    @classmethod
    def fit(cls, known: PictureSplit, val: PictureSplit) -> "Scorer":
        """Fit the space to training drawings."""
        space = fit_space(known.features, known.labels, [""] * len(known))
        return cls(space, space.embed(val.features, [""] * len(val)))

    def distance(self, pixels: Tensor) -> float:
        """Score (pictures, channels, height, width)."""
        features = picture_features(lambda rows: pixels[rows.start : rows.stop], len(pixels), "features")
        vectors = self.space.embed(features, [""] * len(pixels))
        first, second = (x[:, :FRECHET_DIMENSIONS] * FRECHET_SCALE for x in (vectors, self.real))
        result = frechet_result(first, second, 0, "the judge", "pictures")
        assert result.value is not None
        return result.value


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--seconds", type=float, default=330, help="CPU seconds of training")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of ours")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reuse_memory()
    source, modality = ImageFolder(args.folder, exclude={"style": "openmoji"}), Image(64)
    for split in (source.train, source.val):
        modality.pack_split(split, cache_dir())
    known, val = (read_items(source, split, modality) for split in (source.train, source.val))
    scorer = Scorer.fit(known, val)
    pixels = known.pixels(range(len(known)))
    real = pixels[torch.from_numpy(np.random.default_rng(0).permutation(len(pixels))[:COUNT])]
    results: dict[str, Any] = {"real": {"frechet": scorer.distance(real)}}
    print(f"training drawings: {results['real']['frechet']:.1f}", flush=True)
    models = {
        "genai": lambda: train_ours(args.folder, args.seconds, args.words),
        "lucidrains-8e-5": lambda: image_peers.lucidrains(pixels, args.seconds, 8e-5, COUNT),
        "lucidrains-1e-3": lambda: image_peers.lucidrains(pixels, args.seconds, 1e-3, COUNT),
    }
    for name, build in models.items():
        try:
            trained = build()
        except ImportError as error:
            print(f"{name} is skipped: {error}", flush=True)
            continue
        results[name] = {
            "frechet": scorer.distance(trained.pixels),
            "parameters": trained.parameters,
            "images_seen": trained.num_images,
            "train_cpu_seconds": round(trained.train_seconds, 1),
            "samples_a_cpu_second": round(len(trained.pixels) / trained.sample_seconds, 2),
        }
        print(name, results[name], flush=True)
        if args.json:
            pictures = [Picture(x.permute(1, 2, 0).contiguous().numpy()) for x in trained.pixels[:40]]
            args.json.with_name(f"{args.json.stem}-{name}.png").write_bytes(
                contact_sheet([("", picture) for picture in pictures], 64).to_bytes()
            )
        save(args.json, results)


if __name__ == "__main__":
    main()
