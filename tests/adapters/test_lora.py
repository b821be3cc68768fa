"""LoRA layers: they start as the layer that they change, are the same function merged, and train nothing else."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.adapters.lora import LoRA, adapted_layers, merge_adapters
from genai.core.errors import UserError
from genai.networks.gpt import GPT
from genai.networks.layers import Readout
from genai.networks.wavenet.gated_stack import GatedStack


class OwnForward(nn.Linear):
    """A layer that reads its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T * 2


LAYERS: dict[str, tuple[nn.Module, Tensor]] = {
    "linear": (nn.Linear(6, 5), torch.randn(2, 3, 6)),
    "linear without bias": (nn.Linear(6, 5, bias=False), torch.randn(2, 6)),
    "convolution in time": (nn.Conv1d(3, 5, 3, padding=1), torch.randn(2, 3, 9)),
    "convolution": (nn.Conv2d(3, 5, 3, stride=2, padding=1, padding_mode="circular"), torch.randn(2, 3, 8, 8)),
    "convolution of clips": (nn.Conv3d(3, 5, (1, 3, 3), padding=(0, 1, 1)), torch.randn(2, 3, 2, 6, 6)),
    "embedding": (nn.Embedding(7, 5), torch.arange(7)),
    "own forward pass": (OwnForward(6, 5), torch.randn(2, 6)),
}


def filled(module: nn.Module) -> None:
    """Give the changes random values; they start as zeros."""
    for _, layer in adapted_layers(module):
        nn.init.normal_(layer.lora.B, std=0.3)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_starts_as_it_was_and_is_the_same_function_merged(kind: str) -> None:
    layer, x = copy.deepcopy(LAYERS[kind])
    module = nn.Sequential(layer)
    before, state = module(x), {name: value.clone() for name, value in module.state_dict().items()}
    LoRA(rank=2, alpha=3.0, targets=["0"]).attach(module)
    assert module(x).equal(before)
    filled(module)
    changed = module(x)
    assert not changed.allclose(before)
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ["0.lora.A", "0.lora.B"]
    assert all(module.state_dict()[name].equal(value) for name, value in state.items())
    delta = layer.weight - state["0.weight"]
    rank = torch.linalg.matrix_rank(delta.detach().flatten(1))
    assert rank == 2
    merge_adapters(module)
    assert type(module[0]) is type(LAYERS[kind][0]) and module.state_dict().keys() == state.keys()
    torch.testing.assert_close(module(x), changed)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_half_of_a_change_is_merged() -> None:
    module = nn.Sequential(nn.Linear(4, 4))
    before = module[0].weight.detach().clone()
    LoRA(rank=1).attach(module)
    filled(module)
    change = (module[0].weight - before).detach()
    merge_adapters(module, 0.5)
    torch.testing.assert_close(module[0].weight.detach(), before + 0.5 * change)


def test_only_the_factors_get_gradients_also_where_a_network_reads_weights() -> None:
    for module, x in (
        (GPT(20, 8, layers=1, heads=2, width=16), torch.randint(0, 20, (2, 8))),
        (GatedStack(4, 8, 4, (1, 2)), torch.randn(2, 6, 4)),
    ):
        LoRA(rank=2).attach(module)
        filled(module)
        output = module(x, None) if isinstance(module, GatedStack) else module(x)
        output.square().sum().backward()
        for name, parameter in module.named_parameters():
            assert (parameter.grad is not None) == (".lora." in name), name
            assert parameter.grad is None or parameter.grad.abs().sum() > 0, name


def test_dropout_is_for_training_and_for_the_change_alone() -> None:
    module = nn.Sequential(nn.Linear(50, 5))
    LoRA(rank=2, dropout=0.5).attach(module)
    filled(module)
    x = torch.randn(3, 50)
    assert not module(x).equal(module(x))
    module.eval()
    assert module(x).equal(module(x))


def names(targets: Any) -> list[str]:
    torch.manual_seed(0)
    network = GPT(20, 8, layers=2, heads=2, width=16)
    LoRA(targets=targets).attach(network)
    return [name for name, _ in adapted_layers(network)]


def test_targets_are_ends_of_names_or_patterns() -> None:
    every = [f"blocks.{index}.{layer}" for index in (0, 1) for layer in ("qkv", "attention_out", "up", "down")]
    assert names(None) == every
    assert names(["qkv"]) == ["blocks.0.qkv", "blocks.1.qkv"]
    assert names(["1.up", "readout", "embedding"]) == ["embedding", "blocks.1.up", "readout"]
    assert names(["blocks.0.*"]) == every[:4]
    with pytest.raises(UserError, match=r"no layer 'q_proj'.*It has: .*embedding, qkv, readout, up"):
        names(["q_proj"])


def test_readouts_and_shared_weights_are_left_alone() -> None:
    with pytest.raises(UserError, match="no layer to adapt"):
        LoRA().attach(nn.Sequential(Readout(4, 4), nn.Embedding(4, 4), nn.Conv2d(4, 4, 3, groups=2)))
    with pytest.raises(UserError, match="embedding shares its weight with readout"):
        LoRA(targets=["embedding"]).attach(GPT(20, 8, layers=1, heads=2, width=16, tied=True))


def test_a_copy_is_independent() -> None:
    module = nn.Sequential(nn.Linear(4, 4))
    LoRA(rank=1).attach(module)
    other = copy.deepcopy(module)
    filled(module)
    assert not module(torch.ones(1, 4)).equal(other(torch.ones(1, 4)))


def test_a_layer_whose_weight_is_computed_is_left_alone() -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    LoRA(rank=2).attach(module)
    assert [name for name, _ in adapted_layers(module)] == ["1"]
    with pytest.raises(UserError, match="the model has no layer '0'"):
        LoRA(rank=2, targets=["0"]).attach(module)
