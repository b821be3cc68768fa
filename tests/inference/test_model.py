"""A stream goes on where it was left, however often it is iterated."""

from pathlib import Path

import pytest

import genai
from genai.inference.model import Model
from tests.exchange.test_pretrained import source  # noqa: F401


@pytest.fixture
def model(source: Path) -> Model:  # noqa: F811
    return genai.load(source, device="cpu")


def test_a_second_loop_goes_on(model: Model) -> None:
    expected = model.sample("the", length=12, seed=1)[0]
    stream = model.stream("the", length=12, seed=1)
    parts = [next(iter(stream))[0]]
    parts += [part for (part,) in stream]
    parts += [part for (part,) in stream]
    assert stream.results()[0] == expected
    assert expected.startswith("the" + "".join(parts))
