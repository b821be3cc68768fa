"""GAN (Goodfellow et al. 2014, arXiv:1406.2661): a generator makes images in one step, and a discriminator learns to
tell them from real ones.

The loss is that of R3GAN (Huang et al. 2024, arXiv:2501.05441, equations 2 to 4): a generated image has to look more
real than the real image of the same prompt, which prevents mode dropping; and gradient penalties at real (R1) and at
generated images (R2) keep the discriminator smooth, so that training converges. The non-saturating loss with R1 alone
(arXiv:1801.04406) is a seventh faster per step; on the toy world it was better after 100 steps and worse after 200
(energy score 0.86 to 0.81, correct positions 90 % to 99 %; one run each).

Penalties need a second backward pass. They are computed on a part of each batch rather than on whole batches every few
steps (StyleGAN2, arXiv:1912.04958, appendix B): this saves as much, and all steps are alike. On a quarter of the batch
a CPU core processed 121 images per second, on nearly all of it 100 (in a first, smaller version).

A discriminator sees one image at a time, so it hardly notices when all images of a prompt are the same. The
generator's loss therefore includes the energy score (Gneiting & Raftery 2007, eq. 22), at the cost of a second
generated image: an image has to be near the real image of its prompt, and far from the other one. After 500 steps on
the toy world the score on held-out prompts was 0.44 with this loss, and the distance between images of one prompt was
0.70 of their distance to real ones; with the contrastive loss below in its place, 0.58 and 0.23 (one run each).

A third loss is almost free, because the discriminator's features do not depend on the prompt: a real image has to match
its own prompt better than the other prompts of the batch (the contrastive loss between images and sentences of XMC-GAN,
Zhang et al. 2021, arXiv:2101.04702, equation 4). In the generator's loss it reduces diversity (0.52 instead of 0.64
after 300 steps), so it is not used there.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Chunk, Request
from genai.methods.augment import Augmentation, augment_images
from genai.methods.base import Method, check_output
from genai.methods.diversity import rms_distance
from genai.methods.interpolation import Prompt, initial_noise, interpolated_prompts, pool_prompts
from genai.methods.scaling import PixelScaling, Scaling

MIN_DIVERSITY = 0.5
"""Diversity below which a warning is printed; the ideal is 1. On the toy world it was 0.73 after 850 steps. At 0.23,
without the energy score, eight seeds of one prompt looked almost the same."""


@dataclass(frozen=True)
class AdversarialOptions:
    """Options of sampling.

    Attributes:
        truncation: factor of the latent; below 1 samples are more typical and vary less.
    """

    truncation: Annotated[float, Ge(0), Le(1)] = 1.0


class DiscriminatorNetwork(Protocol):
    """A discriminator: features of images (batch, width), and scores (batch,) of features and pooled prompts."""

    def features(self, x: Tensor) -> Tensor: ...

    def scores(self, features: Tensor, pooled: Tensor | None) -> Tensor: ...

    def prompt_scores(self, features: Tensor, pooled: Tensor) -> Tensor: ...


class GANNetwork(nn.Module):
    """A generator or discriminator network with its own prompt encoder."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prompt = network, prompt

    def pooled(self, prompts: Sequence[Prompt]) -> Tensor | None:
        """Return pooled prompts (batch, width), or ``None`` without a prompt encoder."""
        return pool_prompts(self.prompt, prompts)


