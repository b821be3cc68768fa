"""Two libraries for comparison in ``image_quality.py``: denoising-diffusion-pytorch (lucidrains) and diffusers.

Each is trained as in its own example, on float32 images in memory, without prompts.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from genai.inference.model import count_parameters

SIDE, BATCH = 28, 32


@dataclass(frozen=True)
class TrainedModel:
    """Costs and samples of a trained model.

    Attributes:
        parameters: number of parameters.
        steps, num_images, train_seconds: optimizer steps, training images, CPU seconds.
        pixels: samples (images, channels, height, width) uint8.
        sample_seconds: CPU seconds of sampling.
        prompts: of the samples, if any.
    """

    parameters: int
    steps: int
    num_images: int
    train_seconds: float
    pixels: Tensor
    sample_seconds: float
    prompts: list[str]


def lucidrains(pixels: Tensor, seconds: float, learning_rate: float, count: int = 128) -> TrainedModel:
    """Train Unet and GaussianDiffusion, with Adam, clipping and the averaging of its Trainer; sample 50 steps of DDIM.

    The resolution is halved twice, since 28 pixels do not allow a third time.

    Args:
        pixels: (images, channels, side, side) uint8.
        seconds: of CPU time.
        learning_rate: of Adam.
        count: number of samples.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    torch.manual_seed(0)
    network = Unet(32, dim_mults=(1, 2, 4), channels=pixels.shape[1])
    diffusion = GaussianDiffusion(network, image_size=pixels.shape[-1], timesteps=1000, sampling_timesteps=50)
    optimizer = torch.optim.Adam(diffusion.parameters(), learning_rate, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def step(x: Tensor, progress: float) -> None:
        update(diffusion(x), diffusion, optimizer)
        average.update()

    steps, spent = train_for(step, pixels, seconds)
    start = time.process_time()
    with torch.inference_mode():
        samples = torch.cat([average.ema_model.sample(batch_size=64) for _ in range(count // 64)])
    sample_seconds = time.process_time() - start
    return TrainedModel(count_parameters(network), steps, steps * BATCH, spent, to_uint8(samples), sample_seconds, [])


def diffusers(pixels: Tensor, seconds: float, count: int = 256) -> TrainedModel:
    """Train UNet2DModel, 1.5 times as large as ours, with DDPMScheduler; sample with DPMSolverMultistepScheduler.

    Optimizer, warm-up, cosine schedule and averaging are those of its example of unconditional images, but with ten
    times its learning rate of 1e-4, which is meant for days. The solver makes 20 steps, with thresholding for pixels:
    without it most images ended black or white.
    """
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(x: Tensor, progress: float) -> None:
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1, progress / 0.05) * (1 + math.cos(math.pi * progress)) / 2
        clean, noise, timesteps = 2 * x - 1, torch.randn_like(x), torch.randint(1000, (len(x),))
        update(
            F.mse_loss(network(scheduler.add_noise(clean, noise, timesteps), timesteps).sample, noise),
            network,
            optimizer,
        )
        average.step(network.parameters())

    steps, spent = train_for(step, pixels, seconds)
    average.copy_to(network.parameters())
    solver = DPMSolverMultistepScheduler(num_train_timesteps=1000, thresholding=True)
    start = time.process_time()
    parts = []
    with torch.inference_mode():
        for _ in range(count // 64):
            solver.set_timesteps(20)
            x = torch.randn(64, 1, SIDE, SIDE)
            for timestep in solver.timesteps:
                x = solver.step(network(x, timestep).sample, timestep, x).prev_sample
            parts.append((x + 1) / 2)
    sample_seconds = time.process_time() - start
    return TrainedModel(
        count_parameters(network), steps, steps * BATCH, spent, to_uint8(torch.cat(parts)), sample_seconds, []
    )


def train_for(step: Callable[[Tensor, float], None], pixels: Tensor, seconds: float) -> tuple[int, float]:
    """Train for ``seconds`` of CPU time; return the number of steps and the seconds used.

    Args:
        step: called with images in [0, 1] and the progress of training in 0..1.
    """
    steps, start, spent = 0, time.process_time(), 0.0
    while spent < seconds:
        step(pixels[torch.randint(len(pixels), (BATCH,))].float() / 255, spent / seconds)
        steps, spent = steps + 1, time.process_time() - start
    return steps, spent


def update(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def to_uint8(x: Tensor) -> Tensor:
    """Convert [0, 1] to uint8."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)
