"""Diversity of samples on hand-made numbers."""

import pytest
import torch

from genai.methods.diversity import group_diversity


def test_samples_that_differ_as_real_data_do_have_the_diversity_1() -> None:
    groups = torch.tensor([[[0.0, 2.0], [2.0, 0.0]]])  # distance 2
    assert group_diversity(groups, torch.tensor([[2.0, 2.0]])).item() == pytest.approx(2 / 2**0.5)
    torch.manual_seed(0)
    assert group_diversity(torch.randn(4, 8, 1000), torch.randn(4, 1000)).item() == pytest.approx(1, abs=0.01)


def test_equal_samples_have_none() -> None:
    groups = torch.randn(2, 1, 9).expand(2, 4, 9)
    assert group_diversity(groups, torch.randn(2, 9)) < 1e-5
