from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genai.core.batch import Batch, Request
from genai.methods.autoregressive import Autoregressive, left_pad
from genai.methods.categorical import AutoregressiveOptions, UniformSampler, filter_mask, sample_categorical
from genai.networks.gpt import GPT
from genai.networks.text_encoder import PromptEncoder
from genai.networks.wavenet.model import WaveNet

FLAT = AutoregressiveOptions()
PROBABILITIES = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2])


class Fixed(nn.Module):
    """A network that always gives the same logits."""

    chunk = 1

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        return self.logits.expand(*x.shape, -1)

    def prefill(self, x: Tensor, valid: Tensor | None = None, new: int = 1) -> tuple[Tensor, None]:
        return self.logits.expand(len(x), -1), None

    def step(self, x: Tensor, cache: None) -> Tensor:
        return self.logits.expand(len(x), -1)

    def engine(self, *_: Any, **__: Any) -> None:
        return None


@pytest.fixture(scope="module")
def model() -> Autoregressive:
    torch.manual_seed(0)
    network = GPT(vocab_size=12, block=6, layers=2, heads=2, width=16, ngram_rows=64)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return Autoregressive(network).eval()


def request(items: list[list[int]], seeds: list[int], new: int, end: int | None = None) -> Request:
    return Request(
        [""] * len(items),
        seeds,
        (new,),
        init=[torch.tensor(item) for item in items],
        end_tokens=() if end is None else (end,),
    )


def frequencies(logits: Tensor, options: AutoregressiveOptions, count: int = 10_000) -> Tensor:
    """Of each class, at evenly spaced uniform numbers."""
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    drawn = sample_categorical(logits.expand(count, -1), uniform.float(), options)
    return torch.bincount(drawn, minlength=logits.shape[-1]) / count


# ------------------------------------------------------------ drawing


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_classes_come_as_often_as_their_probability_says(temperature: float) -> None:
    logits = PROBABILITIES.log()
    expected = (logits / temperature).softmax(-1)
    options = AutoregressiveOptions(temperature=temperature)
    torch.testing.assert_close(frequencies(logits, options), expected, atol=3e-4, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-38, 1e-10, 1e-5])
def test_no_temperature_takes_the_most_probable(temperature: float) -> None:
    options = AutoregressiveOptions(temperature=temperature)
    logits = torch.tensor([[1.0, 5.0, 3.0], [90.0, -40.0, 89.0]])
    for uniform in (0.0, 0.5, 0.999999):
        assert sample_categorical(logits, torch.full((2,), uniform), options).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 3, 4}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 1e-9}, {1}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.66}, {1, 3, 4}),
        ({"top_p": 0.94}, {1, 2, 3, 4}),
        ({"top_p": 0.96}, {0, 1, 2, 3, 4}),
        ({"min_p": 0.2}, {1, 2, 3, 4}),
        ({"min_p": 0.49}, {1, 3, 4}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 4, "top_p": 0.8, "min_p": 0.6}, {1, 3}),
    ],
)
def test_cuts_leave_the_right_classes_in_proportion(options: dict[str, Any], classes: set[int]) -> None:
    chosen = AutoregressiveOptions(**options)
    keep = filter_mask(PROBABILITIES[None], chosen)[0]
    assert set(keep.nonzero()[:, 0].tolist()) == classes
    expected = PROBABILITIES * keep / (PROBABILITIES * keep).sum()
    torch.testing.assert_close(frequencies(PROBABILITIES.log(), chosen), expected, atol=3e-4, rtol=0)


def test_cuts_are_made_row_by_row() -> None:
    rows = torch.stack([PROBABILITIES, PROBABILITIES.flip(0)])
    assert filter_mask(rows, AutoregressiveOptions(top_p=0.5)).equal(
        torch.stack([filter_mask(row[None], AutoregressiveOptions(top_p=0.5))[0] for row in rows])
    )


@pytest.mark.parametrize("options", [FLAT, AutoregressiveOptions(top_k=2), AutoregressiveOptions(top_p=0.5)])
@pytest.mark.parametrize("last", [0, 1, 49_999])
def test_the_highest_number_draws_a_class_that_can_be(options: AutoregressiveOptions, last: int) -> None:
    """Behind the last class that has any probability there may be thousands that have none."""
    logits = torch.full((1, 50_000), -1e4)
    logits[0, : last + 1] = torch.linspace(0, 1, last + 1)
    for uniform in (0.0, 1 - 2**-24, 1.0):
        drawn = int(sample_categorical(logits, torch.tensor([uniform]), options))
        assert 0 <= drawn <= last


