"""A GAN as a method: its losses by hand, which network learns from which, validation and sampling."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Interpolation, Request
from genai.methods.adversarial import Adversarial, AdversarialOptions
from genai.methods.diversity import rms_distance
from genai.methods.scaling import PixelScaling
from genai.networks.gan import Discriminator, Generator
from genai.networks.text_encoder import PromptEncoder

SHAPE = (3, 8, 8)


class Painter(nn.Module):
    """Images of one value each: that of the latent, and a weight."""

    latent = 1

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, z: Tensor, pooled: Tensor | None = None) -> Tensor:
        return (self.gain * z)[:, :, None, None].expand(-1, *SHAPE)


class Judge(nn.Module):
    """Its score is a multiple of the mean of an image, and what the prompt says beside it."""

    def __init__(self, slope: float = 2.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def features(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None]

    def prompt_scores(self, features: Tensor, pooled: Tensor) -> Tensor:
        return features @ pooled.mT

    def scores(self, features: Tensor, pooled: Tensor | None = None) -> Tensor:
        return self.slope * features[:, 0] + (0 if pooled is None else pooled[:, 0] * features[:, 0])


def small(**settings: float) -> Adversarial:
    torch.manual_seed(0)
    generator, discriminator = Generator(SHAPE, 8, latent=4, width=8), Discriminator(SHAPE, 8, width=8)
    return Adversarial(generator, discriminator, PromptEncoder(8), **settings)  # type: ignore[arg-type]


def batch(count: int = 4) -> Batch:
    torch.manual_seed(1)
    prompts = ["a red circle", "a blue square"] * (count // 2)
    return Batch(torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8), prompts)


def test_an_item_that_the_discriminator_scores_higher_has_a_lower_loss() -> None:
    method, images = small(), batch()
    losses = [float(method.item_loss(Batch(images.x[i : i + 1], images.prompts[i : i + 1]))) for i in range(4)]
    scores = method._scores(
        method.discriminator_network.features(method.scaling.scale(images.x)),
        method.discriminator.pooled(images.prompts),
    )
    assert losses == pytest.approx((-scores).tolist(), abs=1e-5) and len(set(losses)) == 4
    assert float(method.item_loss(images)) == pytest.approx(sum(losses) / 4, abs=1e-5)


def normal(count: int) -> Batch:
    """Images of one value each, normal, with a deviation of 1/4 between -1 and 1."""
    values = torch.randn(count, 1, 1, 1).expand(-1, *SHAPE) / 4
    return Batch(((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))


def test_the_losses_by_hand() -> None:
    method = Adversarial(
        Painter(), Judge(2.0), scaling=PixelScaling(0.0, 1.0), penalty=3.0, penalty_fraction=0.5, energy=7.0
    )
    white = Batch(torch.full((4, *SHAPE), 255, dtype=torch.uint8))  # 1 in the units of the networks
    for network_name in ("generator", "discriminator"):
        torch.manual_seed(5)
        losses = {name: value.detach() for name, value in method.loss(white, network_name).items()}
        torch.manual_seed(5)
        torch.rand(4)  # which prompts are dropped
        output, other = torch.randn(4, 1)[:, 0], torch.randn(4, 1)[:, 0]
        fake = 2 * output
        if network_name == "generator":
            error, spread = (output - 1).abs().mean(), (output - other).abs().mean()
            torch.testing.assert_close(losses["adversarial"], F.softplus(2 - fake).mean())
            torch.testing.assert_close(losses["energy"], error - spread / 2)
            torch.testing.assert_close(losses["loss"], losses["adversarial"] + 7 * (error - spread))
        else:
            slope = 4 / 192  # the square of 2 / 192 at each of 192 pixels
            torch.testing.assert_close(losses["penalty"], torch.tensor(2 * slope))
            torch.testing.assert_close(losses["adversarial"], F.softplus(fake - 2).mean())
            torch.testing.assert_close(losses["loss"], losses["adversarial"] + 3 / 2 * 2 * slope)
            assert float(losses["real_score"]) == pytest.approx(2) and float(losses["mismatch"]) == 0


def test_the_energy_score_pulls_samples_of_a_prompt_apart_as_far_as_real_ones_are() -> None:
    torch.manual_seed(0)
    method = Adversarial(painter := Painter(0.02), Judge(0.0), scaling=PixelScaling(0.0, 1.0), energy=1.0)
    optimizer = torch.optim.SGD([painter.gain], 0.03)
    for _ in range(150):
        optimizer.zero_grad()
        method.loss(normal(256), "generator")["loss"].backward()
        optimizer.step()
    assert float(painter.gain.detach()) == pytest.approx(0.25, abs=0.04)


def test_a_share_of_the_penalty_is_the_whole_on_average() -> None:
    whole, part = small(penalty_fraction=1.0, prompt_drop=0.0), small(penalty_fraction=0.25, prompt_drop=0.0)
    examples = batch(64)
    sums = {True: 0.0, False: 0.0}
    for seed in range(20):
        for method in (whole, part):
            torch.manual_seed(seed)
            order = torch.randperm(64)
            mixed = Batch(examples.x[order], [examples.prompts[i] for i in order])
            sums[method is whole] += float(method.loss(mixed, "discriminator")["penalty"].detach())
    assert sums[True] == pytest.approx(sums[False], rel=0.1)


def test_mismatch_is_the_cross_entropy_of_an_images_own_prompt_among_others() -> None:
    method = Adversarial(Painter(), Judge(0.0), scaling=PixelScaling(0.0, 1.0))
    features, pooled = torch.tensor([[1.0], [-1.0], [-1.0], [9.0]]), torch.tensor([[2.0], [-3.0], [-3.0], [7.0]])
    mismatch = method._mismatch_loss(features, pooled, ["a", "b", "b", ""])  # the second and third are of one prompt
    second = F.softplus(torch.tensor(-2.0 - 3.0))
    first = torch.logsumexp(torch.tensor([2.0, -3.0, -3.0]), 0) - 2
    torch.testing.assert_close(mismatch, (first + 2 * second) / 3)
    assert float(method._mismatch_loss(features, pooled, ["a", "", "", ""])) == 0
    assert float(method._mismatch_loss(features, pooled, [""] * 4)) == 0


@pytest.mark.parametrize("network_name", ["generator", "discriminator"])
def test_a_loss_asks_for_gradients_of_its_network(network_name: str) -> None:
    method = small(prompt_drop=0.0)
    for name, module in method.networks().items():
        module.requires_grad_(name == network_name)
    method.loss(batch(), network_name)["loss"].backward()
    reached = {
        name: any(p.grad is not None and p.grad.any() for p in m.parameters()) for name, m in method.networks().items()
    }
    assert reached == {name: name == network_name for name in method.networks()}


def test_the_discriminator_never_learns_through_the_generator() -> None:
    method = small()
    method.loss(batch(), "discriminator")["loss"].backward()
    assert all(parameter.grad is None for parameter in method.ema_module.parameters())


def test_each_network_has_its_own_prompt_encoder() -> None:
    networks = small().networks().values()
    own, others = ({id(p) for p in network_name.parameters()} for network_name in networks)
    assert own and others and not own & others


def test_the_energy_score_is_lowest_for_the_distribution_of_the_data() -> None:
    torch.manual_seed(0)
    data, found = normal(4000), {}
    for gain in (0.0, 0.1, 0.25, 0.5):
        method = Adversarial(Painter(gain), Judge(), scaling=PixelScaling(0.0, 1.0))
        found[gain] = {name: float(value) for name, value in method.validation_loss(data).items()}
    assert min(found, key=lambda gain: found[gain]["loss"]) == 0.25
    assert found[0.25]["diversity"] == pytest.approx(1, abs=0.05)
    assert found[0.0]["diversity"] == pytest.approx(0, abs=1e-4) and found[0.5]["diversity"] > 1.1


def test_collapse_gives_a_warning() -> None:
    method = small()
    assert method.health_warning({"diversity": 0.9}) is None
    assert "10%" in str(method.health_warning({"diversity": 0.1}))


def request(*prompts: str, between: list[Interpolation] | None = None) -> Request:
    return Request(list(prompts), list(range(len(prompts))), SHAPE, interpolation=between)


def test_a_sample_depends_on_its_own_seed_and_prompt() -> None:
    method = small().eval()
    together = method.sample(request("a", "b"), AdversarialOptions())
    (alone,) = method.sample(request("a"), AdversarialOptions())
    assert together[0].dtype == torch.uint8 and together[0].shape == SHAPE
    torch.testing.assert_close(together[0].int(), alone.int(), atol=1, rtol=0)
    assert not torch.equal(together[0], together[1])


def test_truncation_draws_the_latent_in() -> None:
    method = Adversarial(Painter(), Judge(), scaling=PixelScaling(0.0, 1.0))

    def deviation(truncation: float) -> float:
        output = torch.stack(method.sample(request(*["a"] * 64), AdversarialOptions(truncation=truncation)))
        return float((output.float() / 127.5 - 1).std())

    assert deviation(0.0) == pytest.approx(0, abs=1e-6)
    assert 0.2 < deviation(0.25) < 0.3 < deviation(0.5)


def test_between_two_samples_lie_others() -> None:
    method = small().eval()
    targets = [Interpolation("b", 1, share) for share in (0.0, 0.5, 1.0)]
    between_request = Request(["a"] * 3, [0] * 3, SHAPE, interpolation=targets)
    first, middle, last = method.sample(between_request, AdversarialOptions())
    one, other = method.sample(request("a", "b"), AdversarialOptions())
    torch.testing.assert_close(first.int(), one.int(), atol=1, rtol=0)
    torch.testing.assert_close(last.int(), other.int(), atol=1, rtol=0)
    assert not torch.equal(middle, first) and not torch.equal(middle, last)


def test_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="modality is video"):
        Adversarial(Painter(), Judge(), frames=16)


def test_distance_is_of_each_item() -> None:
    one = torch.zeros(2, *SHAPE)
    torch.testing.assert_close(
        rms_distance(one, one + torch.tensor([1.0, 3.0])[:, None, None, None]), torch.tensor([1.0, 3.0])
    )


def test_a_short_training_tells_two_prompts_apart() -> None:
    torch.manual_seed(0)
    method = small(prompt_drop=0.0, penalty=0.5)
    optimizers = {n: torch.optim.Adam(p.parameters(), 3e-3, (0.0, 0.99)) for n, p in method.networks().items()}
    x = torch.zeros(8, *SHAPE, dtype=torch.uint8)
    x[::2] = 255
    for _ in range(60):
        for network_name, optimizer in optimizers.items():
            method.requires_grad_(False)
            method.networks()[network_name].requires_grad_(True)
            optimizer.zero_grad()
            method.loss(Batch(x, ["white", "black"] * 4), network_name)["loss"].backward()
            optimizer.step()
    white, black = method.sample(request("white", "black"), AdversarialOptions())
    assert white.float().mean() > black.float().mean() + 60
