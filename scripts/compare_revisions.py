#!/usr/bin/env python3
"""Show that two revisions train to the same bits: five steps of every shipped configuration in two clones.

    .venv/bin/python scripts/compare_revisions.py BEFORE [AFTER=HEAD] [--only TEXT] [--steps 5]

Both clones run in this environment, with one thread. Weights (newest and averaged) are compared tensor by tensor, in
their order, so a renamed module does not matter. Prints a table; exit code 1 where a configuration differs.
"""

import argparse
import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

ROOT = Path(__file__).parent.parent


def configurations(data: Path) -> Iterator[tuple[str, ...]]:
    """Words of every shipped modality, data, model, optimizer and experiment that train together."""
    paths = {
        "text_folder": f"data.path={data}/corpus.txt",
        "image_folder": f"data.path={data}/pictures",
        "audio_folder": f"data.path={data}/sounds",
        "video_folder": f"data.path={data}/UCF-101",
    }
    image_array = ("data=arrays", f"data.path={data}/pictures.npy")
    video_array = ("data=arrays", f"data.path={data}/clips", "data.array=train_clips", "data.captions=train_captions")
    yesno = ("data=torchaudio", f"data.path={data}", "data.name=YESNO")
    fashion = ("data=torchvision", f"data.path={data}", "data.name=FashionMNIST")
    ucf = ("data=torchvision_video", f"data.path={data}/UCF-101", "data.name=UCF101")

    for modality, models in {
        "text": ("gpt",),
        "image": ("diffusion", "video_diffusion", "gan"),
        "audio": ("wavenet",),
        "video": ("video_diffusion",),
    }.items():
        for model in models:
            yield f"modality={modality}", f"model={model}"
        folder = f"{modality}_folder"
        yield f"modality={modality}", f"data={folder}", paths[folder]
    for model in ("diffusion", "gan"):
        yield "modality=image", f"model={model}", *image_array
        yield "modality=image", f"model={model}", *fashion
    yield "modality=audio", *yesno
    yield "modality=audio", "data=world_soundtrack", "data.items=16"
    for words in (("data=audio_folder", paths["audio_folder"]), yesno):
        yield "modality=audio", "model=enhancer", *words
    yield "modality=video", *video_array
    yield "modality=video", *ucf
    yield "experiment=shakespeare_char", paths["text_folder"]
    yield "experiment=fsdd", paths["audio_folder"]
    yield ("experiment=world_two",)
    yield ("experiment=world_64",)
    yield "experiment=fashion_mnist", f"data.path={data}"
    yield "experiment=moving_mnist", f"data.path={data}/clips"
    yield "experiment=asl", f"data.path={data}/signs"


