"""PSNR of known errors, and its limit."""

import math

import pytest
import torch

from genai.methods.psnr import psnr


def test_psnr_of_known_errors_and_its_limit() -> None:
    zeros = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    other = zeros.clone()
    other[1] = 10
    other[2, 0, 0, 0] = 1
    limit = 10 * math.log10(255**2 * 48)
    assert psnr(zeros, other).tolist() == pytest.approx([limit, 28.1308, limit], abs=1e-4)
