"""What each part of a recipe of the video model is worth: prompt accuracy over CPU seconds, with one part changed.

    python benchmarks/video_parts.py [--parts product,noise,clips] [--seconds 300] [--every 100] [--seed 0] [--n 48]
        [--sampling "steps=12 guidance=2 early_guidance=2 keyframes=0"] [--threads 1] [--json OUT] [words ...]

Each part of ``PARTS`` in ``video_recipe.py`` is a change of the default recipe toward that of an earlier study, which
learned shapes in fewer steps; ``noise+clips`` has two, ``study`` all that belong to it. All runs have the same data,
order and seed. The learning rate falls to zero with the CPU seconds, not with the steps. Every so many CPU seconds,
which do not count, the averaged weights are sampled with prompts that name everything, half of them of held-out
combinations. The metrics are those of ``toy_video`` and ``motion``. A share of 48 prompts has a standard error of up to
0.07. The seconds of a machine with other work on it are not comparable: give ``--steps`` there.
"""

import argparse
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from common import save
from torch.nn.utils import clip_grad_norm_
from video_recipe import PARTS, Part, find_part

from genai.cli.compose import compose
from genai.core.batch import Batch
from genai.core.loader import TrainBatches
from genai.core.seeding import seed_noise
from genai.inference.model import Model
from genai.metrics.base import EvalContext
from genai.metrics.video.motion import MotionStatistics
from genai.toy.metrics.video import MotionPromptAccuracy
from genai.training.ema import create_ema, use_averaged_weights
from genai.training.optimizers import MuonAdamW
from genai.training.setup import TrainingSetup, prepare_training

COLUMNS = ("fulfilment", "fulfilment_held_out", "strict", "shape", "color", "direction", "speed", "identity")
WARMUP_STEPS = 20
MIN_FACTOR = 0.02
"""Of the learning rate, so that the last steps still learn."""


@contextmanager
def patched(part: Part) -> Iterator[None]:
    """Replace the attributes of ``part.patches``."""
    with ExitStack() as stack:
        for each in part.patches:
            stack.enter_context(patch.object(*each))
        yield


