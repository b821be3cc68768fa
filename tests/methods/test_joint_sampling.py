"""Requests that join and leave at any step get the samples that they get alone, whatever else runs."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genai.core.batch import Chunk, Request
from genai.core.errors import NonFiniteOutput, UserError
from genai.methods.autoregressive import Autoregressive
from genai.methods.base import Method
from genai.methods.categorical import AutoregressiveOptions
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.frame_diffusion import FrameDiffusion, FrameDiffusionOptions
from genai.methods.joint_sampling import JointSampling
from genai.methods.scaling import PixelScaling
from genai.networks.gpt import GPT
from genai.networks.text_encoder import PromptEncoder
from genai.networks.unet import UNet

SHAPE = (3, 16, 16)
Case = tuple[Request, Any]


def with_noise(method: Method) -> Method:
    for parameter in method.parameters():
        nn.init.normal_(parameter, std=0.1)
    return method.eval()


def texts() -> tuple[Method, list[Case]]:
    """Prompts of different lengths, with options of every kind."""
    torch.manual_seed(0)
    method = with_noise(Autoregressive(GPT(60, 32, 2, 2, 32, ngram_rows=32)))
    options = [
        AutoregressiveOptions(),
        AutoregressiveOptions(temperature=0.0),
        AutoregressiveOptions(top_k=9, top_p=0.9, min_p=0.01),
        AutoregressiveOptions(repetition_penalty=1.3, presence_penalty=0.5),
    ]
    cases = []
    for seed in range(16):
        prompt = torch.arange(1, 2 + seed % 7) * 11 % 50
        request = Request([""], [seed], (10 + 5 * (seed % 9),), init=[prompt], end_tokens=(3,) if seed % 2 else ())
        if seed % 5 == 4:
            request = replace(request, bias=torch.linspace(-3, 3, 60), log_probs=True)
        cases.append((request, options[seed % 4]))
    return method, cases


def pictures() -> tuple[Method, list[Case]]:
    """Different numbers of steps, samplers, guidance and beginnings."""
    torch.manual_seed(0)
    method = with_noise(Diffusion(UNet(SHAPE, 8, width=16, blocks=1), PromptEncoder(8, 32), PixelScaling()))
    init = torch.randint(0, 256, SHAPE, dtype=torch.uint8)
    mask = torch.rand(SHAPE) < 0.5
    cases = []
    for seed in range(12):
        request = Request([f"prompt {seed % 3}" * (seed % 4)], [seed], SHAPE)
        if seed % 4 == 1:
            request = replace(request, init=[init])
        if seed % 4 == 2:
            request = replace(request, init=[init], init_mask=[mask])
        name: Any = ("euler", "heun", "euler_ancestral", "dpmpp_2m")[seed % 4]
        cases.append((request, DiffusionOptions(steps=3 + seed % 5, sampler=name, guidance=1.0 + seed % 3)))
    return method, cases


def clips() -> tuple[Method, list[Case]]:
    """Clips and single frames, longer than a window too."""
    torch.manual_seed(0)
    network = UNet(SHAPE, 4, 8, width=16, patch=2)
    method = with_noise(FrameDiffusion(network, PromptEncoder(8, 32), PixelScaling(), frames=4, keyframes=2))
    cases = []
    for seed in range(6):
        frames = (4, 6, 3)[seed % 3]
        local = torch.arange(frames)[:, None] / 8
        request = Request([f"{seed}"], [seed], (frames, *SHAPE), local=[local])
        cases.append((request, FrameDiffusionOptions(steps=2 + seed % 2, overlap=1)))
    return method, cases


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable bfloat16, in which samples are computed on machines that are fast at it: the promise is for float32."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


def joined_samples(method: Method, cases: list[Case], order: random.Random) -> tuple[dict[Any, Tensor], int]:
    """Return the samples of requests that begin at random steps, and the largest number of them at once."""
    joint, waiting, most = JointSampling(method), list(enumerate(cases)), 0
    order.shuffle(waiting)
    chunks: dict[Any, list[Chunk]] = {}
    while waiting or len(joint):
        while waiting and order.random() < 0.6:
            number, case = waiting.pop()
            joint.add(number, method.steps(*case))
        most = max(most, len(joint))
        for key, output in joint.step():
            if not isinstance(output, StopIteration):
                chunks.setdefault(key, []).append(output)
    return {key: assemble(parts) for key, parts in chunks.items()}, most


def assemble(chunks: list[Chunk]) -> Tensor:
    """Text grows; a picture is the last one."""
    return torch.cat([chunk.x[0] for chunk in chunks]) if chunks[0].x.ndim == 2 else chunks[-1].x[0]


def until_end(x: Tensor, request: Request) -> Tensor:
    """Cut a text after its first end token: what fills the rest of a chunk depends on the chunk."""
    end = next((place for place, index in enumerate(x.flatten().tolist()) if index in request.end_tokens), None)
    return x if end is None else x[: end + 1]


@pytest.mark.parametrize("make", [texts, pictures, clips], ids=["texts", "pictures", "clips"])
@pytest.mark.parametrize("seed", [0, 1])
def test_requests_get_the_samples_that_they_get_alone(make: Callable[[], tuple[Method, list[Case]]], seed: int) -> None:
    method, cases = make()
    joined, most = joined_samples(method, cases, random.Random(seed))
    assert most > 2
    for number, (request, options) in enumerate(cases):
        alone = assemble(list(method.stream(request, options)))
        assert until_end(joined[number], request).equal(until_end(alone, request)), number


@pytest.mark.parametrize("make", [texts, pictures], ids=["texts", "pictures"])
def test_several_requests_are_one_pass(
    make: Callable[[], tuple[Method, list[Case]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    method, cases = make()
    call_network, sizes = method.call_network, list[int]()

    def counted(inputs: list[Any]) -> list[Any]:
        sizes.append(len(inputs))
        return call_network(inputs)

    monkeypatch.setattr(method, "call_network", counted)
    joint = JointSampling(method)
    for key, case in enumerate(cases[:3]):
        joint.add(key, method.steps(*case))
    joint.step()
    assert not sizes
    joint.step()
    assert sizes == [3]


def test_a_request_can_leave() -> None:
    method, cases = texts()
    joint = JointSampling(method)
    for number in (0, 2, 4):
        joint.add(number, method.steps(*cases[number]))
    for _ in range(2):
        joint.step()
    joint.remove(2)
    chunks: list[Chunk] = []
    while len(joint):
        for key, output in joint.step():
            assert key != 2
            chunks += [output] if key == 4 and isinstance(output, Chunk) else []
    alone = assemble(list(method.stream(*cases[4])))
    assert assemble(chunks).equal(alone[-sum(chunk.x.shape[1] for chunk in chunks) :])
    engine: Any = method.shared_engine
    assert len(engine.free) == len(engine.state.ended) - 1


def test_an_error_ends_its_own_request() -> None:
    method, cases = texts()
    joint = JointSampling(method)
    broken = replace(cases[0][0], constraints=[object()])
    joint.add("broken", method.steps(broken, cases[0][1]))
    joint.add("good", method.steps(*cases[1]))
    results = joint.step()
    assert [key for key, output in results if isinstance(output, Exception)] == ["broken"]
    assert len(joint) == 1


def test_a_model_without_numbers_says_so() -> None:
    method, cases = pictures()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.fill_(float("nan"))
    joint = JointSampling(method)
    joint.add(0, method.steps(*cases[0]))
    outputs = [output for _ in range(3) for _, output in joint.step()]
    assert any(isinstance(output, NonFiniteOutput) for output in outputs)


def test_learned_positions_end_a_text_jointly_too() -> None:
    method: Any = with_noise(Autoregressive(GPT(60, 16, 1, 2, 16, positions="learned", ngrams=1)))
    request = Request([""], [0], (40,), init=[torch.arange(5)])
    options = AutoregressiveOptions()
    alone = assemble(list(method.stream(request, options)))
    joined, _ = joined_samples(method, [(request, options)] * 3, random.Random(0))
    assert len(alone) == 11 and all(sample.equal(alone) for sample in joined.values())
    joint = JointSampling(method)
    joint.add(0, method.steps(replace(request, init=[torch.arange(20)]), options))
    assert isinstance(joint.step()[0][1], UserError)


def test_changed_weights_are_used_by_the_next_request() -> None:
    method, cases = texts()
    joined_samples(method, cases[:2], random.Random(0))
    with torch.no_grad():
        method.network.readout.weight.neg_()  # type: ignore[union-attr, operator]
    joined, _ = joined_samples(method, cases[:2], random.Random(0))
    for number, (request, options) in enumerate(cases[:2]):
        alone = assemble(list(method.stream(request, options)))
        assert until_end(joined[number], request).equal(until_end(alone, request))


def test_a_request_that_fails_at_its_beginning_leaves_no_text() -> None:
    method: Any
    method, cases = texts()
    joined_samples(method, cases[:1], random.Random(0))
    with torch.no_grad():
        method.network.readout.weight.fill_(float("nan"))
    joint = JointSampling(method)
    for number in range(3):
        joint.add(number, method.steps(*cases[0]))
    assert all(isinstance(output, NonFiniteOutput) for _, output in joint.step())
    assert len(method.shared_engine.free) == len(method.shared_engine.state.ended) - 1


def test_a_network_that_fails_ends_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    method, cases = texts()
    joint = JointSampling(method)
    joint.add(0, method.steps(*cases[0]))
    joint.step()

    def fail(inputs: list[Any]) -> list[Any]:
        raise MemoryError

    monkeypatch.setattr(method, "call_network", fail)
    assert [type(output) for _, output in joint.step()] == [MemoryError]
    assert not len(joint)
    joint.remove(0)  # nothing to remove any more
    joint.add(0, method.steps(*cases[0]))
    with pytest.raises(ValueError, match="already"):
        joint.add(0, method.steps(*cases[0]))
