"""How good are images after equal CPU seconds of training, beside two common libraries?

    python benchmarks/image_quality.py --data ROOT [--seconds 205] [--models NAMES] [--json OUT] [words ...]

Fashion-MNIST, 28 x 28 grey pixels, one thread; ROOT holds ``FashionMNIST/raw`` as torchvision has it, its files
unpacked or as they are downloaded. Each model learns for as many CPU seconds of the process, and draws as many images
as its speed allows; all are scored against the 10,000 test images, at equal numbers of images (``image_scores.py``),
real images of the training split beside them. ``--models diffusion,gan`` runs some alone and adds them to OUT; a
contact sheet and the images of each lie beside it. One seed each.

``diffusion`` (``experiment=fashion_mnist``) and ``gan`` are ours, in float32, told the classes of test images.
``words`` are further settings of theirs, such as ``trainer.precision=bf16-mixed``, which then name the row, too.
``lucidrains-8e-5``, ``lucidrains-1e-3`` and ``diffusers``, not told classes: see ``image_peers.py``.

``--development`` holds out the last 10,000 training images instead, and leaves the test images alone: to choose
settings with. No number of a report comes from there.

    pip install --no-deps denoising-diffusion-pytorch==2.3.4 diffusers==0.42.1 ema-pytorch accelerate
    pip install einops psutil huggingface_hub importlib_metadata regex requests
"""

import argparse
import gzip
import json
import re
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
from image_peers import Made
from image_scores import COUNTS, Judge
from torch import Tensor

from genai.cli.compose import compose
from genai.core.cache import cache_dir
from genai.core.device import reuse_memory
from genai.core.errors import UserError
from genai.data.torchvision_sets import TorchvisionSet
from genai.inference.model import parameters
from genai.media.picture import Picture, contact_sheet
from genai.modalities.image import Image

OURS = {
    "diffusion": ["experiment=fashion_mnist"],
    "gan": ["model=gan", "data=torchvision", "data.name=FashionMNIST", "modality.size=28", "modality.channels=1"],
}
"""The words of our models."""
HELD_OUT = 10_000
SHOWN = 40
"""Images of a contact sheet."""


@dataclass(frozen=True)
class Side:
    """A split as tensors: (images, 1, 28, 28) uint8, and what each shows."""

    pixels: Tensor
    prompts: list[str]


def laid_out(root: Path, folder: Path, development: bool) -> None:
    """The four files of ``root`` in ``folder``, unpacked, as torchvision wants them.

    Args:
        development: the last training images take the place of the test images.
    """
    (raw := folder / "FashionMNIST" / "raw").mkdir(parents=True)
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        content = {side: read(root, f"{side}-{kind}-ubyte") for side in ("train", "t10k")}
        if development:
            head, body = content["train"][:header], content["train"][header:]
            cut = len(body) - HELD_OUT * len(body) // items(head)
            content = {"train": counted(head, items(head) - HELD_OUT) + body[:cut]}
            content["t10k"] = counted(head, HELD_OUT) + body[cut:]
        for side, data in content.items():
            (raw / f"{side}-{kind}-ubyte").write_bytes(data)


def read(root: Path, name: str) -> bytes:
    found = sorted(root.rglob(name)) or sorted(root.rglob(f"{name}.gz"))
    if not found:
        raise SystemExit(f"{root} has no {name}, packed or not, in it or below.")
    return gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()


def items(head: bytes) -> int:
    """How many, as the header of an IDX file says."""
    return int(struct.unpack(">I", head[4:8])[0])


def counted(head: bytes, count: int) -> bytes:
    return head[:4] + struct.pack(">I", count) + head[8:]


def sides(folder: Path) -> tuple[Side, Side, Any]:
    """What is learnt from, what is held out, and the former as ours packs it."""
    source, image = TorchvisionSet("FashionMNIST", str(folder)), Image(28, 1)
    packed = [image.pack(split, cache_dir()) for split in (source.train, source.val)]
    learnt, held = (Side(torch.from_numpy(each.pixels.copy()), each.prompts) for each in packed)
    return learnt, held, packed[0]


def ours(model: str, folder: Path, held: Side, seconds: float, words: list[str]) -> Made:
    """A model as shipped, asked for what the test images show."""
    words = [*OURS[model], f"data.path={folder}", "trainer=cpu", "trainer.threads=1", *words]
    batch = compose("train", words).values["batch"]
    trained = train(*words, f"steps={steps_for(seconds, words)}")
    order = torch.randperm(len(held.prompts), generator=torch.Generator().manual_seed(0)).tolist()
    prompts = [held.prompts[index] for index in order[: COUNTS[-1]]]
    began = time.process_time()
    pictures = trained.sample(prompts, batch=128)
    took = time.process_time() - began
    pixels = torch.stack([trained.modality.encode(picture) for picture in pictures])
    record = trained.record
    count = parameters(trained.method.sampled)
    return Made(count, record["steps"], record["steps"] * batch, record["cpu_seconds"], pixels, took, prompts)


