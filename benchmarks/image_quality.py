"""Quality of images after equal CPU seconds of training, compared with two common libraries.

    python benchmarks/image_quality.py --data ROOT [--seconds 205] [--models NAMES] [--json OUT] [words ...]

Fashion-MNIST, 28 x 28 gray pixels, one thread. ROOT contains ``FashionMNIST/raw`` as in torchvision, with unpacked
or downloaded files. Each model is trained for the same CPU seconds of the process, and generates as many images as its
speed allows. All are scored against the 10,000 test images, at equal numbers of images (``image_scores.py``), and so
are real training images. ``--models diffusion,gan`` runs only some and adds them to OUT; a contact sheet and the
images of each are saved next to it. One seed each.

``diffusion`` (``experiment=fashion_mnist``) and ``gan`` are ours, in float32, prompted with the classes of test images.
``words`` are further settings for them, such as ``trainer.precision=bf16-mixed``; they become part of the row name.
``lucidrains-8e-5``, ``lucidrains-1e-3`` and ``diffusers`` are unconditional: see ``image_peers.py``.

``--development`` holds out the last 10,000 training images instead, and does not use the test images: to choose
settings. Reported numbers do not come from it.

    pip install --no-deps denoising-diffusion-pytorch==2.3.4 diffusers==0.42.1 ema-pytorch accelerate
    pip install einops psutil huggingface_hub importlib_metadata regex requests
"""

import argparse
import gzip
import json
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import image_peers
import numpy as np
import torch
from common import save, steps_for, train
from image_peers import TrainedModel
from image_scores import COUNTS, ImageScores
from torch import Tensor

from genai.cli.compose import compose
from genai.core.cache import cache_dir
from genai.core.device import reuse_memory
from genai.core.errors import UserError
from genai.core.filesystem import safe_name
from genai.data.torchvision_sets import TorchvisionSet
from genai.inference.model import count_parameters
from genai.media.picture import Picture, contact_sheet
from genai.modalities.image import Image

OUR_MODELS = {
    "diffusion": ["experiment=fashion_mnist"],
    "gan": ["model=gan", "data=torchvision", "data.name=FashionMNIST", "modality.size=28", "modality.channels=1"],
}
"""Command-line words for our models."""
NUM_VAL_IMAGES = 10_000
MAX_SHEET_IMAGES = 40
"""Images on a contact sheet."""


@dataclass(frozen=True)
class ImageSplit:
    """Pixels (images, 1, 28, 28) uint8, and a prompt for each image."""

    pixels: Tensor
    prompts: list[str]


def write_idx_files(root: Path, folder: Path, development: bool) -> None:
    """Write the four files of ``root`` unpacked into ``folder``, where torchvision expects them.

    Args:
        development: use the last training images instead of the test images.
    """
    (raw := folder / "FashionMNIST" / "raw").mkdir(parents=True)
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        content = {split: read_file(root, f"{split}-{kind}-ubyte") for split in ("train", "t10k")}
        if development:
            head, body = content["train"][:header], content["train"][header:]
            end = len(body) - NUM_VAL_IMAGES * len(body) // count_items(head)
            content = {"train": with_count(head, count_items(head) - NUM_VAL_IMAGES) + body[:end]}
            content["t10k"] = with_count(head, NUM_VAL_IMAGES) + body[end:]
        for split, data in content.items():
            (raw / f"{split}-{kind}-ubyte").write_bytes(data)


def read_file(root: Path, name: str) -> bytes:
    paths = sorted(root.rglob(name)) or sorted(root.rglob(f"{name}.gz"))
    if not paths:
        raise SystemExit(f"{root} contains no file {name} or {name}.gz.")
    return gzip.decompress(paths[0].read_bytes()) if paths[0].suffix == ".gz" else paths[0].read_bytes()


def count_items(head: bytes) -> int:
    """Return the number of items from the header of an IDX file."""
    return int(struct.unpack(">I", head[4:8])[0])


def with_count(head: bytes, count: int) -> bytes:
    return head[:4] + struct.pack(">I", count) + head[8:]


def load_splits(folder: Path) -> tuple[ImageSplit, ImageSplit, Any]:
    """Return the training and the held-out split, and the training split as our models use it."""
    source, image = TorchvisionSet("FashionMNIST", str(folder)), Image(28, 1)
    packed = [image.pack(split, cache_dir()) for split in (source.train, source.val)]
    train_split, val_split = (ImageSplit(torch.from_numpy(split.pixels.copy()), split.prompts) for split in packed)
    return train_split, val_split, packed[0]


def train_ours(name: str, folder: Path, val_split: ImageSplit, seconds: float, words: list[str]) -> TrainedModel:
    """Train one of our models with its default settings, and sample it with the prompts of test images."""
    words = [*OUR_MODELS[name], f"data.path={folder}", "trainer=cpu", "trainer.threads=1", *words]
    batch = compose("train", words).values["batch"]
    model = train(*words, f"steps={steps_for(seconds, words)}")
    order = torch.randperm(len(val_split.prompts), generator=torch.Generator().manual_seed(0)).tolist()
    prompts = [val_split.prompts[index] for index in order[: COUNTS[-1]]]
    start = time.process_time()
    pictures = model.sample(prompts, batch=128)
    sample_seconds = time.process_time() - start
    pixels = torch.stack([model.modality.encode(picture) for picture in pictures])
    record = model.record
    count = count_parameters(model.method.ema_module)
    return TrainedModel(
        count, record["steps"], record["steps"] * batch, record["cpu_seconds"], pixels, sample_seconds, prompts
    )


