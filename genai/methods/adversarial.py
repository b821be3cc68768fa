"""A GAN (Goodfellow et al. 2014, arXiv:1406.2661): a generator draws images in one step, and a discriminator learns to
tell them from real ones.

The loss is that of R3GAN (Huang et al. 2024, arXiv:2501.05441, equations 2 to 4): a generated image has to look more
real than the real one of the same prompt, which leaves no state in which all look alike to the discriminator; and
penalties on its gradients at real (R1) and at generated images (R2) keep it smooth, so that training converges. The
non-saturating loss with R1 alone (arXiv:1801.04406), a seventh faster a step, was ahead after 100 steps on the toy
world and behind after 200 (energy score 0.86 to 0.81, places right in 90 % to 99 %; one run each).

Penalties need a second backward pass. They are taken at a share of each batch, rather than at all of it every so many
steps (StyleGAN2, arXiv:1912.04958, appendix B): a like saving, and every step is like any other. At a quarter of it a
CPU core did 121 images a second, at nearly all of it 100 (of a first, smaller version).

A discriminator sees one image at a time, and so hardly notices that all images of a prompt are the same one. So the
generator's loss has the energy score too (Gneiting & Raftery 2007, eq. 22), at the cost of one more draw: an image has
to be near the real one of its prompt, and as far from another of its own. After 500 steps on the toy world that score,
on held-out prompts, was 0.44 with it, and images of one prompt differed by 0.70 of what they differ from real ones;
without it, and with the contrastive loss below in its place, 0.58 and 0.23 (one run each).

A last loss costs next to nothing, as the discriminator's features do not depend on the prompt: a real image has to fit
its own prompt better than the others of the batch (the contrastive loss between images and sentences of XMC-GAN, Zhang
et al. 2021, arXiv:2101.04702, equation 4). In the generator's loss it costs variety (0.52 instead of 0.64 after 300
steps), and so is not there.
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
from genai.methods import interpolation as between
from genai.methods.augment import Kind, augmented
from genai.methods.interpolation import Prompt
from genai.methods.pixel_scaling import PixelMethod

COLLAPSED = 0.5
"""Diversity below it is worth a word; 1 is what it should be. On the toy world it was 0.73 after 850 steps; at 0.23,
without the energy score, eight seeds of one prompt could hardly be told apart."""


@dataclass(frozen=True)
class AdversarialOptions:
    """How samples are drawn.

    Attributes:
        truncation: what the latent is multiplied with: less than 1 is nearer to what is usual, and varies less.
    """

    truncation: Annotated[float, Ge(0), Le(1)] = 1.0


class Critic(Protocol):
    """A discriminator: features of images (batch, width), and scores (batch,) of features beside pooled prompts."""

    def features(self, x: Tensor) -> Tensor: ...

    def scores(self, features: Tensor, pooled: Tensor | None) -> Tensor: ...

    def fits(self, features: Tensor, pooled: Tensor) -> Tensor: ...


class Player(nn.Module):
    """A network and its own encoder of prompts."""

    def __init__(self, network: nn.Module, prompt: nn.Module | None) -> None:
        super().__init__()
        self.network, self.prompt = network, prompt

    def pooled(self, prompts: Sequence[Prompt]) -> Tensor | None:
        """(batch, width); ``None``: it hears no prompts."""
        return between.pooled(self.prompt, prompts)


class Adversarial(PixelMethod):
    """Learns from uint8 images.

    Args:
        generator: (latent, pooled) -> images; its ``latent`` says how many numbers it draws from.
        discriminator: a ``Critic``.
        prompt: the encoder of prompts, of which each player has its own; ``None``: unprompted.
        mean, std: of the data in [-1, 1], so that the networks see zero mean and unit variance.
        penalty: weight of the squared gradients of scores, gamma in the paper.
        penalised: share of a batch at which they are taken.
        mismatch: weight of the loss of prompts that belong to other images.
        energy: weight of the energy score in the generator's loss.
        prompt_drop: share of prompts that are replaced by "", so that images of no prompt are learnt.
        augment: how both players' images are changed before the discriminator sees them; for some hundreds of images.
        frames: of clips: only 1, images.
        sampling: this model's own defaults among ``AdversarialOptions``.

    Raises:
        ValueError: the modality is one of clips.
    """

    Options = AdversarialOptions
    blends, edits = True, False

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        prompt: nn.Module | None = None,
        mean: float = 0.0,
        std: Annotated[float, Gt(0)] = 0.5,
        penalty: Annotated[float, Ge(0), Le(1e4)] = 5.0,
        penalised: Annotated[float, Gt(0), Le(1)] = 0.25,
        mismatch: Annotated[float, Ge(0), Le(100)] = 1.0,
        energy: Annotated[float, Ge(0), Le(1e4)] = 5.0,
        prompt_drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        augment: Sequence[Kind] = (),
        frames: Annotated[int, Ge(1)] = 1,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if frames > 1:
            raise ValueError("a GAN makes images, and this modality is of clips. Choose another model=.")
        self.sampled, self.opponent = Player(generator, prompt), Player(discriminator, copy.deepcopy(prompt))
        self.latent = cast(int, generator.latent)
        self.mean, self.std = mean, std
        self.penalty, self.penalised, self.mismatch, self.energy = penalty, penalised, mismatch, energy
        self.prompt_drop, self.augment, self.sampling = prompt_drop, tuple(augment), sampling or {}

    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.opponent, "generator": self.sampled}

    @property
    def partial(self) -> bool:
        return True  # each loss is one player's

    @property
    def painter(self) -> Player:
        return cast(Player, self.sampled)

    @property
    def critic(self) -> Critic:
        return cast(Critic, self.opponent.network)

    def generated(self, z: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """(batch, latent), a prompt a row -> images in zero mean and unit variance."""
        made: Tensor = self.painter.network(z, self.painter.pooled(prompts))
        return made.float()

    def _drawn(self, prompts: Sequence[Prompt]) -> Tensor:
        """One image a prompt, each of a latent of its own, from the global generator."""
        return self.generated(torch.randn(len(prompts), self.latent, device=self.device), prompts)

    def loss(self, batch: Batch, player: str = "generator") -> dict[str, Tensor]:
        prompts = list(batch.prompts) or [""] * len(batch)
        dropped = (torch.rand(len(batch)) < self.prompt_drop).tolist()
        prompts = ["" if drop else prompt for drop, prompt in zip(dropped, prompts, strict=True)]
        return (self._generators if player == "generator" else self._discriminators)(self.scale(batch.x), prompts)

    def _generators(self, real: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Generated images are to look more real than real ones, and as far from each other as from real ones."""
        fake, pooled = self._drawn(prompts), self.opponent.pooled(prompts)
        with torch.no_grad():
            aim = self._scores(self.critic.features(augmented(real, self.augment)), pooled)
            other = self._drawn(prompts)
        adversarial = F.softplus(aim - self._scores(self.critic.features(augmented(fake, self.augment)), pooled)).mean()
        error, spread = distance(fake, real).mean(), distance(fake, other).mean()
        return {
            "loss": adversarial + self.energy * (error - spread),
            "adversarial": adversarial,
            "energy": error - spread / 2,
        }

    def _discriminators(self, real: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Real images are to look more real than generated ones; the scores tell who leads."""
        with torch.no_grad():
            fake = augmented(self._drawn(prompts), self.augment)
        real, pooled = augmented(real, self.augment), self.opponent.pooled(prompts)
        count = max(1, round(self.penalised * len(real)))
        watched = torch.cat([real[:count], fake[:count]]).requires_grad_()
        features = self.critic.features(watched)
        beside = None if pooled is None else pooled[:count].repeat(2, 1)
        (slope,) = torch.autograd.grad(self._scores(features, beside).sum(), watched, create_graph=True)
        penalty = 2 * slope.square().flatten(1).sum(1).mean()  # R1 and R2
        of_real, of_fake = features.chunk(2)
        if count < len(real):
            others = self.critic.features(torch.cat([real[count:], fake[count:]])).chunk(2)
            of_real, of_fake = torch.cat([of_real, others[0]]), torch.cat([of_fake, others[1]])
        reals, fakes = self._scores(of_real, pooled), self._scores(of_fake, pooled)
        adversarial = F.softplus(fakes - reals).mean()
        mismatch = self._mismatch(of_real, pooled, prompts)
        return {
            "loss": adversarial + self.mismatch * mismatch + self.penalty / 2 * penalty,
            "adversarial": adversarial,
            "mismatch": mismatch,
            "penalty": penalty,
            "real_score": reals.mean(),
            "fake_score": fakes.mean(),
        }

    def _mismatch(self, features: Tensor, pooled: Tensor | None, prompts: Sequence[str]) -> Tensor:
        """How hard it is to find an image's own prompt among those of the batch: a cross-entropy, in nats.

        An image of no prompt is not asked, and has none to be mistaken for; nor is a prompt for itself.
        """
        rows = [row for row, prompt in enumerate(prompts) if prompt]
        if pooled is None or not rows:
            return features.new_zeros(())
        fits = self.critic.fits(features[rows], pooled[rows]).float()
        same = [[one != other and prompts[one] == prompts[other] for other in rows] for one in rows]
        fits = fits.masked_fill(torch.tensor(same, device=fits.device), -torch.inf)
        return F.cross_entropy(fits, torch.arange(len(rows), device=fits.device))

    def _scores(self, features: Tensor, pooled: Tensor | None) -> Tensor:
        return self.critic.scores(features, pooled).float()

    @torch.no_grad()
    def held_out(self, batch: Batch) -> dict[str, Tensor]:
        """How far what is generated is from held-out images: the energy score (Gneiting & Raftery 2007, eq. 22).

        A GAN has no likelihood, and its own scores do not measure quality. But of two images x, x' of a held-out
        image's prompt, ``|x - y| - |x - x'| / 2`` is lowest on average for the very distribution that y comes from:
        neither blur nor always the same image gets there. Distances are root mean squares of pixels, in units of
        the data's deviation: they see what is where in which colour, and little of how sharp it is.

        Returns:
            ``loss``; ``error``, the first distance; ``spread``, the second; ``diversity``, the second divided by the
            first: 1 where images of one prompt differ as much as real ones, 0 where they are all the same.
        """
        real, prompts = self.scale(batch.x), list(batch.prompts) or [""] * len(batch)
        first, second = (self.scale(self.unscale(self._drawn(prompts))) for _ in range(2))
        error = (distance(first, real) + distance(second, real)).mean() / 2
        spread = distance(first, second).mean()
        return {
            "loss": error - spread / 2,
            "error": error,
            "spread": spread,
            "diversity": spread / error.clamp(min=1e-6),
        }

    def complaint(self, held_out: Mapping[str, float]) -> str | None:
        if held_out["diversity"] >= COLLAPSED:
            return None
        return (
            f"images of one prompt differ by {held_out['diversity']:.0%} of what they differ from real ones, less than "
            f"{COLLAPSED:.0%}: they may be collapsing (val_diversity)."
        )

    @torch.inference_mode()
    def stream(self, request: Request, options: AdversarialOptions) -> Iterator[Chunk]:
        """All at once: (batch, channels, height, width) uint8."""
        z = options.truncation * between.noise(request, [self.latent])
        yield Chunk(0, self.unscale(self.generated(z.to(self.device), between.prompts(request))).cpu(), 1.0)

    def sample(self, request: Request, options: AdversarialOptions) -> list[Tensor]:
        return list(next(self.stream(request, options)).x)


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square difference of items, (batch,)."""
    return (one - other).square().flatten(1).mean(1).clamp(min=1e-12).sqrt()  # its slope at 0 would be infinite
