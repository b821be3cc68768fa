"""Time of one picture with a loaded model: median of 20, one thread, batch 1, with and without guidance.

    python benchmarks/image_latency.py [--repeats 20] [--profile] [words ...]

The model is that of ``experiment=emoji`` (64 x 64 pixels, ``codec=pca``) with random weights, of which speed does not
depend. ``words`` are other settings, such as ``codec=null``. A row without guidance is what learned steps cost
(``model.shortcut=true``), whose guidance is in the steps. CPU time is printed too, because others on the machine add to
the time that passes.
"""

import argparse
import statistics
import time

import torch
from torch.profiler import ProfilerActivity, profile

from genai.cli.compose import compose
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.inference.model import Model
from genai.modalities.base import Modality

PROMPT = "fire engine, noto"
STEPS = (1, 2, 4, 8)


def build(words: list[str]) -> Model:
    """Return the untrained model."""
    torch.manual_seed(0)
    values = compose("train", ["experiment=emoji", "data.path=.", *words]).values
    modality = instantiate(values["modality"], Modality, "modality")  # type: ignore[type-abstract]
    return Model(modality, build_method(values["model"], modality).eval())


def measure(model: Model, repeats: int, **options: float) -> str:
    """Return the medians of milliseconds, passed and of the CPU."""
    times = []
    for number in range(repeats + 3):
        start = time.perf_counter(), time.process_time()
        model.sample(PROMPT, seed=number, **options)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    passed, cpu = (1000 * statistics.median(each) for each in zip(*times[3:], strict=True))
    return f"{passed:.1f} ms ({cpu:.1f} of the CPU)"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="print where the time of four steps goes")
    parser.add_argument("words", nargs="*")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    model = build(args.words)
    for steps in STEPS:
        guided, plain = (measure(model, args.repeats, steps=steps, guidance=guidance) for guidance in (3.0, 1.0))
        print(f"{steps} steps: {guided} with guidance, {plain} without", flush=True)
    if args.profile:
        with profile(activities=[ProfilerActivity.CPU]) as trace:
            for number in range(args.repeats):
                model.sample(PROMPT, seed=number, steps=4, guidance=3.0)
        print(trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


if __name__ == "__main__":
    main()
