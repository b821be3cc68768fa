"""Graphs of ONNX are compared with their modules."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genai.core.errors import RunError, UserError
from genai.exchange.onnx_graph import write_graph
from genai.networks.layers import rms_norm

X = {"x": torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))}
FREE = {"x": ["batch"], "y": ["batch"]}


class Product(nn.Module):
    """Operators that torch's exporter does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, 0.5) @ rms_norm(x).mT


class Counter(nn.Module):
    """A module that computes something else each time."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        return x + self.calls


class Unknown(nn.Module):
    """An operator that ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i1e(x)


def test_operators_of_our_own(tmp_path: Path) -> None:
    write_graph(Product(), X, ["y"], tmp_path / "a.onnx", FREE)  # compares


def test_another_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.onnx computes other numbers than the model: they differ by 1"):
        write_graph(Counter(), X, ["y"], tmp_path / "a.onnx", FREE)


def test_a_size_that_no_file_has_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=r"a\.onnx would have 4,000,000,000 bytes, and a graph"):
        write_graph(nn.Linear(1_000_000, 1_000, bias=False), X, ["y"], tmp_path / "a.onnx", FREE)


def test_a_missing_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be exported: .*i1e"):
        write_graph(Unknown(), X, ["y"], tmp_path / "a.onnx", FREE)