def test_impossible_classes_are_never_drawn() -> None:
    logits = torch.tensor([float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")])
    assert frequencies(logits, FLAT).tolist() == [0, 0.5, 0, 0.5, 0]


@pytest.mark.parametrize("seed", [0, 7, 2**62 - 1])
def test_an_items_numbers_depend_on_its_seed_alone(seed: int) -> None:
    alone, together = UniformSampler([seed], torch.device("cpu")), UniformSampler([3, seed, 5], torch.device("cpu"))
    rows = [(alone.take(count), together.take(count)) for count in (1, 1, 7, 300, 1, 290)]
    assert all(one[0].equal(three[1]) for one, three in rows)
    numbers = torch.cat([one[0] for one, _ in rows])
    assert numbers.equal(UniformSampler([seed], torch.device("cpu")).take(600)[0])
    assert len(numbers.unique()) > 590
    assert 0.45 < numbers.mean() < 0.55


# ------------------------------------------------------------ sampling


@pytest.mark.parametrize(
    "options", [FLAT, AutoregressiveOptions(temperature=0), AutoregressiveOptions(top_k=4, repetition_penalty=1.3)]
)
def test_a_sample_does_not_depend_on_the_batch_around_it(model: Autoregressive, options: AutoregressiveOptions) -> None:
    items, seeds = [[1], [2, 3, 4, 5, 6, 7, 8, 9], [5, 5, 5]], [10, 11, 12]
    together = model.sample(request(items, seeds, 20), options)
    for item, seed, sample in zip(items, seeds, together, strict=True):
        assert model.sample(request([item], [seed], 20), options)[0].equal(sample)
        assert sample[: len(item)].tolist() == item
        assert len(sample) == len(item) + 20


def test_greedy_samples_are_what_forward_says(model: Autoregressive) -> None:
    sample = model.sample(request([[1, 2]], [0], 15), AutoregressiveOptions(temperature=0))[0]
    with torch.no_grad():
        assert model.network(sample[None, :-1])[0, 1:].argmax(-1).equal(sample[2:])


def test_the_same_seed_gives_the_same_and_another_another(model: Autoregressive) -> None:
    state = torch.random.get_rng_state()
    one, again, other = (model.sample(request([[1]], [seed], 30), FLAT)[0] for seed in (0, 0, 1))
    assert one.equal(again)
    assert not one.equal(other)
    assert torch.random.get_rng_state().equal(state), "the global generator is left alone"


def test_an_item_ends_with_its_end_class_and_the_stream_with_the_last_item() -> None:
    method = Autoregressive(Fixed(torch.tensor([0.0, 0.0, 0.0])))
    samples = method.sample(request([[0]] * 6, list(range(6)), 100, end=2), FLAT)
    drawn = [sample[1:].tolist() for sample in samples]
    assert all(set(row[row.index(2) :]) == {2} for row in drawn)
    longest = max(row.index(2) for row in drawn)
    assert {len(row) for row in drawn} == {longest + 1} and longest > 0
    assert len(method.sample(request([[0]], [0], 100), FLAT)[0]) == 101, "without an end it goes on"


def test_the_stream_is_the_sample_class_by_class(model: Autoregressive) -> None:
    chunks = list(model.stream(request([[1], [2, 3]], [0, 1], 5), FLAT))
    ends = [chunk.start + chunk.x.shape[1] for chunk in chunks]
    assert [chunk.start for chunk in chunks] == [0, *ends[:-1]] and ends[-1] == 5
    assert chunks[0].x.shape == (2, 1), "the first one comes at once"
    sample = model.sample(request([[1], [2, 3]], [0, 1], 5), FLAT)
    assert torch.cat([piece.x for piece in chunks], 1)[1].equal(sample[1][2:])


@pytest.mark.parametrize(
    ("logits", "penalty", "expected"),
    [
        ([2.0, 1.9, 0.5, -0.1], 1.0, [0, 0, 0, 0]),
        ([2.0, 1.9, 0.5, -0.1], 1.5, [0, 1, 0, 0]),
        ([2.0, 1.9, 0.5, -0.1], 10.0, [0, 1, 2, 0]),
        ([-1.0, -2.0, -3.0, -8.0], 2.5, [0, 1, 0, 0]),
        ([-1.0, -2.0, -3.0, -8.0], 4.0, [0, 1, 2, 0]),
        ([1.0, 2.0, 0.0, -1.0], 0.5, [1, 1, 1, 1]),
    ],
)
def test_a_repetition_penalty_weakens_what_has_been(logits: list[float], penalty: float, expected: list[int]) -> None:
    """Positive ones are divided by it, negative ones multiplied."""
    method = Autoregressive(Fixed(torch.tensor([*logits, -99.0])))
    options = AutoregressiveOptions(temperature=0, repetition_penalty=penalty)
    assert method.sample(request([[4]], [0], 4), options)[0].tolist() == [4, *expected]


def test_a_repetition_penalty_counts_the_prompt_but_no_padding() -> None:
    method = Autoregressive(Fixed(torch.tensor([2.0, 1.5, -1.0])))
    options = AutoregressiveOptions(temperature=0, repetition_penalty=4.0)
    samples = method.sample(request([[2], [0, 2, 2]], [0, 0], 1), options)
    assert [int(sample[-1]) for sample in samples] == [0, 1]


@pytest.mark.parametrize("lengths", [(3, 3), (1, 4, 2)])
def test_left_padding_ends_together(lengths: tuple[int, ...]) -> None:
    items = [torch.arange(1, length + 1) for length in lengths]
    x, valid = left_pad(items, torch.device("cpu"))
    assert x.shape == (len(items), max(lengths))
    assert (valid is None) == (len(set(lengths)) == 1)
    mask = torch.ones_like(x, dtype=torch.bool) if valid is None else valid
    assert all(row[keep].equal(item) and row[-1] == item[-1] for row, keep, item in zip(x, mask, items, strict=True))


# ------------------------------------------------------------ loss


def test_the_loss_is_cross_entropy_of_the_next_class(model: Autoregressive) -> None:
    x = torch.randint(12, (3, 9), generator=torch.Generator().manual_seed(0))
    logits = model.network(x[:, :-1])
    assert model.loss(Batch(x))["loss"].allclose(F.cross_entropy(logits.transpose(1, 2), x[:, 1:]))

    valid = torch.arange(8) < torch.tensor([[8], [3], [0]])
    targets = x[:, 1:].masked_fill(~valid, -100)
    masked = model.loss(Batch(x, valid=valid))["loss"]
    assert masked.allclose(F.cross_entropy(logits.transpose(1, 2), targets))
    assert not masked.allclose(model.loss(Batch(x))["loss"])


def test_a_batch_of_padding_alone_costs_nothing(model: Autoregressive) -> None:
    loss = model.loss(Batch(torch.zeros(2, 5, dtype=torch.int64), valid=torch.zeros(2, 4, dtype=torch.bool)))["loss"]
    assert loss == 0


@pytest.mark.parametrize("parts", [2, 3])
def test_losses_of_parts_by_weight_make_the_loss_of_the_whole(model: Autoregressive, parts: int) -> None:
    x = torch.randint(12, (4, 9), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(8) < torch.tensor([[8], [8], [8], [3]])
    batch = Batch(x, valid=valid)
    split = batch.split(parts)
    with torch.no_grad():
        mean = sum(model.loss(part)["loss"] * part.weight for part in split) / sum(part.weight for part in split)
        torch.testing.assert_close(mean, model.loss(batch)["loss"])


def test_a_model_is_guided_only_where_it_was_trained_without_prompts_too() -> None:
    network, prompt = WaveNet(16, 4, 0, 1, 1, 4, 4, 4, frame=4, context=8), PromptEncoder(width=8, word_width=8, rows=8)
    assert not hasattr(Autoregressive(network, prompt).Options(), "guidance")
    assert Autoregressive(network, prompt, prompt_drop=0.1).Options().guidance == 1


def test_a_network_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="classes=null"):
        Autoregressive(WaveNet(None, 4, frame=None))


@pytest.mark.peers
@pytest.mark.parametrize(
    ("options", "name", "value"),
    [({"top_k": 5}, "TopKLogitsWarper", 5), ({"top_p": 0.7}, "TopPLogitsWarper", 0.7),
     ({"min_p": 0.2}, "MinPLogitsWarper", 0.2)],
)  # fmt: skip
def test_transformers_keeps_the_same_classes(options: dict[str, float], name: str, value: float) -> None:
    transformers = pytest.importorskip("transformers")
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    filtered = getattr(transformers, name)(value)(torch.zeros(50, 1, dtype=torch.long), logits)
    mask = filter_mask(logits.softmax(-1), AutoregressiveOptions(**options))  # type: ignore[arg-type]
    assert torch.equal(mask, filtered.isfinite()) and not mask.all()