def columns(folder: Path, learnt: Side, held: Side, seconds: float, words: list[str]) -> dict[str, Callable[[], Made]]:
    """What makes each model and its images, by name."""
    mine = (folder, held, seconds, words)
    return {
        "lucidrains-8e-5": partial(image_peers.lucidrains, learnt.pixels, seconds, 8e-5),
        "lucidrains-1e-3": partial(image_peers.lucidrains, learnt.pixels, seconds, 1e-3),
        "diffusers": partial(image_peers.diffusers, learnt.pixels, seconds),
        **{model: partial(ours, model, *mine) for model in OURS},
    }


def measured(made: Made, judge: Judge) -> dict[str, Any]:
    """The figures of a model: what it cost, and how good its images are at each number of them."""
    return {
        "parameters": made.parameters,
        "steps": made.steps,
        "images_seen": made.seen,
        "train_cpu_seconds": round(made.train_seconds, 1),
        "train_images_a_cpu_second": round(made.seen / made.train_seconds, 1),
        "samples": len(made.pixels),
        "samples_a_cpu_second": round(len(made.pixels) / made.sample_seconds, 2),
        "at": {str(n): judge.scores(made.pixels[:n]) for n in COUNTS if n <= len(made.pixels)},
        "class_right": judge.told_right(made.pixels, made.prompts) if made.prompts else None,
        **judge.nearest(made.pixels),
    }


def table(results: dict[str, Any]) -> str:
    """Each model a row, and the numbers of images at which distances are compared."""
    counts = list(results["real images"]["at"])
    heads = ["model", "parameters", "images seen (a CPU s)", *(f"FD of {n}" for n in counts), "KID x 1000"]
    heads += ["precision / recall", "class right", "samples a CPU s", "nearest (5 %)"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, found in results.items():
        at = found["at"]
        last = at[max(at, key=int)]
        seen = f"{found['images_seen']:,} ({found['train_images_a_cpu_second']:g})" if "steps" in found else "-"
        right = found.get("class_right")
        row = [name, f"{found['parameters']:,}" if "steps" in found else "-", seen]
        row += [f"{at[n]['frechet']:.2f}" if n in at else "-" for n in counts]
        row += [f"{1000 * last['kid']:.1f}", f"{last['precision']:.2f} / {last['recall']:.2f}"]
        row += ["-" if right is None else f"{right:.2f}", f"{found.get('samples_a_cpu_second', '-')}"]
        row += [f"{found['nearest']:.3f} ({found['nearest_low']:.3f})"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def sheet(made: Made) -> Picture:
    """Some of the images, over their prompts where there were any."""
    prompts = made.prompts or [""] * len(made.pixels)
    pictures = [Picture(x.permute(1, 2, 0).contiguous().numpy()) for x in made.pixels[:SHOWN]]
    return contact_sheet(list(zip(prompts, pictures, strict=False)), 84)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=205, help="CPU seconds of training")
    parser.add_argument("--models", help="some of them, separated by commas")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of ours: model.network.width=48")
    asked = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reuse_memory()
    results: dict[str, Any] = {}
    if asked.json and asked.json.exists():
        results = json.loads(asked.json.read_text())["results"]
    with tempfile.TemporaryDirectory() as place:
        laid_out(asked.data, Path(place), asked.development)
        learnt, held, packed = sides(Path(place))
        makers = columns(Path(place), learnt, held, asked.seconds, asked.words)
        names = asked.models.split(",") if asked.models else list(makers)
        if unknown := sorted({*names} - {*makers}):
            parser.error(f"--models: no {', '.join(unknown)}; there are {', '.join(makers)}")
        judge = Judge(learnt.pixels, learnt.prompts, held.pixels, held.prompts, packed)
        print(f"the judge tells {judge.accuracy:.3f} of the real held-out images right", flush=True)
        if "real images" not in results:
            results["real images"] = judge.floor()
        for name in names:
            try:
                made = makers[name]()
            except (ImportError, UserError) as error:
                print(f"{name} is left out: {error}", flush=True)
                continue
            row = " ".join([name, *(asked.words if name in OURS else [])])
            results[row] = measured(made, judge)
            if asked.json:
                beside = asked.json.with_name(re.sub(r"[^\w.-]+", "-", f"{asked.json.stem}-{row}"))
                beside.with_name(f"{beside.name}.png").write_bytes(sheet(made).to_bytes())
                np.savez_compressed(f"{beside}.npz", pixels=made.pixels.numpy(), prompts=made.prompts)
            save(asked.json, results)
    print(table(results))


if __name__ == "__main__":
    main()