def model_builders(
    folder: Path, train_split: ImageSplit, val_split: ImageSplit, seconds: float, words: list[str]
) -> dict[str, Callable[[], TrainedModel]]:
    """Return functions that train and sample each model, by name."""
    arguments = (folder, val_split, seconds, words)
    return {
        "lucidrains-8e-5": partial(image_peers.lucidrains, train_split.pixels, seconds, 8e-5),
        "lucidrains-1e-3": partial(image_peers.lucidrains, train_split.pixels, seconds, 1e-3),
        "diffusers": partial(image_peers.diffusers, train_split.pixels, seconds),
        **{name: partial(train_ours, name, *arguments) for name in OUR_MODELS},
    }


def score_model(trained: TrainedModel, scorer: ImageScores) -> dict[str, Any]:
    """Return the costs of a model, and the scores of its images at each number of them."""
    return {
        "parameters": trained.parameters,
        "steps": trained.steps,
        "images_seen": trained.num_images,
        "train_cpu_seconds": round(trained.train_seconds, 1),
        "train_images_a_cpu_second": round(trained.num_images / trained.train_seconds, 1),
        "samples": len(trained.pixels),
        "samples_a_cpu_second": round(len(trained.pixels) / trained.sample_seconds, 2),
        "at": {str(n): scorer.scores(trained.pixels[:n]) for n in COUNTS if n <= len(trained.pixels)},
        "class_right": scorer.class_accuracy(trained.pixels, trained.prompts) if trained.prompts else None,
        **scorer.nearest(trained.pixels),
    }


def table(results: dict[str, Any]) -> str:
    """Format a table with a row for each model."""
    counts = list(results["real images"]["at"])
    headers = ["model", "parameters", "images seen (a CPU s)", *(f"FD of {n}" for n in counts), "KID x 1000"]
    headers += ["precision / recall", "class right", "samples a CPU s", "nearest (5 %)"]
    lines = [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|"]
    for name, result in results.items():
        scores = result["at"]
        last = scores[max(scores, key=int)]
        is_trained, accuracy = "steps" in result, result.get("class_right")
        row = [name, f"{result['parameters']:,}" if is_trained else "-"]
        row += [f"{result['images_seen']:,} ({result['train_images_a_cpu_second']:g})" if is_trained else "-"]
        row += [f"{scores[n]['frechet']:.2f}" if n in scores else "-" for n in counts]
        row += [f"{1000 * last['kid']:.1f}", f"{last['precision']:.2f} / {last['recall']:.2f}"]
        row += ["-" if accuracy is None else f"{accuracy:.2f}", f"{result.get('samples_a_cpu_second', '-')}"]
        row += [f"{result['nearest']:.3f} ({result['nearest_low']:.3f})"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def model_contact_sheet(trained: TrainedModel) -> Picture:
    """Return some of the images, with their prompts if there are any."""
    prompts = trained.prompts or [""] * len(trained.pixels)
    pictures = [Picture(x.permute(1, 2, 0).contiguous().numpy()) for x in trained.pixels[:MAX_SHEET_IMAGES]]
    return contact_sheet(list(zip(prompts, pictures, strict=False)), 84)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=205, help="CPU seconds of training")
    parser.add_argument("--models", help="only these, separated by commas")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of ours: model.network.width=48")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reuse_memory()
    results: dict[str, Any] = {}
    if args.json and args.json.exists():
        results = json.loads(args.json.read_text(encoding="utf-8"))["results"]
    with tempfile.TemporaryDirectory() as folder:
        write_idx_files(args.data, Path(folder), args.development)
        train_split, val_split, packed = load_splits(Path(folder))
        builders = model_builders(Path(folder), train_split, val_split, args.seconds, args.words)
        names = args.models.split(",") if args.models else list(builders)
        if unknown := sorted({*names} - {*builders}):
            parser.error(f"--models: no {', '.join(unknown)}; there are {', '.join(builders)}")
        scorer = ImageScores(train_split.pixels, train_split.prompts, val_split.pixels, val_split.prompts, packed)
        print(f"classifier accuracy on real held-out images: {scorer.accuracy:.3f}", flush=True)
        if "real images" not in results:
            results["real images"] = scorer.real_scores()
        for name in names:
            try:
                trained = builders[name]()
            except (ImportError, UserError) as error:
                print(f"{name} is skipped: {error}", flush=True)
                continue
            row = " ".join([name, *(args.words if name in OUR_MODELS else [])])
            results[row] = score_model(trained, scorer)
            if args.json:
                output = args.json.with_name(safe_name(f"{args.json.stem}-{row}"))
                output.with_name(f"{output.name}.png").write_bytes(model_contact_sheet(trained).to_bytes())
                np.savez_compressed(f"{output}.npz", pixels=trained.pixels.numpy(), prompts=trained.prompts)
            save(args.json, results)
    print(table(results))


if __name__ == "__main__":
    main()
