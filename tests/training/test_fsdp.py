"""That a sharded network computes what it did. Several processes: tests/integration/test_distributed.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

from genai.core.batch import Batch
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.methods.diffusion import Diffusion
from genai.methods.scaling import PixelScaling
from genai.networks.gpt import GPT
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet
from genai.training.fsdp import gather_weights, shard


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def text() -> tuple[Method, Batch]:
    network = GPT(vocab_size=9, block=8, layers=2, heads=2, width=8, ngram_rows=16)
    return Autoregressive(network), Batch(torch.arange(18).view(2, 9) % 9, [])


def image() -> tuple[Method, Batch]:
    network = UNet((3, 8, 8), context=8, width=8)
    batch = Batch(torch.arange(384, dtype=torch.uint8).view(2, 3, 8, 8), ["a red circle", ""])
    return Diffusion(network, PromptEncoder(8, 8), PixelScaling()), batch


@pytest.mark.parametrize("make", [text, image])
def test_a_sharded_network_learns_and_samples_as_before(make: object, mesh: DeviceMesh) -> None:
    torch.manual_seed(0)
    method, batch = make()  # type: ignore[operator]
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.1)
    names = list(method.state_dict())

    def gradients() -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        method.loss(batch, "model")["loss"].backward()
        found = {name: parameter.grad for name, parameter in method.named_parameters()}
        method.zero_grad()
        return found

    whole = gradients()
    shard(method.ema_module, mesh)
    assert list(method.state_dict()) == names
    for _ in range(2):
        with gather_weights(method.ema_module), torch.inference_mode():
            assert not any(isinstance(parameter, DTensor) for parameter in method.parameters())
            method.loss(batch, "model")
            assert not any(isinstance(parameter, DTensor) for parameter in method.parameters())
        assert all(isinstance(parameter, DTensor) for parameter in method.parameters())
        for name, gradient in gradients().items():
            torch.testing.assert_close(gradient.full_tensor(), whole[name])  # type: ignore[attr-defined]


def test_a_network_that_is_not_sharded_is_left_alone() -> None:
    module = nn.Linear(2, 2)
    weight = module.weight
    with gather_weights(module):
        assert module.weight is weight
    assert module.weight is weight
