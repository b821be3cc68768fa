#!/usr/bin/env python3
"""Check every modality on one GPU; see gpu_check.sh.

For each modality: two trainings (eager and compiled), a training that is killed and resumed, samples, an evaluation.
The table gives throughput, MFU (model FLOPs utilization, arXiv:2204.02311, appendix B) and peak memory.
"""

import argparse
import csv
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
MODALITIES = ("text", "image", "audio", "video")
PEAK_BF16_TFLOPS = {
    "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L40": 181, "L4": 121, "A10": 125, "4090": 165, "3090": 71
}  # fmt: skip
"""Dense bf16 peak of GPUs by the beginning of a word in their names, from data sheets; the first that fits counts."""
KILL_SECONDS = 120
"""Time for the first checkpoint of the run that is killed."""
SMALL = {
    "text": ["model.network.layers=1", "model.network.width=32", "modality.block=32"],
    "image": ["model.network.width=16", "model.network.blocks=1", "modality.size=16", "data.items=64"],
    "audio": ["model.network.layers=2", "data.items=30"],
    "video": ["model.network.width=8", "model.network.layout=2", "modality.size=16", "data.items=40"],
}
"""Words that make each modality small enough for a CPU."""


@dataclass
class Check:
    """What one modality did. ``None``: left out."""

    modality: str
    samples_per_s: float | None = None
    compiled_samples_per_s: float | None = None
    mfu: float | None = None
    compiled_mfu: float | None = None
    memory_mb: float | None = None
    resumed: bool = False
    sampled: bool = False
    val_loss: float | None = None
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)


