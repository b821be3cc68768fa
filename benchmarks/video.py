"""Speed of training and sampling of the video model on one core, compared with two common ones.

    python benchmarks/video.py [--rounds 3] [--peers-bf16] [--json OUT] [words ...]

Color clips of 16 frames of 32 x 32 pixels, one thread, CPU seconds of the process; median, minimum and maximum of
rounds in which the models take turns, so that a busy machine slows all of them. ``modality=video`` is compared with
video-diffusion-pytorch (dim 32, multiples 1, 2, 4; lean: 4 heads of 16, no linear attention) and the
UNet3DConditionModel of diffusers (32, 64, 96 channels, one layer a block; lean: no attention at full resolution).

Training: a whole step on clips in memory. Ours includes loss, gradients, clipping, Muon and the running average, on
whole clips only; theirs include loss, gradients and Adam or AdamW. Ours runs in float32 and under bfloat16 autocast,
the others in float32 and, with ``--peers-bf16``, under autocast too.

Sampling: CPU seconds per clip, with guidance and the default number of steps of each. Ours is measured end to end, in
bfloat16 where the machine is fast at it, keyframes first, for one clip and for a batch. For theirs, one step of one
clip is measured in float32 and multiplied by 1000 and 50 (DDIM).

    pip install --no-deps video-diffusion-pytorch==0.7.0 diffusers==0.42.1
    pip install einops einops-exts rotary-embedding-torch huggingface_hub importlib_metadata regex requests
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import save
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from genai.cli.compose import compose
from genai.core.device import reuse_memory
from genai.inference.model import Model, count_parameters
from genai.training.ema import create_ema
from genai.training.setup import prepare_training

FRAMES, SIDE, BATCH, CONDITION, GUIDANCE = 16, 32, 4, 32, 2.0


@dataclass(frozen=True)
class BenchmarkModel:
    """A model to be measured.

    Attributes:
        parameters: number of parameters.
        train: runs one training step on ``batch`` clips.
        samples: number of clips -> a function that generates them, or runs one of their ``steps``.
        batch: clips of a training step.
        repeats: training steps that are measured together.
        steps: sampling steps that a call of ``samples`` stands for.
    """

    parameters: int
    train: Callable[[], None]
    samples: dict[int, Callable[[], Any]] = field(default_factory=dict)
    batch: int = BATCH
    repeats: int = 1
    steps: int = 1


def our_model(batch: int, half: bool, words: list[str]) -> BenchmarkModel:
    """Our model with its default settings."""
    defaults = ["modality.stills=0", "modality.sparse=0", "data.items=64", "trainer=cpu", "trainer.threads=1"]
    setup = prepare_training(compose("train", ["modality=video", f"batch={batch}", *defaults, *words]))
    method, optimizer = setup.method, setup.optimizers["model"]
    average, clips = create_ema(method.ema_module, setup.settings.ema), setup.train.batch(range(batch), None)

    def train() -> None:
        method.train()
        method.loss(clips)["loss"].backward()
        norm = get_total_norm([p.grad for p in method.parameters() if p.grad is not None])
        clip_grads_with_norm_(method.parameters(), setup.settings.grad_clip, norm)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(method.ema_module)

    model = Model(setup.modality, method)
    counts = () if half else (1, batch)
    samples = {count: partial(model.sample, setup.prompts[:count], batch=batch) for count in counts}
    return BenchmarkModel(count_parameters(method), with_autocast(half, train), samples, batch, repeats=4)


def lucidrains(lean: bool, half: bool) -> BenchmarkModel:
    """video-diffusion-pytorch, conditioned on a vector, with the loss of its Trainer and fused Adam."""
    from video_diffusion_pytorch import GaussianDiffusion, Unet3D

    options = {"attn_heads": 4, "attn_dim_head": 16, "use_sparse_linear_attn": False} if lean else {}
    network = Unet3D(32, cond_dim=CONDITION, dim_mults=(1, 2, 4), **options)
    diffusion = GaussianDiffusion(network, image_size=SIDE, num_frames=FRAMES)
    optimizer = torch.optim.Adam(diffusion.parameters(), 1e-4, fused=True)
    clips, condition = torch.rand(BATCH, 3, FRAMES, SIDE, SIDE), torch.randn(BATCH, CONDITION)

    def sample() -> None:
        diffusion.p_sample(torch.randn(1, *clips.shape[1:]), torch.tensor([500]), condition[:1], GUIDANCE)

    train = partial(step, optimizer, lambda: diffusion(clips, cond=condition))
    return BenchmarkModel(
        count_parameters(diffusion),
        with_autocast(half, train),
        {1: with_autocast(half, sample)},
        steps=diffusion.num_timesteps,
    )


def diffusers(lean: bool, half: bool) -> BenchmarkModel:
    """The text-to-video network of diffusers on pixels, conditioned on eight vectors."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet3DConditionModel

    attention, plain = ["CrossAttnDownBlock3D", "CrossAttnUpBlock3D"], ["DownBlock3D", "UpBlock3D"]
    levels = [plain, attention, attention] if lean else [attention, attention, plain]
    network = UNet3DConditionModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        down_block_types=tuple(down for down, _ in levels),
        up_block_types=tuple(up for _, up in reversed(levels)),
        block_out_channels=(32, 64, 96),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=CONDITION,
        attention_head_dim=16,
    )
    ddpm, ddim = DDPMScheduler(), DDIMScheduler()
    ddim.set_timesteps(50)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    clips, condition = torch.rand(BATCH, 3, FRAMES, SIDE, SIDE) * 2 - 1, torch.randn(BATCH, 8, CONDITION)

    def loss() -> Tensor:
        noise, timestep = torch.randn_like(clips), torch.randint(1000, (BATCH,))
        return F.mse_loss(network(ddpm.add_noise(clips, noise, timestep), timestep, condition).sample, noise)

    @torch.inference_mode()
    def sample() -> None:
        x, timestep = torch.randn(1, *clips.shape[1:]), ddim.timesteps[25]
        unconditional, conditional = network(torch.cat([x, x]), timestep, condition[:2]).sample.chunk(2)
        ddim.step(unconditional + GUIDANCE * (conditional - unconditional), timestep, x)

    return BenchmarkModel(
        count_parameters(network),
        with_autocast(half, partial(step, optimizer, loss)),
        {1: with_autocast(half, sample)},
        steps=50,
    )


