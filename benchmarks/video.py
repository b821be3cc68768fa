"""How fast does the video model learn and sample on one core, beside two common ones?

    python benchmarks/video.py [--rounds 3] [--peers-bf16] [--json OUT] [words ...]

Clips of 16 frames of 32 x 32 pixels in colour, one thread, CPU seconds of the process; medians, lowest and highest of
rounds in which all take turns, so that a busy machine slows all of them. Beside ``modality=video`` as shipped:
video-diffusion-pytorch (dim 32, multiples 1, 2, 4; lean: 4 heads of 16, no linear attention) and the
UNet3DConditionModel of diffusers (32, 64, 96 channels, one layer a block; lean: no attention at full resolution).

Training: a whole step on clips that are in memory. Ours is loss, gradients, clipping, Muon and the running average, of
whole clips alone; theirs are loss, gradients and Adam or AdamW. Ours in float32 and under bfloat16 autocast, the others
in float32 and, with ``--peers-bf16``, under autocast too.

Sampling: CPU seconds of a clip, guided, each with its own default of steps. Ours are drawn from end to end, in bfloat16
where the machine is fast at it, keyframes first, one alone and a batch at once; of theirs one step of one is timed, in
float32, and taken times 1000 and 50 (DDIM).

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
from genai.inference.model import Model, parameters
from genai.training.ema import averaged
from genai.training.setup import prepare

FRAMES, SIDE, BATCH, CONDITION, GUIDANCE = 16, 32, 4, 32, 2.0


@dataclass(frozen=True)
class Entry:
    """A model to be timed.

    Attributes:
        parameters: how many it has.
        train: makes one step on ``batch`` clips.
        repeats: steps that are timed as one.
        samples: by how many clips it makes: makes them, or takes one of the ``steps`` that they need.
    """

    parameters: int
    train: Callable[[], None]
    samples: dict[int, Callable[[], Any]] = field(default_factory=dict)
    batch: int = BATCH
    repeats: int = 1
    steps: int = 1


def ours(batch: int, half: bool, words: list[str]) -> Entry:
    """The shipped model."""
    whole = ["modality.stills=0", "modality.sparse=0", "data.items=64", "trainer=cpu", "trainer.threads=1"]
    plan = prepare(compose("train", ["modality=video", f"batch={batch}", *whole, *words]))
    method, optimizer = plan.method, plan.optimizers["model"]
    average, clips = averaged(method.sampled, plan.settings.ema), plan.train.batch(range(batch), None)

    def train() -> None:
        method.train()
        method.loss(clips)["loss"].backward()
        norm = get_total_norm([p.grad for p in method.parameters() if p.grad is not None])
        clip_grads_with_norm_(method.parameters(), plan.settings.clip, norm)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(method.sampled)

    model = Model(plan.modality, method)
    counts = () if half else (1, batch)
    samples = {count: partial(model.sample, plan.prompts[:count], batch=batch) for count in counts}
    return Entry(parameters(method), under(half, train), samples, batch, repeats=4)


def lucidrains(lean: bool, half: bool) -> Entry:
    """video-diffusion-pytorch, told by a vector; of its Trainer the loss and Adam, fused."""
    from video_diffusion_pytorch import GaussianDiffusion, Unet3D

    options = {"attn_heads": 4, "attn_dim_head": 16, "use_sparse_linear_attn": False} if lean else {}
    net = Unet3D(32, cond_dim=CONDITION, dim_mults=(1, 2, 4), **options)
    diffusion = GaussianDiffusion(net, image_size=SIDE, num_frames=FRAMES)
    optimizer = torch.optim.Adam(diffusion.parameters(), 1e-4, fused=True)
    clips, said = torch.rand(BATCH, 3, FRAMES, SIDE, SIDE), torch.randn(BATCH, CONDITION)

    def sample() -> None:
        diffusion.p_sample(torch.randn(1, *clips.shape[1:]), torch.tensor([500]), said[:1], GUIDANCE)

    train = partial(step, optimizer, lambda: diffusion(clips, cond=said))
    return Entry(parameters(diffusion), under(half, train), {1: under(half, sample)}, steps=diffusion.num_timesteps)


def diffusers(lean: bool, half: bool) -> Entry:
    """The text-to-video network of diffusers on pixels, told by eight vectors."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet3DConditionModel

    seeing, blind = ["CrossAttnDownBlock3D", "CrossAttnUpBlock3D"], ["DownBlock3D", "UpBlock3D"]
    levels = [blind, seeing, seeing] if lean else [seeing, seeing, blind]
    net = UNet3DConditionModel(
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
    noising, ddim = DDPMScheduler(), DDIMScheduler()
    ddim.set_timesteps(50)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)
    clips, said = torch.rand(BATCH, 3, FRAMES, SIDE, SIDE) * 2 - 1, torch.randn(BATCH, 8, CONDITION)

    def loss() -> Tensor:
        noise, when = torch.randn_like(clips), torch.randint(1000, (BATCH,))
        return F.mse_loss(net(noising.add_noise(clips, noise, when), when, said).sample, noise)

    @torch.inference_mode()
    def sample() -> None:
        x, when = torch.randn(1, *clips.shape[1:]), ddim.timesteps[25]
        without, told = net(torch.cat([x, x]), when, said[:2]).sample.chunk(2)
        ddim.step(without + GUIDANCE * (told - without), when, x)

    return Entry(parameters(net), under(half, partial(step, optimizer, loss)), {1: under(half, sample)}, steps=50)


