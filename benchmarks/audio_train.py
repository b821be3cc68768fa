"""Training of the audio model: targets per second, compared with a common implementation, and bits per sample.

    python benchmarks/audio_train.py [--data FSDD] [--millions 2] [--repeats 7] [--json OUT] [words ...]

Speed: forward and backward of the small model (20 layers, 32/64/64, 256 classes, a prompt each) on the same crops, one
thread, CPU seconds, medians of interleaved repeats. It is compared with a model of equal size in the style of r9y9's
wavenet_vocoder: convolutions over (batch, channels, time), one-hot input, a global condition by 1x1 convolutions.

Bits: ``experiment=fsdd`` for some million targets, on the held-out split of ``--data`` (the Free Spoken Digit Dataset
in train/ and test/), with the tables of order 0 and 1. ``--dev`` holds out a tenth of train/ instead, to choose
settings.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from common import save, train
from torch import Tensor, nn
from torch.nn import functional as F

from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.metrics.audio.bits_per_sample import BitsPerSample
from genai.metrics.base import EvalContext
from genai.modalities.audio import Audio
from genai.networks.text_encoder import PromptEncoder
from genai.networks.wavenet.model import WaveNet

LAYERS, CYCLE, RESIDUAL, GATE, SKIP, CLASSES, CONDITION = 20, 10, 32, 64, 64, 256, 16
HOP, FRAMES, BATCH = 80, 50, 2


class ReferenceWaveNet(nn.Module):
    """WaveNet in its common form."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(CLASSES, RESIDUAL, 1)
        self.speakers = nn.Embedding(6, CONDITION)
        self.dilations = [2 ** (layer % CYCLE) for layer in range(LAYERS)]
        self.taps = nn.ModuleList(nn.Conv1d(RESIDUAL, GATE, 2, dilation=d, padding=d) for d in self.dilations)
        self.condition = nn.ModuleList(nn.Conv1d(CONDITION, GATE, 1, bias=False) for _ in self.dilations)
        self.residual = nn.ModuleList(nn.Conv1d(GATE // 2, RESIDUAL, 1) for _ in self.dilations)
        self.skip = nn.ModuleList(nn.Conv1d(GATE // 2, SKIP, 1) for _ in self.dilations)
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(SKIP, SKIP, 1), nn.ReLU(), nn.Conv1d(SKIP, CLASSES, 1))

    def forward(self, x: Tensor, speaker: Tensor) -> Tensor:
        time = x.shape[1]
        x = self.first(F.one_hot(x, CLASSES).float().mT)
        speaker_bias = self.speakers(speaker)[..., None].expand(-1, -1, time)
        total: Tensor | float = 0.0
        for taps, condition, residual, skip in zip(self.taps, self.condition, self.residual, self.skip, strict=True):
            filtered, gate = (taps(x)[..., :time] + condition(speaker_bias)).chunk(2, 1)
            hidden = torch.tanh(filtered) * torch.sigmoid(gate)
            total = total + skip(hidden)
            x = (x + residual(hidden)) * 0.5**0.5
        return self.last(total * LAYERS**-0.5).mT


def measure_speed(repeats: int) -> dict[str, float]:
    """Measure the targets per CPU second of both."""
    torch.manual_seed(0)
    x = torch.randint(CLASSES, (BATCH, HOP * FRAMES + 1))
    prompts, local = ["seven, spoken by jackson"] * BATCH, torch.zeros(BATCH, FRAMES, 0)
    encoder = PromptEncoder(width=64)
    model = WaveNet(CLASSES, HOP, 0, LAYERS, CYCLE, RESIDUAL, GATE, SKIP, context=64)
    reference, speaker = ReferenceWaveNet(), torch.arange(BATCH)
    runs = {
        "genai": lambda: model(x[:, :-1], None, local, None, encoder(prompts)),
        "common": lambda: reference(x[:, :-1], speaker),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            F.cross_entropy(run().flatten(0, 1), x[:, 1:].flatten()).backward()
            times[name].append(time.process_time() - start)
    rates = {name: BATCH * HOP * FRAMES / statistics.median(seconds[1:]) for name, seconds in times.items()}
    return {**{f"{name}_targets_per_s": round(rate) for name, rate in rates.items()}} | {
        "ratio": round(rates["genai"] / rates["common"], 2)
    }


def measure_bits(path: str, millions: float, words: list[str]) -> dict[str, Any]:
    """Train a model, and measure its bits per sample on the whole held-out split."""
    words = ["experiment=fsdd", f"data.path={path}", "trainer=cpu", "trainer.threads=1", *words]
    values = compose("train", words).values
    audio = instantiate(values["modality"], Audio, "modality")
    targets = values["batch"] * audio.crop * audio.hop_length
    model = train(*words, f"steps={round(millions * 1e6 / targets)}")
    source = instantiate(values["data"], Source, "data")  # type: ignore[type-abstract]
    results = BitsPerSample().compute(EvalContext(model, source))
    bits_per_sample = {name: round(result.value or 0, 4) for name, result in results.items()}
    return {name: model.record[name] for name in ("steps", "cpu_seconds")} | bits_per_sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with train/ and test/; without it only speed is measured")
    parser.add_argument("--dev", action="store_true", help="hold out a tenth of train/, do not use test/")
    parser.add_argument("--millions", default="2", help="millions of targets, with one run each: 2,5,20")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    if args.repeats:
        results["speed"] = measure_speed(args.repeats)
        print(json.dumps(results["speed"]), flush=True)
    for millions in map(float, args.millions.split(",") if args.data else []):
        path = args.data / "train" if args.dev else args.data
        results[f"{millions:g} M targets"] = measure_bits(str(path), millions, args.words)
        print(f"{millions:g} M targets: {json.dumps(results[f'{millions:g} M targets'])}", flush=True)
    save(args.json, results)


if __name__ == "__main__":
    main()
