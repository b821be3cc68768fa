"""The two libraries that ``image_quality.py`` compares with, each trained as its own example does, on float32 images
in memory and unprompted: denoising-diffusion-pytorch (lucidrains) and diffusers.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from genai.inference.model import parameters

SIDE, BATCH = 28, 32


@dataclass(frozen=True)
class Made:
    """A model that was trained, and images that it drew.

    Attributes:
        parameters: how many it has.
        steps, seen, train_seconds: of training: optimizer steps, images, CPU seconds.
        pixels: (images, 1, 28, 28) uint8.
        sample_seconds: CPU seconds that they took.
        prompts: that they were asked for with, if any.
    """

    parameters: int
    steps: int
    seen: int
    train_seconds: float
    pixels: Tensor
    sample_seconds: float
    prompts: list[str]


def lucidrains(pixels: Tensor, seconds: float, rate: float, count: int = 128) -> Made:
    """Its Unet and GaussianDiffusion, with Adam, clipping and the average of its Trainer; 50 steps of DDIM.

    Two halvings, as 28 pixels allow no third.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    torch.manual_seed(0)
    net = Unet(32, dim_mults=(1, 2, 4), channels=1)
    diffusion = GaussianDiffusion(net, image_size=SIDE, timesteps=1000, sampling_timesteps=50)
    optimizer = torch.optim.Adam(diffusion.parameters(), rate, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step(x: Tensor, share: float) -> None:
        update(diffusion(x), diffusion, optimizer)
        average.update()

    steps, spent = taught(step, pixels, seconds)
    began = time.process_time()
    with torch.inference_mode():
        drawn = torch.cat([average.ema_model.sample(batch_size=64) for _ in range(count // 64)])
    took = time.process_time() - began
    return Made(parameters(net), steps, steps * BATCH, spent, as_bytes(drawn), took, [])


def diffusers(pixels: Tensor, seconds: float, count: int = 256) -> Made:
    """UNet2DModel, half as large again as ours, learning noise of DDPMScheduler with AdamW, warm-up, cosine and the
    average of its example of unconditional images, but at ten times its rate of 1e-4, which is meant for days; 20 steps
    of DPMSolverMultistepScheduler, with its thresholds for pixels: without them most images ended black or white.
    """
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    noising = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(x: Tensor, share: float) -> None:
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1, share / 0.05) * (1 + math.cos(math.pi * share)) / 2
        clean, noise, when = 2 * x - 1, torch.randn_like(x), torch.randint(1000, (len(x),))
        update(F.mse_loss(net(noising.add_noise(clean, noise, when), when).sample, noise), net, optimizer)
        average.step(net.parameters())

    steps, spent = taught(step, pixels, seconds)
    average.copy_to(net.parameters())
    solver = DPMSolverMultistepScheduler(num_train_timesteps=1000, thresholding=True)
    began = time.process_time()
    parts = []
    with torch.inference_mode():
        for _ in range(count // 64):
            solver.set_timesteps(20)
            x = torch.randn(64, 1, SIDE, SIDE)
            for when in solver.timesteps:
                x = solver.step(net(x, when).sample, when, x).prev_sample
            parts.append((x + 1) / 2)
    took = time.process_time() - began
    return Made(parameters(net), steps, steps * BATCH, spent, as_bytes(torch.cat(parts)), took, [])


def taught(step: Callable[[Tensor, float], None], pixels: Tensor, seconds: float) -> tuple[int, float]:
    """How many steps filled so many CPU seconds, and the seconds; ``step`` gets images in [0, 1] and the share done."""
    steps, began, spent = 0, time.process_time(), 0.0
    while spent < seconds:
        step(pixels[torch.randint(len(pixels), (BATCH,))].float() / 255, spent / seconds)
        steps, spent = steps + 1, time.process_time() - began
    return steps, spent


def update(loss: Tensor, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def as_bytes(x: Tensor) -> Tensor:
    """[0, 1] -> uint8."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)
