"""Does the video model show what it is asked for, moving so, and after how many CPU seconds of training?

    python benchmarks/video_world.py [--budgets 300] [--seeds 0] [--threads 1] [--n 96] [--json OUT] [words ...]
    python benchmarks/video_world.py --ckpt RUN [--init-frames 1] [--frames 128]      # a run that there is

For each budget a run of its own, from nothing, its learning rate annealed: prompts that name everything, of trained and
of held-out combinations apart, the weights that sampling uses, the sampler's defaults. Rules watch the clips
(``moving``), blocks are followed (``motion``). The number of steps that fill a budget comes from two short runs, and
the CPU seconds that were really used are printed (``record.json``: from the first step to the last, all threads). A
share of 96 prompts has a standard error of up to 0.05.

``--init-frames``: also the same of clips that go on from the first frames of real ones, and whether these come back bit
for bit. ``--frames``: also ``--long`` clips of so many frames, of held-out prompts, each 16 frames by themselves: are
shape and colour still right, are contrast, change and warp error still those of real clips (``drift``)?
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, steps_for, train

import genai
from genai.cli.compose import compose
from genai.cli.overrides import words_of
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.media.clip import Clip
from genai.metrics.base import EvalContext, Result
from genai.metrics.video.clips import made, real, stacked
from genai.metrics.video.drift import PART, lasting, looks
from genai.metrics.video.motion import Motion, looked_at
from genai.runs.run import Run
from genai.toy.metrics.video import Moving
from genai.toy.world.motion import parse
from genai.toy.world.trajectories import draw

SIDES = {"trained": "", "held out": "_held_out"}


@dataclass
class Side(EvalContext):
    """Of prompts of one kind only, and of clips that go on from the first ``given`` frames of real ones."""

    side: str = ""
    given: int = 0

    def asked(self) -> dict[str, tuple[list[str], str]]:
        return {"": super().asked()[self.side]}

    def samples(self, prompts: Sequence[str]) -> list[Any]:
        if not self.given:
            return super().samples(prompts)
        key = tuple(prompts)
        if key not in self._drawn:
            begun = zip(prompts, self.begun(prompts), strict=True)
            self._drawn[key] = [
                self.model.sample(prompt, seed=self.seed + number, init=init)[0]
                for number, (prompt, init) in enumerate(begun)
            ]
        return self._drawn[key]

    def begun(self, prompts: Sequence[str]) -> list[Clip]:
        """The first frames of real clips of ``prompts``, others than those that samples are compared with."""
        modality: Any = self.model.modality
        motions, rng = [parse(prompt) for prompt in prompts], np.random.default_rng(self.seed + 1)
        clips, _ = draw(motions, rng, modality.shape[-1], modality.frames, modality.fps)
        frames = np.ascontiguousarray(clips[:, : self.given].transpose(0, 1, 3, 4, 2))
        return [Clip(each, modality.fps) for each in frames]


def values(figures: Mapping[str, Result]) -> dict[str, float]:
    return {name: round(figure.value, 4) for name, figure in figures.items() if figure.value is not None}


def obeyed(model: Any, source: Source, n: int, given: int = 0) -> dict[str, dict[str, float]]:
    """Figures of fresh prompts of each side; of held-out ones also how things move."""
    found: dict[str, dict[str, float]] = {}
    kind = f"from {given} frames, " if given else ""
    for name, side in SIDES.items():
        study = Side(model, source, n=n, seed=1, side=side, given=given)
        figures = values(Moving().measure(study))
        if side:
            figures |= values(Motion().measure(study))
        if given:
            figures |= continued(study)
        found[f"{kind}{name}"] = figures
    return found


def continued(study: Side) -> dict[str, float]:
    """Whether the given frames are in the samples as they were, and how much of a jump the first step from them is."""
    prompts, given = study.asked()[""][0], study.given
    samples = study.samples(prompts)
    pairs = zip(study.begun(prompts), samples, strict=True)
    kept = [np.array_equal(init.frames, sample.frames[:given]) for init, sample in pairs]
    _, left = looked_at(stacked(samples))
    return {
        "given_frames_kept": sum(kept) / len(kept),
        "jump_from_given": round(float(left[:, given - 1].mean() / left[:, given:].mean()), 3),
    }


def rolled_out(model: Any, source: Source, n: int, frames: int) -> dict[str, float]:
    """What ``drift`` finds in clips of held-out prompts, at the end of each ``PART`` frames."""
    study = EvalContext(model, source, n=n, seed=1, options={"frames": frames})
    prompts = source.prompts(source.val, n, study.seed)
    clips, marks = made(study, prompts), range(PART, frames + 1, PART)
    motions = [parse(prompt) for prompt in prompts]
    found = looks(clips, real(study.val, min(PART, model.modality.frames), n), marks)
    return values({**found, **lasting(motions, clips, marks, study.seed, model.modality.fps)})


def row(model: Any, words: list[str], asked: argparse.Namespace) -> dict[str, Any]:
    """All that is asked about one model."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    found: dict[str, Any] = {name: model.record[name] for name in ("cpu_seconds", "seconds", "steps")}
    found |= obeyed(model, source, asked.n)
    if asked.init_frames:
        found |= obeyed(model, source, asked.n, asked.init_frames)
    if asked.frames:
        found[f"{asked.frames} frames"] = rolled_out(model, source, asked.long, asked.frames)
    return found


def show(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['cpu_seconds']:.0f} CPU s, {found['steps']} steps")
    for kind, figures in found.items():
        if isinstance(figures, dict):
            print(f"  {kind}: " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="300", help="CPU seconds")
    parser.add_argument("--steps", type=int, help="so many steps instead of a budget")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ckpt", help="a run that there is, instead of training one")
    parser.add_argument("--n", type=int, default=96, help="prompts of each kind")
    parser.add_argument("--init-frames", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--long", type=int, default=32, help="clips of so many frames")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings: model.network.width=48")
    asked = parser.parse_intermixed_args()
    results: dict[str, Any] = {}

    def add(name: str, model: Any, words: list[str]) -> None:
        results[name] = row(model, words, asked)
        show(name, results[name])

    if asked.ckpt:
        torch.set_num_threads(asked.threads)
        model = genai.load(asked.ckpt)
        add(asked.ckpt, model, words_of(Run(model.file.parent.parent)))
    for seed in asked.seeds.split(",") if not asked.ckpt else ():
        words = ["modality=video", f"trainer.threads={asked.threads}", "trainer=cpu", f"seed={seed}", *asked.words]
        for budget in [asked.steps] if asked.steps else map(float, asked.budgets.split(",")):
            steps = asked.steps or steps_for(budget, words)
            name = f"{budget:g} {'steps' if asked.steps else 'CPU s'}, seed {seed}"
            add(name, train(*words, f"steps={steps}"), words)
    save(asked.json, results)


if __name__ == "__main__":
    main()
