"""Prompt accuracy of the video model on the toy world, after given CPU seconds of training.

    python benchmarks/video_world.py [--budgets 300] [--seeds 0] [--threads 1] [--n 96] [--json OUT] [words ...]
    python benchmarks/video_world.py --ckpt RUN [--init-frames 1] [--frames 128]      # an existing run

Each budget has a separate run from scratch, with an annealed learning rate. Prompts name every attribute, of training
and of held-out combinations separately. Samples use the averaged weights and the default options. The metrics are
``toy_video`` and ``motion``. The number of steps for a budget is estimated from two short runs; the CPU seconds that
were used are printed (``record.json``: from the first step to the last, all threads). A share of 96 prompts has a
standard error of up to 0.05.

``--init-frames`` also measures clips that continue the first frames of real clips, and whether these are kept bit for
bit. ``--frames`` also measures the ``drift`` of ``--long`` clips with so many frames of held-out prompts, every 16
frames: shape, color, contrast, change and warp error.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, steps_for, train
from training_step import utilization

import genai
from genai.cli.compose import compose
from genai.cli.overrides import recorded_overrides
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Result
from genai.metrics.video.clips import real_clips, sample_clips, stack_clips
from genai.metrics.video.drift import WINDOW_FRAMES, drift_results
from genai.metrics.video.motion import MotionStatistics, change_and_warp_error
from genai.runs.run import Run
from genai.toy.metrics.drift import drift_attribute_results
from genai.toy.metrics.video import MotionPromptAccuracy
from genai.toy.world.motion import parse_motion
from genai.toy.world.trajectories import render_clips

PROMPT_KINDS = {"trained": "", "held out": "_held_out"}


@dataclass
class VideoContext(EvalContext):
    """Context with prompts of one kind, and samples that continue the first ``init_frames`` frames of real clips."""

    suffix: str = ""
    init_frames: int = 0

    def prompt_sets(self) -> dict[str, tuple[list[str], str]]:
        return {"": super().prompt_sets()[self.suffix]}

    def samples(self, prompts: Sequence[str]) -> list[Any]:
        if not self.init_frames:
            return super().samples(prompts)
        key = tuple(prompts)
        if key not in self._sample_cache:
            pairs = zip(prompts, self.init_clips(prompts), strict=True)
            self._sample_cache[key] = [
                self.model.sample(prompt, seed=self.seed + number, init=init)[0]
                for number, (prompt, init) in enumerate(pairs)
            ]
        return self._sample_cache[key]

    def init_clips(self, prompts: Sequence[str]) -> list[Clip]:
        """Return the first frames of real clips of ``prompts``, not of those that samples are compared with."""
        modality: Any = self.model.modality
        motions, rng = [parse_motion(prompt) for prompt in prompts], np.random.default_rng(self.seed + 1)
        clips, _ = render_clips(motions, rng, modality.shape[-1], modality.frames, modality.fps)
        frames = np.ascontiguousarray(clips[:, : self.init_frames].transpose(0, 1, 3, 4, 2))
        return [Clip(pixels, modality.fps) for pixels in frames]


def rounded_values(results: Mapping[str, Result]) -> dict[str, float]:
    return {name: round(result.value, 4) for name, result in results.items() if result.value is not None}


def prompt_metrics(model: Any, source: Source, n: int, init_frames: int = 0) -> dict[str, dict[str, float]]:
    """Return the metrics for new prompts of each kind; for held-out ones also those of ``motion``."""
    metrics: dict[str, dict[str, float]] = {}
    prefix = f"from {init_frames} frames, " if init_frames else ""
    for name, suffix in PROMPT_KINDS.items():
        context = VideoContext(model, source, n=n, seed=1, suffix=suffix, init_frames=init_frames)
        values = rounded_values(MotionPromptAccuracy().compute(context))
        if suffix:
            values |= rounded_values(MotionStatistics().compute(context))
        if init_frames:
            values |= continuation_metrics(context)
        metrics[f"{prefix}{name}"] = values
    return metrics


def continuation_metrics(context: VideoContext) -> dict[str, float]:
    """Measure whether the given frames are kept in the samples, and the jump at the first step after them."""
    prompts, init_frames = context.prompt_sets()[""][0], context.init_frames
    samples = context.samples(prompts)
    pairs = zip(context.init_clips(prompts), samples, strict=True)
    is_kept = [np.array_equal(init.frames, sample.frames[:init_frames]) for init, sample in pairs]
    _, warp_error = change_and_warp_error(stack_clips(samples))
    return {
        "given_frames_kept": sum(is_kept) / len(is_kept),
        "jump_from_given": round(float(warp_error[:, init_frames - 1].mean() / warp_error[:, init_frames:].mean()), 3),
    }


def drift_metrics(model: Any, source: Source, n: int, frames: int) -> dict[str, float]:
    """Return the metrics of ``drift`` for clips of held-out prompts, every ``WINDOW_FRAMES`` frames."""
    context = EvalContext(model, source, n=n, seed=1, options={"frames": frames})
    prompts = source.prompts(source.val, n, context.seed)
    clips, end_frames = sample_clips(context, prompts), range(WINDOW_FRAMES, frames + 1, WINDOW_FRAMES)
    motions = [parse_motion(prompt) for prompt in prompts]
    held_out = real_clips(context.val, min(WINDOW_FRAMES, model.modality.frames), n)
    attributes = drift_attribute_results(motions, clips, end_frames, context.seed, model.modality.fps)
    return rounded_values({**drift_results(clips, held_out, end_frames), **attributes})


def score(model: Any, words: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Return all metrics of a model that ``args`` ask for."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    metrics: dict[str, Any] = {name: model.record[name] for name in ("cpu_seconds", "seconds", "steps")}
    metrics |= prompt_metrics(model, source, args.n)
    if args.init_frames:
        metrics |= prompt_metrics(model, source, args.n, args.init_frames)
    if args.frames:
        metrics[f"{args.frames} frames"] = drift_metrics(model, source, args.long, args.frames)
    return metrics


def print_metrics(name: str, metrics: dict[str, Any]) -> None:
    print(f"{name}: {metrics['cpu_seconds']:.0f} CPU s, {metrics['steps']} steps")
    for kind, values in metrics.items():
        if isinstance(values, dict):
            print(f"  {kind}: " + "  ".join(f"{key} {value:.3f}" for key, value in values.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="300", help="CPU seconds")
    parser.add_argument("--steps", type=int, help="number of steps instead of a budget")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ckpt", help="an existing run, instead of training one")
    parser.add_argument("--n", type=int, default=96, help="prompts of each kind")
    parser.add_argument("--init-frames", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--long", type=int, default=32, help="number of clips with --frames")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.width=48")
    args = parser.parse_intermixed_args()
    results: dict[str, Any] = {"utilization": utilization(["modality=video", *args.words])}

    def add(name: str, model: Any, words: list[str]) -> None:
        results[name] = score(model, words, args)
        print_metrics(name, results[name])

    if args.ckpt:
        torch.set_num_threads(args.threads)
        model = genai.load(args.ckpt)
        add(args.ckpt, model, recorded_overrides(Run(model.file.parent.parent)))
    for seed in args.seeds.split(",") if not args.ckpt else ():
        words = ["modality=video", f"trainer.threads={args.threads}", "trainer=cpu", f"seed={seed}", *args.words]
        for budget in [args.steps] if args.steps else map(float, args.budgets.split(",")):
            steps = args.steps or steps_for(budget, words)
            name = f"{budget:g} {'steps' if args.steps else 'CPU s'}, seed {seed}"
            add(name, train(*words, f"steps={steps}"), words)
    save(args.json, results)


if __name__ == "__main__":
    main()