def step(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()


def with_autocast(half: bool, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``function`` in bfloat16 autocast if ``half``, as ``trainer.precision=bf16-mixed`` does."""
    return torch.autocast("cpu", torch.bfloat16, enabled=half)(function)


def build_models(half_peers: bool, words: list[str]) -> dict[str, BenchmarkModel]:
    """Build the models by name; those that are not installed are skipped with a message."""
    builders: dict[str, Callable[[bool], BenchmarkModel]] = {
        "genai, batch 8": lambda half: our_model(8, half, words),
        "genai, batch 4": lambda half: our_model(4, half, words),
        "video-diffusion-pytorch": partial(lucidrains, False),
        "video-diffusion-pytorch, lean": partial(lucidrains, True),
        "diffusers": partial(diffusers, False),
        "diffusers, lean": partial(diffusers, True),
    }
    models: dict[str, BenchmarkModel] = {}
    for name, build in builders.items():
        try:
            models[name] = build(False)
            if half_peers or "genai" in name:
                models[f"{name}, bf16"] = build(True)
        except ImportError as error:
            print(f"{name} is skipped: {error}", flush=True)
    return models


def measure_seconds(model: BenchmarkModel) -> dict[str, float]:
    """Return the CPU seconds per clip of training and of sampling."""

    def seconds(function: Callable[[], Any]) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    train_seconds = seconds(lambda: [model.train() for _ in range(model.repeats)])
    results = {"train": train_seconds / model.repeats / model.batch}
    for clips, function in model.samples.items():
        results[f"sample of {clips}"] = seconds(function) * model.steps / clips
    return results


def measure_all(models: dict[str, BenchmarkModel], rounds: int) -> dict[str, Any]:
    """Measure all models: size, and median, minimum and maximum over the rounds of each measurement.

    The first round is a warm-up; the median of three rounds is not affected by it.
    """
    rounds_by_model: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for number in range(rounds):
        for name, model in models.items():
            rounds_by_model[name].append(measure_seconds(model))
            line = "  ".join(f"{key} {value:.3f}" for key, value in rounds_by_model[name][-1].items())
            print(f"round {number + 1}, {name}: {line}", flush=True)
    results: dict[str, Any] = {}
    for name, model in models.items():
        results[name] = {"parameters": model.parameters}
        for key in rounds_by_model[name][0]:
            values = sorted(seconds[key] for seconds in rounds_by_model[name])
            results[name][key] = {"median": median(values), "lowest": values[0], "highest": values[-1]}
    return results


def table(results: dict[str, Any]) -> str:
    """Format a table: clips per CPU second of training and its ratio to other models, CPU seconds per sample."""
    peers = {name: result for name, result in results.items() if "genai" not in name and "bf16" not in name}
    headers = [
        "model",
        "parameters",
        "clips a CPU s",
        *(f"x {name}" for name in peers),
        "CPU s a sample (alone, of more)",
    ]
    lines = [f"| {' | '.join(headers)} |", "|---" * len(headers) + "|"]
    for name, result in results.items():
        train = result["train"]
        rate = f"{1 / train['median']:.3g} ({1 / train['highest']:.3g}-{1 / train['lowest']:.3g})"
        times = [f"{other['train']['median'] / train['median']:.3g}" for other in peers.values()]
        samples = ", ".join(f"{result[key]['median']:.3g}" for key in result if key.startswith("sample"))
        lines.append("| " + " | ".join([name, f"{result['parameters']:,}", rate, *times, samples]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers-bf16", action="store_true", help="the other models under autocast, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of ours: model.network.width=48")
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reuse_memory()
    results = measure_all(build_models(args.peers_bf16, args.words), args.rounds)
    print(table(results))
    save(args.json, results)


if __name__ == "__main__":
    main()
