"""Does the check for copies tell runs that memorize from others? ``python benchmarks/copying.py [--json FILE]``.

Small models of each modality are trained twice: for long on few items, and as usual on many. It prints the table of
docs/copying.md: copies among samples and p-value of the check at the end of the run, and what canaries say.
"""

import argparse
import json
import os
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import genai
from genai.core.files import write_file
from genai.media.sound import Sound
from genai.runs.run import environment_info

SMALL = ("trainer=cpu", "trainer.threads=1", "val_every=1000000", "preview_every=1000000", "logger=csv", "ema=0.99")
TEXT = (
    "modality=text",
    "data=text_folder",
    "data.val_fraction=0.25",
    "modality.tokenizer=characters",
    "modality.vocab_size=null",
    "modality.block=64",
    "model.network.layers=2",
    "model.network.width=64",
    "batch=16",
)
IMAGE = ("modality=image", "modality.size=16", "model.network.width=32", "batch=16")
AUDIO = (
    "modality=audio",
    "modality.sample_rate=4000",
    "data=audio_folder",
    "data.val_fraction=0.25",
    "model.network.layers=10",
    "model.network.residual=32",
    "model.network.gate=32",
    "model.network.skip=64",
    "batch=8",
)
VIDEO = ("modality=video", "modality.size=16", "modality.frames=8", "model.network.width=16", "batch=8")
SOUND_SECONDS, TONE_SECONDS, SAMPLE_RATE = 0.25, 0.125, 4_000
FEW_SECONDS = 1e9
"""Stands for the length of the training, so that the check of these short runs is not left out for its time."""


def cases(folder: Path) -> dict[tuple[str, str], list[str]]:
    """Return the words of each run, by modality and by what is expected."""
    for count in (40, 2_000):
        write_sounds(folder / f"sounds{count}", count)
    write_texts(folder / "texts80", 80, 600)
    write_texts(folder / "texts2000", 2_000, 600)
    return {
        ("text", "memorizes"): [*TEXT, f"data.path={folder / 'texts80'}", "steps=2500"],
        ("text", "does not"): [*TEXT, f"data.path={folder / 'texts2000'}", "steps=800"],
        ("image", "memorizes"): [*IMAGE, "data.items=80", "steps=3000"],
        ("image", "does not"): [*IMAGE, "data.items=16000", "steps=1000"],
        ("audio", "memorizes"): [*AUDIO, f"data.path={folder / 'sounds40'}", "steps=1500"],
        ("audio", "does not"): [*AUDIO, f"data.path={folder / 'sounds2000'}", "steps=500"],
        ("video", "memorizes"): [*VIDEO, "data.items=80", "steps=3000"],
        ("video", "does not"): [*VIDEO, "data.items=4000", "steps=800"],
    }


def write_sounds(folder: Path, count: int) -> None:
    """Write random melodies, each with a caption of its own."""
    folder.mkdir()
    rng, tone = np.random.default_rng(count), round(TONE_SECONDS * SAMPLE_RATE)
    for number in range(count):
        hertz = np.repeat(110 * 2 ** (rng.integers(0, 36, round(SOUND_SECONDS / TONE_SECONDS)) / 12), tone)
        samples = 0.4 * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)
        (folder / f"{number:04}.wav").write_bytes(Sound(samples.astype(np.float32), SAMPLE_RATE).to_bytes())
        (folder / f"{number:04}.txt").write_text(f"melody {number}", encoding="utf-8")


def write_texts(folder: Path, count: int, length: int) -> None:
    """Write parts of the Python standard library, each to a file of its own."""
    folder.mkdir()
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    parts = [text[start : start + length] for text in texts for start in range(0, len(text), length)]
    order = np.random.default_rng(0).permutation(len(parts))[:count]
    for number in order:
        (folder / f"{number:05}.txt").write_text(parts[number], encoding="utf-8")


def measure(words: list[str], runs: Path, seed: int, canaries: int) -> dict[str, Any]:
    """Train, and return what the check at the end recorded."""
    begin = time.monotonic()
    model = genai.fit(*words, *SMALL, f"runs={runs}", f"seed={seed}", f"data.canaries={canaries}")
    record = json.loads((model.run.record_file).read_text(encoding="utf-8"))
    return {**record["copying"], "steps": record["steps"], "seconds": round(time.monotonic() - begin, 1)}


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", default="", help="part of the name of a case: image, or 'text memorizes'")
    parser.add_argument("--canaries", type=int, default=16)
    arguments = parser.parse_args()
    allow_time()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("GENAI_CACHE", str(folder / "cache"))
        print(f"{'':<19}{'items':>7}{'held out':>10}{'steps':>7}{'copies':>8}{'p':>9}{'canaries p':>12}  alarm")
        for (modality, kind), words in cases(folder).items():
            if arguments.only not in f"{modality} {kind}":
                continue
            for seed in arguments.seeds:
                row = measure(words, folder / "runs", seed, arguments.canaries)
                results.append({"modality": modality, "kind": kind, "seed": seed, **row})
                numbers = f"{row['train_items']:>7,}{row['held_out_items']:>10,}{row['steps']:>7,}"
                values = f"{row['copies'] or 0:>8.0%}{row['p'] or 0:>9.4f}{row['canaries_p'] or 0:>12.4f}"
                print(f"{modality:<8}{kind:<11}{numbers}{values}  {row['alarm']}  {row['seconds']:.0f} s", flush=True)
    if arguments.json:
        report = {"machine": environment_info()["hardware"], "results": results}
        write_file(arguments.json, json.dumps(report, indent=2) + "\n")


def allow_time() -> None:
    """Let the check take as long as it needs: these runs are shorter than those that people make."""
    from genai.training import copying_check

    copying_check.MAX_FRACTION, copying_check.MAX_SECONDS = FEW_SECONDS, FEW_SECONDS


if __name__ == "__main__":
    main()
