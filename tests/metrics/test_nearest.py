import numpy as np
import pytest
import torch

from genai.metrics.nearest import find_nearest


def test_the_nearest_row_of_all_chunks_is_found() -> None:
    queries, rows = torch.randn(5, 7), torch.randn(40, 7)
    expected, index = torch.cdist(queries, rows).min(1)
    squared, nearest = find_nearest(queries, rows.split(6))
    assert squared.sqrt().numpy() == pytest.approx(expected.numpy(), rel=1e-4)
    assert torch.equal(nearest, rows[index])


def test_no_rows_are_infinitely_far() -> None:
    assert np.isinf(find_nearest(torch.zeros(2, 3), [])[0].numpy()).all()
