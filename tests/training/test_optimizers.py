import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.errors import UserError
from genai.methods.autoregressive import Autoregressive
from genai.networks.gpt import GPT
from genai.networks.layers import Readout
from genai.training.optimizers import MuonAdamW, orthogonalize, parameters_by_kind


class Net(nn.Module):
    """A layer of every kind, matrices tall, wide and square, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.kernel = nn.Conv1d(8, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.up, self.square, self.down = nn.Linear(8, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 8, bias=False)
        self.gain = nn.Parameter(torch.ones(8))
        self.table = nn.Parameter(torch.randn(8, 8))
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.head = Readout(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(self.kernel(self.embedding(x).mT).mT) @ self.table
        return self.head(self.frozen(self.down(self.square(self.up(hidden).relu()).relu())) * self.gain)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bfloat16, which is what Muon multiplies in where a machine is fast at it."""
    monkeypatch.setattr("genai.training.optimizers.fast_bfloat16", lambda device: False)


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def steps(module: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        x = torch.randint(7, (4, 9), generator=torch.Generator().manual_seed(number))
        F.cross_entropy(module(x[:, :-1]).mT, x[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


# ------------------------------------------------------------ groups


def test_parameters_are_sorted_by_kind() -> None:
    module = net()
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    kinds = {kind: {names[id(p)] for p in group} for kind, group in parameters_by_kind(module).items()}
    assert kinds == {
        "matrix": {"kernel.weight", "up.weight", "square.weight", "down.weight"},
        "embedding": {"embedding.weight"},
        "head": {"head.weight", "head.bias"},
        "table": {"table"},
        "other": {"kernel.bias", "norm.weight", "norm.bias", "up.bias", "gain"},
    }


@pytest.mark.parametrize(
    "module",
    [Net(), GPT(11, 4, layers=2, heads=2, width=8), Autoregressive(GPT(5, 4, width=8, ngrams=1)), nn.LSTM(3, 4)],
    ids=lambda module: type(module).__name__,
)
@pytest.mark.parametrize("matrix_lr", [0.02, None])
def test_every_trainable_parameter_is_in_one_group(module: nn.Module, matrix_lr: float | None) -> None:
    grouped = [id(p) for group in MuonAdamW(module, matrix_lr=matrix_lr).param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in module.parameters() if p.requires_grad)


def test_a_shared_weight_is_moved_once() -> None:
    module = net()
    module.head.weight = module.embedding.weight
    optimizer = MuonAdamW(module)
    assert sum(p is module.embedding.weight for group in optimizer.param_groups for p in group["params"]) == 1
    steps(module, optimizer, range(2))


def test_each_kind_has_its_rate_and_decay() -> None:
    optimizer = MuonAdamW(net(), lr=0.1, embedding_lr=0.2, head_lr=0.3, matrix_lr=0.4, weight_decay=0.5)
    rates = [(group["lr"], group["weight_decay"], group["muon"]) for group in optimizer.param_groups]
    assert rates == [(0.2, 0, False), (0.3, 0, False), (0.1, 0.5, False), (0.1, 0, False), (0.4, 0.5, True)]
    optimizer.set_factor(0.5)
    optimizer.set_factor(0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.03, 0.01, 0.01, 0.04])


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 0.95, 0.99)])
def test_betas_are_two(betas: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="should be two numbers"):
        MuonAdamW(net(), betas=betas)


# ------------------------------------------------------------ AdamW


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_without_muon_it_is_torchs_adamw(weight_decay: float) -> None:
    own, theirs = net(), net()
    optimizer = MuonAdamW(
        own, lr=0.01, embedding_lr=0.02, head_lr=0.004, matrix_lr=None, eps=1e-8, weight_decay=weight_decay
    )
    kinds = parameters_by_kind(theirs)
    rates = {"matrix": 0.01, "embedding": 0.02, "head": 0.004, "table": 0.01, "other": 0.01}
    groups = [
        {"params": group, "lr": rates[kind], "weight_decay": weight_decay * (kind in ("matrix", "table"))}
        for kind, group in kinds.items()
    ]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    steps(own, optimizer, range(5))
    steps(theirs, reference, range(5))
    for (name, mine), other in zip(own.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7, msg=name)
    assert not own.up.weight.equal(net().up.weight)