def step(optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()


def under(half: bool, way: Callable[..., Any]) -> Callable[..., Any]:
    """``way`` under bfloat16 autocast where ``half``, as a run with ``trainer.precision=bf16-mixed`` is."""
    return torch.autocast("cpu", torch.bfloat16, enabled=half)(way)


def entries(peers_half: bool, words: list[str]) -> dict[str, Entry]:
    """By name; those that are not installed are said and left out."""
    builders: dict[str, Callable[[bool], Entry]] = {
        "genai, batch 8": lambda half: ours(8, half, words),
        "genai, batch 4": lambda half: ours(4, half, words),
        "video-diffusion-pytorch": partial(lucidrains, False),
        "video-diffusion-pytorch, lean": partial(lucidrains, True),
        "diffusers": partial(diffusers, False),
        "diffusers, lean": partial(diffusers, True),
    }
    found: dict[str, Entry] = {}
    for name, build in builders.items():
        try:
            found[name] = build(False)
            if peers_half or "genai" in name:
                found[f"{name}, bf16"] = build(True)
        except ImportError as error:
            print(f"{name} is left out: {error}", flush=True)
    return found


def timed(entry: Entry) -> dict[str, float]:
    """CPU seconds of a clip, by what was done."""

    def seconds(way: Callable[[], Any]) -> float:
        began = time.process_time()
        way()
        return time.process_time() - began

    steps = seconds(lambda: [entry.train() for _ in range(entry.repeats)])
    took = {"train": steps / entry.repeats / entry.batch}
    for clips, way in entry.samples.items():
        took[f"sample of {clips}"] = seconds(way) * entry.steps / clips
    return took


def measured(found: dict[str, Entry], rounds: int) -> dict[str, Any]:
    """Of each entry: its size, and of all that ``timed`` times the median, the lowest and the highest of the rounds.

    The first round warms up, which the median of three forgets.
    """
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in found}
    for number in range(rounds):
        for name, entry in found.items():
            taken[name].append(timed(entry))
            said = "  ".join(f"{key} {value:.3f}" for key, value in taken[name][-1].items())
            print(f"round {number + 1}, {name}: {said}", flush=True)
    results: dict[str, Any] = {}
    for name, entry in found.items():
        results[name] = {"parameters": entry.parameters}
        for key in taken[name][0]:
            values = sorted(took[key] for took in taken[name])
            results[name][key] = {"median": median(values), "lowest": values[0], "highest": values[-1]}
    return results


def table(results: dict[str, Any]) -> str:
    """Clips a CPU second of training with the range of the rounds, how many times each peer's; seconds of samples."""
    peers = {name: found for name, found in results.items() if "genai" not in name and "bf16" not in name}
    heads = [
        "model",
        "parameters",
        "clips a CPU s",
        *(f"x {name}" for name in peers),
        "CPU s a sample (alone, of more)",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, found in results.items():
        train = found["train"]
        rate = f"{1 / train['median']:.3g} ({1 / train['highest']:.3g}-{1 / train['lowest']:.3g})"
        times = [f"{other['train']['median'] / train['median']:.3g}" for other in peers.values()]
        samples = ", ".join(f"{found[key]['median']:.3g}" for key in found if key.startswith("sample"))
        lines.append("| " + " | ".join([name, f"{found['parameters']:,}", rate, *times, samples]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers-bf16", action="store_true", help="the others under autocast, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*", help="other settings of ours: model.network.width=48")
    asked = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    reuse_memory()
    results = measured(entries(asked.peers_bf16, asked.words), asked.rounds)
    print(table(results))
    save(asked.json, results)


if __name__ == "__main__":
    main()