def small_files(folder: Path) -> None:
    """A few small files of every kind that the data sources read."""
    rng, draw = np.random.default_rng(0), random.Random(0)
    words = "the cat and a dog saw how old men run to see one big red sun set".split()
    write_lines(folder / "corpus.txt", (" ".join(draw.choices(words, k=8)) + "." for _ in range(600)))
    np.save(folder / "pictures.npy", rng.integers(0, 256, (12, 20, 24, 3), np.uint8))
    (folder / "clips").mkdir()
    for side, count in (("train", 10), ("test", 4)):
        np.save(folder / "clips" / f"{side}_clips.npy", rng.integers(0, 256, (count, 16, 32, 32), np.uint8))
        captions = np.array([f"digit {number}" for number in range(count)])
        np.save(folder / "clips" / f"{side}_captions.npy", captions)
    (folder / "signs").mkdir()
    np.save(folder / "signs" / "frames.npy", rng.integers(0, 256, (100, 20, 20, 3), np.uint8))
    np.save(folder / "signs" / "start.npy", np.array([0, 20, 45, 80]))
    np.save(folder / "signs" / "length.npy", np.array([20, 25, 35, 20]))
    np.save(folder / "signs" / "words.npy", np.array(["again", "bird", "book", "yes"]))
    for number in range(12):
        picture = folder / "pictures" / ("red_ball", "sky")[number % 2] / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 20 + number, 3), np.uint8)).save(picture)
        sound = folder / "sounds" / ("low_tone", "high_tone")[number % 2] / f"{number}.wav"
        sound.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sound, np.sin(np.arange(2000 + 100 * number) * (0.1, 0.4)[number % 2]) * 0.5, 8000)
    (folder / "waves_yesno").mkdir()
    for number in range(6):
        soundfile.write(folder / "waves_yesno" / f"{'_'.join(f'{number:08b}')}.wav", rng.normal(0, 0.1, 3000), 8000)
    (raw := folder / "FashionMNIST" / "raw").mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + draw.randbytes(count * 784)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(number % 10 for number in range(count))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    names = [f"{kind}/v_{kind}_g{group:02}_c01.avi" for kind in ("Archery", "RedBall") for group in range(4)]
    for name in names:
        write_clip(folder / "UCF-101" / name, rng.integers(0, 256, (20, 32, 32, 3), np.uint8))
    (lists := folder / "ucfTrainTestlist").mkdir()
    write_lines(lists / "testlist01.txt", (name for name in names if "_g00_" in name))
    write_lines(lists / "trainlist01.txt", (f"{name} 1" for name in names if "_g00_" not in name))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines that end the same on every system."""
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")


def write_clip(path: Path, frames: np.ndarray) -> None:
    """Write frames (time, height, width, 3) at 8 fps."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def clone(revision: str, folder: Path) -> Path:
    """A checkout of ``revision`` below ``folder``."""
    subprocess.run(["git", "clone", "-q", "-n", str(ROOT), str(folder)], check=True)
    commit = subprocess.run(
        ["git", "rev-parse", revision], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["git", "checkout", "-q", commit], cwd=folder, check=True)
    return folder


def weights_digest(checkout: Path, words: tuple[str, ...], steps: int, work: Path) -> str:
    """Hash of the weights after ``steps`` steps; ``"failed"``, with the reason on standard error."""
    keys = (checkout / "configs" / "train.yaml").read_text(encoding="utf-8")
    val_items = "val_items" if "\nval_items:" in keys else "validate_items"
    extra = [f"steps={steps}", f"{val_items}=4", "preview_every=100000", "trainer=cpu", "trainer.threads=1"]
    has_reserved = "reserved" in (checkout / "genai" / "modalities" / "text.py").read_text(encoding="utf-8")
    if has_reserved and ("modality=text" in words or "experiment=shakespeare_char" in words):
        extra.append("modality.reserved=0")
    runs = Path(tempfile.mkdtemp(dir=work))
    environment = os.environ | {
        "GENAI_CACHE": str(runs / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)
    }  # fmt: skip
    command = [sys.executable, "-m", "genai.train", *words, *extra, f"runs={runs}"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{' '.join(words)} failed in {checkout}:\n{done.stderr[-2000:]}", file=sys.stderr)
        return "failed"
    (file,) = runs.glob("*/*/checkpoints/last.ckpt")
    state = torch.load(file, weights_only=True)["state_dict"]
    digest = hashlib.sha256()
    for tensor in state.values():
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(
            tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() and tensor.ndim else b""
        )
        digest.update(str(tensor.item()).encode() if not tensor.ndim else b"")
    return digest.hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after", nargs="?", default="HEAD")
    parser.add_argument("--only", default="", help="configurations whose words contain this text")
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    compared = different = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (data := work / "data").mkdir()
        small_files(data)
        checkouts = [
            clone(revision, work / side) for side, revision in (("before", asked.before), ("after", asked.after))
        ]
        for words in configurations(data):
            label = " ".join(words).replace(f"{data}/", "").replace(str(data), ".")
            if asked.only not in label:
                continue
            start = time.monotonic()
            digests = [weights_digest(checkout, words, asked.steps, work) for checkout in checkouts]
            same = digests[0] == digests[1] and "failed" not in digests
            compared += 1
            different += not same
            seconds = time.monotonic() - start
            print(f"{'same' if same else 'DIFFERENT':<10}{' '.join(digests)}  {seconds:4.0f} s  {label}", flush=True)
    if not compared:
        parser.error(f"--only {asked.only}: no configuration contains this text")
    print(f"{different} of {compared} configurations differ" if different else f"all {compared} train to the same bits")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
