from typing import Any

import pytest
import torch
from torch import Tensor

from genai.networks.layers import PromptEmbedding, choose_num_heads
from genai.networks.text_encoder import PromptEncoder
from genai.networks.wavenet.gated_stack import GatedStack
from genai.networks.wavenet.model import WaveNet, level_features

CLASSES, HOP, LOCAL, WORDS = 11, 5, 3, 8


def wavenet(**options: Any) -> WaveNet:
    """A small one in float64."""
    torch.manual_seed(0)
    sizes = {"layers": 5, "cycle": 3, "residual": 6, "gate": 8, "skip": 7, "frame": 16, "context": WORDS}
    return WaveNet(CLASSES, HOP, LOCAL, **{**sizes, **options}).double().eval()


def levels(batch: int, time: int, seed: int = 1) -> Tensor:
    return torch.randint(CLASSES, (batch, time), generator=torch.Generator().manual_seed(seed))


def conditioning(batch: int, frames: int) -> dict[str, Any]:
    encoder = PromptEncoder(width=8, word_width=WORDS, rows=64).double()
    context = encoder([f"prompt {'again ' * number}" for number in range(batch)])
    local = torch.randn(batch, frames, LOCAL, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return {
        "local": local,
        "context": PromptEmbedding(*(getattr(context, name) for name in ("pooled", "tokens", "mask"))),
    }


VARIANTS: list[dict[str, Any]] = [{}, {"layers": 1}, {"layers": 7, "cycle": 2}, {"context": None}, {"cycle": 5}]


@pytest.fixture(params=VARIANTS, ids=str)
def network(request: pytest.FixtureRequest) -> WaveNet:
    return wavenet(**request.param)


@torch.no_grad()
@pytest.mark.parametrize("changed", [0, 4, 5, 22])
def test_wavenet_is_causal(network: WaveNet, changed: int) -> None:
    x, condition = levels(2, 23), conditioning(2, 5)
    other = x.clone()
    other[:, changed] = (x[:, changed] + 1) % CLASSES
    before, after = network(x, **condition), network(other, **condition)
    assert before[:, :changed].equal(after[:, :changed])
    assert not before[:, changed].allclose(after[:, changed])
    assert before[:, changed + network.receptive_field :].equal(after[:, changed + network.receptive_field :])


@torch.no_grad()
def test_the_receptive_field_is_exact() -> None:
    network = wavenet()
    x = levels(1, 40)
    other = x.clone()
    other[:, 3] = (x[:, 3] + 1) % CLASSES
    condition = conditioning(1, 8)
    differs = (network(x, **condition) != network(other, **condition)).any(-1)[0].nonzero()
    assert network.receptive_field == 1 + 1 + 2 + 4 + 1 + 2 == int(differs.max()) - 3 + 1


@torch.no_grad()
@pytest.mark.parametrize("prefix", [1, 4, 5, 13, 41])
def test_steps_agree_with_whole_sequences(network: WaveNet, prefix: int) -> None:
    x, condition = levels(3, prefix + 24), conditioning(3, 13)
    whole = network(x, **condition)
    logits, cache = network.prefill(x[:, :prefix], None, 24, **condition)
    assert logits.allclose(whole[:, prefix - 1], atol=1e-12)
    for position in range(prefix, prefix + 24):
        assert network.step(x[:, position], cache).allclose(whole[:, position], atol=1e-12)


@torch.no_grad()
def test_span_conditions_a_crop_like_the_whole_sound() -> None:
    network = wavenet(layers=1, cycle=1)
    x, condition = levels(1, 20), conditioning(1, 4)
    whole = network(x, **condition)
    part = network(x[:, 10:], None, condition["local"][:, 2:], torch.tensor([[2, 4]]), condition["context"])
    assert part[:, network.receptive_field - 1 :].allclose(whole[:, 10 + network.receptive_field - 1 :], atol=1e-12)
    elsewhere = network(x[:, 10:], None, condition["local"][:, 2:], torch.tensor([[1, 4]]), condition["context"])
    assert not elsewhere.allclose(part)


@torch.no_grad()
def test_the_output_depends_on_prompts_and_local_features() -> None:
    network = wavenet()
    torch.nn.init.normal_(network.frames.values.weight)  # type: ignore[union-attr]
    x, condition = levels(2, 10).expand(2, 10), conditioning(2, 2)
    x[1] = x[0]
    same = {**condition, "local": condition["local"][:1].expand(2, -1, -1)}
    assert not network(x, **same)[0].allclose(network(x, **same)[1])
    first = condition["context"]
    twice = PromptEmbedding(
        *(getattr(first, name)[:1].expand(2, *getattr(first, name).shape[1:]) for name in vars(first))
    )
    assert not network(x, **{**condition, "context": twice})[0].allclose(
        network(x, **{**condition, "context": twice})[1]
    )


@torch.no_grad()
def test_centered_kernels_are_symmetric() -> None:
    network = WaveNet(None, HOP, layers=3, residual=6, gate=8, skip=7, frame=None, centered=True).double()
    x = torch.randn(1, 40, dtype=torch.float64)
    other = x.clone()
    other[:, 20] += 1
    differs = (network(x) - network(other)).abs()[0].gt(1e-15).nonzero()
    assert network(x).shape == x.shape
    assert (20 - int(differs.min()), int(differs.max()) - 20) == (7, 7) and network.receptive_field == 15


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("dilations", [[1], [2, 9], [1, 3, 2]], ids=str)
def test_the_backward_pass_agrees_with_finite_differences(centered: bool, dilations: list[int]) -> None:
    torch.manual_seed(0)
    stack = GatedStack(3, 8, 5, dilations, centered).double()
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    names = [name for name, _ in stack.named_parameters()]
    x, biases = (
        torch.randn(2, *shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 3), (3, len(dilations), 8))
    )

    def run(x: Tensor, biases: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(stack, dict(zip(names, weights, strict=True)), (x, biases))

    assert torch.autograd.gradcheck(run, (x, biases, *stack.parameters()))


@pytest.mark.parametrize("options", [{"frame": None}, {"centered": True}, {"gate": 7}, {"patch": 2}], ids=str)
def test_incompatible_arguments_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        wavenet(**options)


def test_prefill_needs_sounds_of_one_length() -> None:
    with pytest.raises(ValueError, match="of one length"):
        wavenet().prefill(levels(2, 9), torch.ones(2, 9, dtype=torch.bool), **conditioning(2, 4))


def test_odd_frame_widths_work() -> None:
    assert wavenet(frame=50, context=None)(levels(1, 10), local=conditioning(1, 2)["local"]).shape == (1, 10, CLASSES)
    assert [choose_num_heads(width, 16) for width in (8, 16, 50, 64, 97)] == [1, 1, 2, 4, 1]


def test_neighboring_levels_start_with_similar_embeddings() -> None:
    features = level_features(256, 32)
    assert features.shape == (256, 32)
    distances = torch.cdist(features, features)
    assert (distances[128, 129:150].diff() > 0).float().mean() > 0.9
