"""Biases, constraints and log-probabilities: the same in the native loop and step by step."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genai.core.batch import Chunk, Request
from genai.methods.autoregressive import Autoregressive
from genai.methods.categorical import AutoregressiveOptions
from genai.networks.gpt import GPT

VOCAB, LENGTH = 12, 8


class Alternating:
    """Allows one of two classes, which is the other one after each."""

    def __init__(self, first: int, second: int) -> None:
        self.order = [first, second]

    def allowed(self) -> Tensor:
        return torch.arange(VOCAB) == self.order[0]

    def advance(self, index: int) -> None:
        assert index == self.order[0]
        self.order.reverse()


class AfterEach:
    """Makes the class after the previous one far more probable; counts how often it was asked."""

    def __init__(self, previous: int) -> None:
        self.previous, self.calls = previous, 0

    def bias(self) -> Tensor:
        self.calls += 1
        return 50.0 * (torch.arange(VOCAB) == (self.previous + 1) % VOCAB).float()

    def advance(self, index: int) -> None:
        self.previous = index


@pytest.fixture(params=["native loop", "step by step"])
def method(request: pytest.FixtureRequest) -> Autoregressive:
    torch.manual_seed(0)
    network = GPT(VOCAB, 8, 2, 2, 16, ngram_rows=16).eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    network.has_native_loop = request.param == "native loop"
    return Autoregressive(network).eval()


@pytest.fixture
def request_of_three() -> Request:
    return Request([""] * 3, [0, 1, 2], (LENGTH,), init=[torch.tensor([1]), torch.tensor([2, 3]), torch.tensor([1])])


def new_classes(method: Autoregressive, request: Request, **options: float) -> Tensor:
    assert request.init is not None
    samples = method.sample(request, AutoregressiveOptions(**options))  # type: ignore[arg-type]
    return torch.stack([sample[len(init) :] for sample, init in zip(samples, request.init, strict=True)])


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_forbidden_classes_are_never_sampled(
    method: Autoregressive, request_of_three: Request, temperature: float
) -> None:
    bias = torch.full((VOCAB,), -torch.inf)
    bias[[4, 7]] = 0
    classes = new_classes(method, replace(request_of_three, bias=bias), temperature=temperature)
    assert set(classes.flatten().tolist()) <= {4, 7}


def test_a_bias_is_added_to_the_logits(method: Autoregressive, request_of_three: Request) -> None:
    """With another seed for each of many rows, the odds of a class against another are those of the logits."""
    count = 400
    init = [torch.tensor([1])] * count
    bias = torch.zeros(VOCAB)
    bias[5] = 2.0
    request = Request([""] * count, list(range(count)), (1,), init=init, bias=bias)
    with torch.no_grad():
        expected = (method.network(init[0][None])[0, -1] + bias).softmax(-1)[5]
    share = (new_classes(method, request) == 5).float().mean()
    assert abs(share - expected) < 4 * (expected * (1 - expected) / count).sqrt()


def test_a_constraint_is_asked_after_each_class_of_its_item(method: Autoregressive, request_of_three: Request) -> None:
    constraints = [Alternating(3, 4), Alternating(5, 6), Alternating(0, 9)]
    classes = new_classes(method, replace(request_of_three, constraints=constraints))
    assert classes.tolist() == [[3, 4] * 4, [5, 6] * 4, [0, 9] * 4]


def test_a_constraint_and_a_bias_and_penalties_work_together(method: Autoregressive, request_of_three: Request) -> None:
    bias = torch.zeros(VOCAB)
    bias[3] = 50.0
    request = replace(request_of_three, bias=bias, constraints=[Alternating(3, 4) for _ in range(3)])
    assert new_classes(method, request, repetition_penalty=1.5, presence_penalty=1.0).tolist() == [[3, 4] * 4] * 3


def test_log_probs_are_those_of_the_network(method: Autoregressive, request_of_three: Request) -> None:
    bias = torch.zeros(VOCAB)
    bias[3] = 1.0
    request = replace(request_of_three, bias=bias, log_probs=True, num_classes=VOCAB - 2)
    options = AutoregressiveOptions(temperature=0.7, top_k=5, repetition_penalty=1.2)
    chunks: list[Chunk] = list(method.stream(request, options))
    classes = torch.cat([chunk.x for chunk in chunks], 1)
    log_probs = torch.cat([chunk.log_probs for chunk in chunks if chunk.log_probs is not None], 1)
    assert log_probs.shape == (3, LENGTH, VOCAB - 2)
    assert request.init is not None
    for init, row, measured in zip(request.init, classes, log_probs, strict=True):
        with torch.no_grad():
            logits = method.network(torch.cat([init, row])[None, :-1])[0, len(init) - 1 :, : VOCAB - 2]
        torch.testing.assert_close(measured, logits.log_softmax(-1), atol=2e-5, rtol=0)


def test_log_probs_do_not_change_a_sample(method: Autoregressive, request_of_three: Request) -> None:
    plain = new_classes(method, request_of_three)
    assert new_classes(method, replace(request_of_three, log_probs=True)).equal(plain)
    assert new_classes(method, replace(request_of_three, bias=torch.zeros(VOCAB))).equal(plain)


def test_a_bias_can_depend_on_the_classes_before(method: Autoregressive, request_of_three: Request) -> None:
    biases = [AfterEach(3), AfterEach(7), AfterEach(VOCAB - 1)]
    classes = new_classes(method, replace(request_of_three, class_biases=biases))
    assert classes.tolist() == [[(first + n) % VOCAB for n in range(LENGTH)] for first in (4, 8, 0)]
    assert {each.calls for each in biases} == {LENGTH}


def test_such_a_bias_is_added_to_the_others(method: Autoregressive, request_of_three: Request) -> None:
    biases, rules = [AfterEach(3) for _ in range(3)], [Alternating(4, 6) for _ in range(3)]
    user_bias = torch.zeros(VOCAB).index_fill(0, torch.tensor([5]), -torch.inf)
    both = replace(request_of_three, class_biases=biases, constraints=rules, bias=user_bias)
    assert new_classes(method, both).tolist() == [[4, 6] * (LENGTH // 2)] * 3
    forbidden = replace(request_of_three, class_biases=[AfterEach(4) for _ in range(3)], bias=user_bias)
    assert 5 not in new_classes(method, forbidden).tolist()[0]