# ------------------------------------------------------------ Muon


def newton_schulz(matrix: Tensor, iterations: int) -> Tensor:
    """The same polynomial, applied to the singular values."""
    u, s, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    for _ in range(iterations):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ s.diag() @ vh


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24), (1, 5), (5, 1)])
@pytest.mark.parametrize("iterations", [1, 3, 5])
def test_orthogonalising_is_a_polynomial_of_the_singular_values(shape: tuple[int, int], iterations: int) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([newton_schulz(matrix, iterations) for matrix in matrices])
    torch.testing.assert_close(orthogonalize(matrices, iterations).double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(32, 32), (64, 16), (16, 64)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_end_near_one(shape: tuple[int, int], scale: float) -> None:
    """Those that begin at 1 / 100 of the largest or more."""
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(2, *shape, generator=generator), full_matrices=False)
    matrices = scale * u @ torch.linspace(1, 0.01, min(shape)).diag() @ vh
    values = torch.linalg.svdvals(orthogonalize(matrices, 6))
    assert values.min() > 0.6 and values.max() < 1.3


def test_a_zero_gradient_stays_zero() -> None:
    assert orthogonalize(torch.zeros(1, 4, 4), 3).equal(torch.zeros(1, 4, 4))


class Matrices(nn.Module):
    """Linear layers and convolutions whose gradients are given."""

    def __init__(self, convolutions: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        linear = [nn.Linear(*shape, bias=False) for shape in ((16, 16), (16, 16), (8, 24), (24, 8))]
        others = [nn.Conv2d(4, 6, 3, bias=False), nn.Conv2d(4, 6, 3, bias=False), nn.Conv1d(2, 9, 3, bias=False)]
        self.layers = nn.ModuleList([*linear, *others[: 3 * convolutions]])

    def differentiate(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        for parameter in self.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("iterations", [3, 5])
def test_muon_follows_its_definition(weight_decay: float, iterations: int) -> None:
    module = Matrices()
    weights = [p.detach().double().clone() for p in module.parameters()]
    weights = [weight.flatten(1) for weight in weights]
    buffers = [torch.zeros_like(weight) for weight in weights]
    optimizer = MuonAdamW(module, matrix_lr=0.1, momentum=0.9, iterations=iterations, weight_decay=weight_decay)
    for number in range(4):
        module.differentiate(number)
        optimizer.step()
        for index, parameter in enumerate(module.parameters()):
            gradient = parameter.grad.double().flatten(1)  # type: ignore[union-attr]
            buffers[index] = 0.9 * buffers[index] + 0.1 * gradient
            update = newton_schulz(0.1 * gradient + 0.9 * buffers[index], iterations)
            rows, columns = update.shape
            weights[index] *= 1 - 0.1 * weight_decay
            weights[index] -= 0.1 * max(1, rows / columns) ** 0.5 * update
    for mine, reference in zip(module.parameters(), weights, strict=True):
        torch.testing.assert_close(mine.flatten(1).double(), reference, atol=1e-4, rtol=1e-4)


def test_muon_is_torchs_muon_within_its_bfloat16() -> None:
    own, theirs, start = (Matrices(convolutions=False) for _ in range(3))  # torch's takes matrices alone
    options: dict[str, Any] = {"momentum": 0.95, "weight_decay": 0.1}
    optimizer = MuonAdamW(own, matrix_lr=0.05, iterations=5, **options)
    reference = torch.optim.Muon(theirs.parameters(), lr=0.05, ns_steps=5, adjust_lr_fn="original", **options)
    for number in range(5):
        for module, moved in ((own, optimizer), (theirs, reference)):
            module.differentiate(number)
            moved.step()
    for mine, other, before in zip(own.parameters(), theirs.parameters(), start.parameters(), strict=True):
        assert (mine - other).norm() < 0.02 * (other - before).norm()


def test_a_parameter_without_gradient_does_not_move() -> None:
    module = Matrices(convolutions=False)
    optimizer = MuonAdamW(module, weight_decay=0.5)
    before = [p.detach().clone() for p in module.parameters()]
    optimizer.step()
    module.differentiate(0)
    module.layers[1].weight.grad = None
    optimizer.step()
    moved = [not p.equal(was) for p, was in zip(module.parameters(), before, strict=True)]
    assert moved == [True, False, True, True]


# ------------------------------------------------------------ state


@pytest.mark.parametrize("matrix_lr", [0.02, None])
def test_a_restored_optimizer_goes_on_bit_by_bit(matrix_lr: float | None) -> None:
    module = net()
    optimizer = MuonAdamW(module, matrix_lr=matrix_lr, weight_decay=0.1)
    steps(module, optimizer, range(3))
    weights, state = copy.deepcopy(module.state_dict()), copy.deepcopy(optimizer.state_dict())
    steps(module, optimizer, range(3, 6))

    again = net(seed=1)
    again.load_state_dict(weights)
    restored = MuonAdamW(again, matrix_lr=matrix_lr, weight_decay=0.1)
    restored.load_state_dict(state)
    steps(again, restored, range(3, 6))
    assert all(mine.equal(other) for mine, other in zip(again.parameters(), module.parameters(), strict=True))


def test_the_state_is_plain(tmp_path: Path) -> None:
    module = net()
    optimizer = MuonAdamW(module, betas=[0.8, 0.9])
    steps(module, optimizer, range(1))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["param_groups"][0]["betas"] == (0.8, 0.9)


def test_rates_are_those_of_the_new_command_line() -> None:
    old, new = MuonAdamW(net(), lr=0.5, matrix_lr=0.5), MuonAdamW(net(), lr=0.1, matrix_lr=0.2, weight_decay=0.3)
    old.set_factor(0.01)
    new.load_state_dict(old.state_dict())
    assert [group["lr"] for group in new.param_groups] == [0.02, 0.004, 0.1, 0.1, 0.2]
    assert new.param_groups[-1]["weight_decay"] == 0.3
    new.set_factor(1)
    assert new.param_groups[-1]["lr"] == 0.2


@pytest.mark.parametrize("rates", [(None, 0.02), (0.02, None)])
def test_the_state_of_another_kind_is_refused(rates: tuple[float | None, float | None]) -> None:
    mine, other = (MuonAdamW(net(), matrix_lr=rate) for rate in rates)
    with pytest.raises(UserError, match="trained with another optimizer"):
        mine.load_state_dict(other.state_dict())


def test_a_closure_can_differentiate() -> None:
    module = Matrices()
    optimizer = MuonAdamW(module)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((p.square().sum() for p in module.parameters()), torch.zeros(()))
        loss.backward()
        return loss.detach()

    losses = [float(optimizer.step(closure)) for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, {"lr": 0.02, "lr_adamw": 0.01, "lr_head": 0.004}),
        ({"matrix_lr": 0.1}, {"lr": 0.1, "lr_adamw": 0.01, "lr_embedding": 0.02, "lr_head": 0.004}),
        ({"matrix_lr": 0.001}, {"lr": 0.02, "lr_adamw": 0.01, "lr_head": 0.004, "lr_muon": 0.001}),
        ({"matrix_lr": None}, {"lr": 0.02, "lr_adamw": 0.01, "lr_head": 0.004}),
        ({"lr": 0.003, "embedding_lr": 0.003, "head_lr": 0.003, "matrix_lr": None}, {"lr": 0.003}),
        ({"lr": 0.02, "head_lr": 0.02}, {"lr": 0.02}),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_rates_that_differ_from_the_largest_are_named(
    rates: dict[str, Any], expected: dict[str, float], factor: float
) -> None:
    optimizer = MuonAdamW(Net(), **rates)
    optimizer.set_factor(factor)
    assert optimizer.rates() == pytest.approx({name: factor * rate for name, rate in expected.items()})


@pytest.mark.parametrize("matrix_lr", [None, 0.02])
def test_a_step_is_seen_by_what_depends_on_the_weights(matrix_lr: float | None) -> None:
    module = nn.Linear(4, 4)
    optimizer = MuonAdamW(module, matrix_lr=matrix_lr)
    module(torch.ones(1, 4)).sum().backward()
    versions = [parameter._version for parameter in module.parameters()]
    optimizer.step()
    assert all(p._version > version for p, version in zip(module.parameters(), versions, strict=True))
