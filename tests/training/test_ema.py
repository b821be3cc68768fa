import copy

import pytest
import torch
from torch import Tensor, nn

from genai.training.ema import create_ema, use_averaged_weights


def moved(module: nn.Module, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def values(module: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_follows_its_formula(decay: float) -> None:
    module = nn.Linear(3, 2, bias=False)
    average = create_ema(module, decay)
    expected = torch.zeros(2, 3)
    for n in range(30):
        moved(module, n)
        average.update_parameters(module)
        keep = min(decay, (1 + n) / (10 + n)) if n else 0.0  # the first is a copy
        expected = keep * expected + (1 - keep) * module.weight.detach()
        torch.testing.assert_close(average.module.weight, expected)


def test_buffers_are_followed_and_those_that_count_are_copied() -> None:
    module = net()
    average = create_ema(module, 0.999)
    for number in range(4):
        module(torch.randn(5, 3, generator=torch.Generator().manual_seed(number)))
        average.update_parameters(module)
    assert average.module[1].num_batches_tracked == 4
    assert not average.module[1].running_mean.equal(module[1].running_mean)
    assert average.module[1].running_mean.abs().sum() > 0


def test_the_average_has_no_gradient_and_is_a_copy() -> None:
    module = net()
    average = create_ema(module, 0.9)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in module.parameters())
    before = values(average.module)
    moved(module, 0)
    assert all(before[name].equal(value) for name, value in average.module.state_dict().items())


@pytest.mark.parametrize("fails", [False, True])
def test_swapping_lends_the_average_and_gives_every_bit_back(fails: bool) -> None:
    module = net()
    average = create_ema(module, 0.5)
    for number in range(3):
        moved(module, number)
        average.update_parameters(module)
    own, theirs = values(module), values(average.module)
    places = [parameter.data_ptr() for parameter in module.parameters()]
    try:
        with use_averaged_weights(module, average):
            assert all(theirs[name].equal(value) for name, value in module.state_dict().items())
            assert all(own[name].equal(value) for name, value in average.module.state_dict().items())
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert all(own[name].equal(value) for name, value in module.state_dict().items())
    assert all(theirs[name].equal(value) for name, value in average.module.state_dict().items())
    assert [parameter.data_ptr() for parameter in module.parameters()] == places
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_shared_weights_stay_shared_in_a_swap() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    average = create_ema(module, 0.9)
    before = module[0].weight.detach().clone()
    average.module[0].weight.fill_(7)
    with use_averaged_weights(module, average):
        assert module[0].weight.eq(7).all() and module[1].weight.eq(7).all()
    assert module[0].weight.equal(before) and module[1].weight is module[0].weight


def test_the_average_goes_on_from_its_state() -> None:
    module, other = net(), net()
    whole, again = create_ema(module, 0.9), create_ema(other, 0.9)
    for number in range(6):
        moved(module, number)
        whole.update_parameters(module)
        if number == 2:
            again.load_state_dict(whole.state_dict())
        if number > 2:
            moved(other, number)
            again.update_parameters(other)
    assert all(value.equal(again.state_dict()[name]) for name, value in whole.state_dict().items())