def run(command: str, *words: str, runs: Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m genai.COMMAND WORDS``; raises ``RuntimeError`` with its last lines where it fails."""
    done = subprocess.run(genai(command, *words, f"runs={runs}"), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} {' '.join(words)}: exit code {done.returncode}\n{done.stderr[-1500:]}")
    return done


def genai(command: str, *words: str) -> list[str]:
    """The command line of a command of genai."""
    return [sys.executable, "-m", f"genai.{command}", *words]


def only_run(runs: Path) -> Path:
    """The folder of the only run below ``runs``."""
    (record,) = runs.glob("*/*/record.json")
    return record.parent


def speed_and_memory(folder: Path) -> tuple[float, float]:
    """Median samples a second of the second half of a run, and its peak memory in MB."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("samples_per_s")]
    speeds = [float(row["samples_per_s"]) for row in rows[len(rows) // 2 :]]
    return statistics.median(speeds), max(float(row["memory_mb"]) for row in rows)


def flops_per_sample(folder: Path) -> float:
    """FLOPs of one example forward and backward, counted by torch on the CPU."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    import genai as package
    from genai.cli.compose import compose
    from genai.core.cache import cache_dir
    from genai.core.data import Source
    from genai.core.instantiate import instantiate

    model = package.load(folder, device="cpu")
    config = compose("train", json.loads((folder / "record.json").read_text(encoding="utf-8"))["overrides"])
    source: Any = instantiate(config.values["data"], Source, "data")  # type: ignore[type-abstract]
    batch = model.modality.pack(source.val, cache_dir()).batch(range(min(2, len(source.val))), None)
    total = 0.0
    for name in model.method.networks():
        model.method.train()
        # the math backend is counted; a fused one on a CPU is not
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model.method.loss(batch, name)["loss"].backward()
        total += counter.get_total_flops()
    return total / len(batch)


def peak_flops() -> float | None:
    """Peak bf16 FLOPs a second of the GPU; ``None``: it is not in the list."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((tflops * 1e12 for part, tflops in PEAK_BF16_TFLOPS.items() if re.search(rf"\b{part}", name)), None)


def killed_and_resumed(words: Sequence[str], steps: int, runs: Path) -> bool:
    """Kill a training after its first checkpoint, resume it, and tell whether it then did all its steps.

    Raises:
        RuntimeError: the training failed, or saved nothing in ``KILL_SECONDS``.
    """
    command = genai("train", *words, f"steps={10 * steps}", f"checkpoint_every={max(1, steps // 10)}", f"runs={runs}")
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors)
        deadline = time.monotonic() + KILL_SECONDS
        while process.poll() is None and not list(runs.glob("*/*/checkpoints/last.ckpt.sha256")):
            if time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"no checkpoint after {KILL_SECONDS} s")
            time.sleep(0.02)
        has_ended = process.poll() is not None
        process.kill()
        process.wait()
        if has_ended:
            errors.seek(0)
            raise RuntimeError(f"the training that was to be killed ended by itself\n{errors.read()[-1500:]}")
    folder = only_run(runs)
    step = json.loads((folder / "record.json").read_text(encoding="utf-8")).get("steps", 0)
    run("train", f"resume={folder}", f"steps={step + steps}", runs=runs)
    return bool(json.loads((folder / "record.json").read_text(encoding="utf-8"))["steps"] == step + steps)


def check(modality: str, steps: int, work: Path, gpu: bool) -> Check:
    """All that is done with one modality."""
    result, start = Check(modality), time.monotonic()
    words = [f"modality={modality}", "val_every=100000", "val_items=16", "preview_every=100000", "log_every=5"]
    words += ["trainer=gpu", "trainer.precision=bf16-mixed"] if gpu else ["trainer=cpu", *SMALL[modality]]
    try:
        run("train", *words, f"steps={steps}", runs=work / "eager")
        folder = only_run(work / "eager")
        speed, result.memory_mb = speed_and_memory(folder)
        result.samples_per_s = speed
        if gpu:
            run("train", *words, f"steps={steps}", "trainer.compile=true", runs=work / "compiled")
            result.compiled_samples_per_s = speed_and_memory(only_run(work / "compiled"))[0]
            if peak := peak_flops():
                flops = flops_per_sample(folder)
                result.mfu = flops * speed / peak
                result.compiled_mfu = flops * result.compiled_samples_per_s / peak
        result.resumed = killed_and_resumed(words, steps, work / "killed")
        run("sample", f"ckpt={folder}", "n=2", f"out={work / 'samples'}", runs=work)
        result.sampled = (work / "samples" / "001.json").exists()
        run("evaluate", f"ckpt={folder}", "metrics=[val_loss]", f"out={work / 'metrics.json'}", runs=work)
        result.val_loss = json.loads((work / "metrics.json").read_bytes())["metrics"]["val_loss"]["value"]
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        result.errors.append(str(error))
    result.seconds = time.monotonic() - start
    return result


def table(results: Sequence[Check]) -> str:
    """One line a modality."""
    show = lambda value, form: "-" if value is None else format(value, form)  # noqa: E731
    lines = [
        f"{'':<9}{'samples/s':>11}{'compiled':>11}{'MFU':>8}{'compiled':>10}{'MB':>9}{'resumed':>9}{'sampled':>9}"
        f"{'val_loss':>10}{'s':>6}"
    ]
    for each in results:
        lines.append(
            f"{each.modality:<9}{show(each.samples_per_s, ',.0f'):>11}{show(each.compiled_samples_per_s, ',.0f'):>11}"
            f"{show(each.mfu, '.1%'):>8}{show(each.compiled_mfu, '.1%'):>10}{show(each.memory_mb, ',.0f'):>9}"
            f"{'yes' if each.resumed else 'NO':>9}{'yes' if each.sampled else 'NO':>9}{show(each.val_loss, '.3f'):>10}"
            f"{each.seconds:>6.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modalities", nargs="*", default=list(MODALITIES), metavar="modality")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--steps", type=int, help="100 on a GPU, 20 on a CPU")
    asked = parser.parse_args()
    if unknown := set(asked.modalities) - set(MODALITIES):
        parser.error(f"no such modality: {', '.join(sorted(unknown))}. There are: {', '.join(MODALITIES)}.")
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine()
    left_out = [] if gpu else ["bf16", "torch.compile", "MFU", "full-size models: no CUDA GPU is here"]
    if gpu and not peak_flops():
        left_out = [f"MFU: the peak of {device} is not in PEAK_BF16_TFLOPS"]
    results = []
    with tempfile.TemporaryDirectory() as work:
        os.environ.setdefault("GENAI_CACHE", str(Path(work) / "cache"))
        for number, modality in enumerate(asked.modalities, 1):
            print(f"{modality} ({number} of {len(asked.modalities)}) ...", file=sys.stderr, flush=True)
            results.append(check(modality, asked.steps or (100 if gpu else 20), Path(work) / modality, gpu))
    print(f"{device}, torch {torch.__version__}, {date.today()}")
    print(table(results))
    if left_out:
        print(f"left out: {', '.join(left_out)}")
    for each in results:
        for error in each.errors:
            print(f"{each.modality} FAILED: {error}", file=sys.stderr)
    report = {"device": device, "torch": torch.__version__, "date": str(date.today()), "left_out": left_out}
    content = json.dumps({**report, "results": [asdict(each) for each in results]}, indent=2)
    asked.out.write_text(content + "\n", encoding="utf-8", newline="\n")
    sys.exit(any(each.errors or not each.resumed or not each.sampled for each in results))


if __name__ == "__main__":
    main()