@dataclass
class Training:
    """The training of one part; ``budget`` is in CPU seconds of this process or, with ``by_steps``, in steps."""

    setup: TrainingSetup
    part: Part
    budget: float
    by_steps: bool
    bfloat16: bool
    seed: int
    step: int = 0
    used: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        method = self.setup.method
        self.ema = create_ema(method.ema_module, self.setup.settings.ema)
        self.batches = TrainBatches(self.setup.train, self.setup.settings.batch, self.seed)
        self.random = np.random.default_rng(self.seed)

    def train_until(self, budget: float) -> None:
        """Make steps until so many CPU seconds, or steps, are used."""
        self.setup.method.train()
        while (self.step if self.by_steps else self.used) < budget:
            start = time.process_time()
            self._make_step()
            self.used += time.process_time() - start

    def _make_step(self) -> None:
        method, (optimizer,) = self.setup.method, self.setup.optimizers.values()
        batch = self._next_batch()
        self.kinds[batch.kind] = self.kinds.get(batch.kind, 0) + 1
        seed_noise(self.seed, self.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = method.loss(batch)["loss"]
        loss.backward()
        parameters = list(method.ema_module.parameters())
        if self.part.still_gradients:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        clip_grad_norm_(parameters, self.setup.settings.grad_clip)
        optimizer.set_factor(min(1.0, (self.step + 1) / WARMUP_STEPS) * max(MIN_FACTOR, 1 - self.fraction))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.ema.update_parameters(method.ema_module)
        self.step += 1

    @property
    def fraction(self) -> float:
        return (self.step if self.by_steps else self.used) / self.budget

    def _next_batch(self) -> Batch:
        if self.part.batches:
            stills, sparse = self.part.batches(self.fraction)
            train: Any = self.setup.train
            train.layout = replace(train.layout, stills=stills, sparse=sparse)
        batch = self.batches[self.step]
        if self.part.caption is None:
            return batch
        return replace(batch, prompts=[self.part.caption(prompt, self.random) for prompt in batch.prompts])

    def measure(self, n: int, sampling: Mapping[str, Any]) -> dict[str, float]:
        """Return the metrics of samples of the averaged weights."""
        method = self.setup.method.eval()
        model = Model(self.setup.modality, method)
        with use_averaged_weights(method.ema_module, self.ema):
            context = EvalContext(model, self.setup.source, n=n, seed=1, options=sampling)
            results = MotionPromptAccuracy().compute(context) | MotionStatistics().compute(context)
        return {name: round(result.value, 4) for name, result in results.items() if result.value is not None}


def run(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train a part and return its metrics after each ``args.every`` CPU seconds."""
    part, rows = find_part(name), []
    words = ["modality=video", f"seed={args.seed}", "trainer=cpu", f"trainer.threads={args.threads}", "steps=1000"]
    with patched(part):
        torch.manual_seed(args.seed)
        setup = prepare_training(compose("train", [*words, *part.words, *args.words]))
        torch.set_num_threads(args.threads)
        if part.change:
            part.change(setup.method.ema_module.network)  # type: ignore[union-attr]
            setup = replace(setup, optimizers=rebuilt_optimizers(setup))
        budget = args.steps or args.seconds
        training = Training(setup, part, budget, bool(args.steps), args.bf16, args.seed)
        for number in range(1, math.ceil(budget / args.every) + 1):
            training.train_until(min(budget, number * args.every))
            for label, sampling in {"": {}, "other sampling": args.sampling}.items():
                if sampling or not label:
                    row = {"part": name, "sampling": label, "cpu_seconds": round(training.used, 1)}
                    row |= {"steps": training.step, "kinds": dict(training.kinds)}
                    rows.append({**row, **training.measure(args.n, sampling)})
                    print_row(rows[-1])
    return rows


def rebuilt_optimizers(setup: TrainingSetup) -> dict[str, Any]:
    """Return new optimizers, which also have the parameters that a change has added."""
    node = {key: value for key, value in setup.config.values["optimizer"].items() if key != "_target_"}
    return {"model": MuonAdamW(setup.method.ema_module, **node)}


def print_row(row: Mapping[str, Any]) -> None:
    values = " ".join(f"{name}={row[name]:.2f}" for name in (*COLUMNS, "warp_error") if name in row)
    label = f" ({row['sampling']})" if row["sampling"] else ""
    print(f"{row['part']}{label}: {row['cpu_seconds']:.0f} CPU s, {row['steps']} steps, {values}", flush=True)


def parse_sampling(text: str) -> dict[str, Any]:
    """Parse ``"steps=12 guidance=2"``."""
    pairs = (word.partition("=")[::2] for word in text.split())
    return {name: float(value) if "." in value else int(value) for name, value in pairs}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the last row of each part and sampling as a table in Markdown."""
    columns = ("cpu_seconds", "steps", *COLUMNS, "warp_error")
    print("\n| part | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    last = {(row["part"], row["sampling"]): row for row in rows}
    for (name, sampling), row in last.items():
        text = f"{name}{', ' * bool(sampling)}{sampling}: {find_part(name).text if name != 'study' else 'all of them'}"
        print(f"| {text} | " + " | ".join(f"{row.get(column, math.nan):g}" for column in columns) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join([*PARTS, "study"]), help="; ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of training")
    parser.add_argument("--steps", type=int, help="number of steps, instead of CPU seconds")
    parser.add_argument("--every", type=float, default=100.0, help="CPU seconds, or steps, between measurements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=48, help="prompts of each kind")
    parser.add_argument("--sampling", type=parse_sampling, default={}, help="options of a second measurement")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: data.items=1000")
    args = parser.parse_intermixed_args()
    rows: list[dict[str, Any]] = []
    try:
        for name in args.parts.split(","):
            find_part(name)
    except ValueError as error:
        parser.error(str(error))
    for name in args.parts.split(","):
        rows += run(name, args)
        save(args.json, {"rows": rows})
    print_table(rows)


if __name__ == "__main__":
    main()
