import numpy as np
import pytest
import torch

from genai.metrics.frechet import frechet_result


def features(count: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(count)) * torch.arange(1, 5) + shift


def test_it_needs_twice_as_many_samples_as_features() -> None:
    assert frechet_result(features(7), features(40), 0, "x").value is None
    assert frechet_result(features(8), features(15), 0, "x").value is None
    assert frechet_result(features(8), features(40), 0, "x").value is not None


def test_other_samples_are_farther_away() -> None:
    near, far = (frechet_result(features(100, shift), features(400), 0, "x") for shift in (0.0, 3.0))
    assert near.reference == far.reference and near.value < far.value  # type: ignore[operator]
    assert far.value == pytest.approx(4 * 3**2, rel=0.2)


@pytest.mark.peers
def test_it_is_the_distance_that_scipy_computes() -> None:
    """Heusel et al. 2017, arXiv:1706.08500, eq. 6."""
    linalg = pytest.importorskip("scipy.linalg")
    samples, real = features(50, 1.0).double(), features(100).double()
    order = torch.from_numpy(np.random.default_rng(3).permutation(100))
    a, b = samples.numpy(), real[order[:50]].numpy()
    covariances = np.cov(a.T), np.cov(b.T)
    trace = np.trace(covariances[0] + covariances[1] - 2 * linalg.sqrtm(covariances[0] @ covariances[1]).real)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + trace
    assert frechet_result(samples, real, 3, "x").value == pytest.approx(expected, rel=1e-6)