class Adversarial(Method):
    """Learns from uint8 images.

    Args:
        generator: (latent, pooled) -> images; its attribute ``latent`` is the size of the latent.
        discriminator: a ``DiscriminatorNetwork``.
        prompt: prompt encoder, of which both networks have their own copy; ``None``: unconditional.
        scaling: from pixels to zero mean and unit variance, which the networks see.
        penalty: weight of the gradient penalties, gamma in the paper.
        penalty_fraction: fraction of the batch on which they are computed.
        mismatch: weight of the contrastive loss between images and prompts.
        energy: weight of the energy score in the generator's loss.
        prompt_drop: fraction of prompts that are replaced by "", so that sampling without a prompt is learned.
        augment: augmentations of real and generated images before the discriminator; for a few hundred images.
        frames: must be 1 (images).
        sampling: this model's own defaults for ``AdversarialOptions``.

    Raises:
        ValueError: the modality is video.
    """

    Options = AdversarialOptions
    is_iterative = False
    supports_interpolation, supports_init = True, False

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        prompt: nn.Module | None = None,
        scaling: Scaling | None = None,
        penalty: Annotated[float, Ge(0), Le(1e4)] = 5.0,
        penalty_fraction: Annotated[float, Gt(0), Le(1)] = 0.25,
        mismatch: Annotated[float, Ge(0), Le(100)] = 1.0,
        energy: Annotated[float, Ge(0), Le(1e4)] = 5.0,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        augment: Sequence[Augmentation] = (),
        frames: Annotated[int, Ge(1)] = 1,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if frames > 1:
            raise ValueError("a GAN makes images, but this modality is video. Choose another model=.")
        self.ema_module = GANNetwork(generator, prompt)
        self.discriminator = GANNetwork(discriminator, copy.deepcopy(prompt))
        self.latent = cast(int, generator.latent)
        self.scaling = scaling or PixelScaling()
        self.codec = self.scaling.network  # it is saved with the model, and moves with it
        self.penalty, self.penalty_fraction, self.mismatch, self.energy = penalty, penalty_fraction, mismatch, energy
        self.prompt_drop, self.augment, self.sampling = prompt_drop, tuple(augment), sampling or {}

    def networks(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.ema_module}

    @property
    def has_unused_parameters(self) -> bool:
        return True  # each loss trains one of the networks

    @property
    def generator(self) -> GANNetwork:
        return cast(GANNetwork, self.ema_module)

    @property
    def discriminator_network(self) -> DiscriminatorNetwork:
        return cast(DiscriminatorNetwork, self.discriminator.network)

    def generate_images(self, z: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Generate images with zero mean and unit variance from latents (batch, latent) and their prompts."""
        images: Tensor = self.generator.network(z, self.generator.pooled(prompts))
        return images.float()

    def _random_images(self, prompts: Sequence[Prompt]) -> Tensor:
        """Generate one image per prompt, with latents from torch's global random generator."""
        return self.generate_images(torch.randn(len(prompts), self.latent, device=self.device), prompts)

    def loss(self, batch: Batch, network_name: str = "generator") -> dict[str, Tensor]:
        prompts = list(batch.prompts) or [""] * len(batch)
        dropped = (torch.rand(len(batch)) < self.prompt_drop).tolist()
        prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        return (self._generator_loss if network_name == "generator" else self._discriminator_loss)(
            self.scaling.scale(batch.x), prompts
        )

    def _generator_loss(self, real: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the generator's loss: relativistic GAN loss and energy score."""
        fake, pooled = self._random_images(prompts), self.discriminator.pooled(prompts)
        with torch.no_grad():
            real_scores = self._scores(self.discriminator_network.features(augment_images(real, self.augment)), pooled)
            second_fake = self._random_images(prompts)
        fake_scores = self._scores(self.discriminator_network.features(augment_images(fake, self.augment)), pooled)
        adversarial = F.softplus(real_scores - fake_scores).mean()
        error, spread = rms_distance(fake, real).mean(), rms_distance(fake, second_fake).mean()
        return {
            "loss": adversarial + self.energy * (error - spread),
            "adversarial": adversarial,
            "energy": error - spread / 2,
        }

    def _discriminator_loss(self, real: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the discriminator's loss: relativistic GAN loss, gradient penalties and contrastive loss."""
        with torch.no_grad():
            fake = augment_images(self._random_images(prompts), self.augment)
        real, pooled = augment_images(real, self.augment), self.discriminator.pooled(prompts)
        count = max(1, round(self.penalty_fraction * len(real)))
        images = torch.cat([real[:count], fake[:count]]).requires_grad_()
        features = self.discriminator_network.features(images)
        image_prompts = None if pooled is None else pooled[:count].repeat(2, 1)
        (gradients,) = torch.autograd.grad(self._scores(features, image_prompts).sum(), images, create_graph=True)
        penalty = 2 * gradients.square().flatten(1).sum(1).mean()  # R1 and R2
        real_features, fake_features = features.chunk(2)
        if count < len(real):
            rest = self.discriminator_network.features(torch.cat([real[count:], fake[count:]])).chunk(2)
            real_features, fake_features = torch.cat([real_features, rest[0]]), torch.cat([fake_features, rest[1]])
        real_scores, fake_scores = self._scores(real_features, pooled), self._scores(fake_features, pooled)
        adversarial = F.softplus(fake_scores - real_scores).mean()
        mismatch = self._mismatch_loss(real_features, pooled, prompts)
        return {
            "loss": adversarial + self.mismatch * mismatch + self.penalty / 2 * penalty,
            "adversarial": adversarial,
            "mismatch": mismatch,
            "penalty": penalty,
            "real_score": real_scores.mean(),
            "fake_score": fake_scores.mean(),
        }

    def _mismatch_loss(self, features: Tensor, pooled: Tensor | None, prompts: Sequence[str]) -> Tensor:
        """Return the cross-entropy, in nats, of finding an image's own prompt among the prompts of the batch.

        Images without a prompt are left out, and equal prompts of other images are not counted as wrong.
        """
        rows = [row for row, prompt in enumerate(prompts) if prompt]
        if pooled is None or not rows:
            return features.new_zeros(())
        prompt_scores = self.discriminator_network.prompt_scores(features[rows], pooled[rows]).float()
        same = [[one != other and prompts[one] == prompts[other] for other in rows] for one in rows]
        prompt_scores = prompt_scores.masked_fill(torch.tensor(same, device=prompt_scores.device), -torch.inf)
        return F.cross_entropy(prompt_scores, torch.arange(len(rows), device=prompt_scores.device))

    def _scores(self, features: Tensor, pooled: Tensor | None) -> Tensor:
        return self.discriminator_network.scores(features, pooled).float()

    @torch.no_grad()
    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the energy score of generated against held-out images (Gneiting & Raftery 2007, eq. 22).

        A GAN has no likelihood, and its own scores do not measure quality. For two generated images x, x' of the prompt
        of a held-out image y, the mean of ``|x - y| - |x - x'| / 2`` is lowest if x has the distribution of y: neither
        blurred images nor always the same image reach it. Distances are root mean squares over pixels, in units of the
        data's standard deviation; they measure layout and colors, and hardly sharpness.

        Returns:
            ``loss``; ``error``, the first distance; ``spread``, the second; ``diversity``, the second divided by the
            first: 1 if images of one prompt differ as much as real ones, 0 if they are all the same.
        """
        real, prompts = self.scaling.scale(batch.x), list(batch.prompts) or [""] * len(batch)
        first, second = (self.scaling.scale(self.scaling.unscale(self._random_images(prompts))) for _ in range(2))
        error = (rms_distance(first, real) + rms_distance(second, real)).mean() / 2
        spread = rms_distance(first, second).mean()
        return {
            "loss": error - spread / 2,
            "error": error,
            "spread": spread,
            "diversity": spread / error.clamp(min=1e-6),
        }

    @torch.no_grad()
    def item_loss(self, batch: Batch) -> Tensor:
        """Return the negative score of the discriminator, which a GAN without a likelihood has instead of a loss.

        A discriminator that overfits scores its training items higher (Hayes et al. 2019, "LOGAN", arXiv:1705.07663).
        It shows what the discriminator remembers; the generator never sees an item.
        """
        prompts = list(batch.prompts) or [""] * len(batch)
        features = self.discriminator_network.features(self.scaling.scale(batch.x))
        return -self._scores(features, self.discriminator.pooled(prompts)).mean()

    def health_warning(self, losses: Mapping[str, float]) -> str | None:
        if losses["diversity"] >= MIN_DIVERSITY:
            return None
        return (
            f"val_diversity is {losses['diversity']:.0%}, below {MIN_DIVERSITY:.0%}: the generator may be collapsing, "
            "so that images of one prompt look alike."
        )

    @torch.inference_mode()
    def stream(self, request: Request, options: AdversarialOptions) -> Iterator[Chunk]:
        """Yield all images (batch, channels, height, width), uint8, at once."""
        z = options.truncation * initial_noise(request, [self.latent])
        images = check_output(self.generate_images(z.to(self.device), interpolated_prompts(request)))
        yield Chunk(0, self.scaling.unscale(images).cpu(), 1.0)

    def sample(self, request: Request, options: AdversarialOptions) -> list[Tensor]:
        return list(next(self.stream(request, options)).x)
