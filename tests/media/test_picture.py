"""Pictures are checked where they are made."""

from typing import Any

import numpy as np
import pytest
import torch

from genai.media.picture import Picture


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \(3, 8, 8\)"),
        (np.zeros((8, 8), np.uint8), r"uint8 \(8, 8\)"),
        (np.zeros((8, 8, 3)), r"float64 \(8, 8, 3\)"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), r"torch.uint8 \(8, 8, 3\)"),
        ([[[0, 0, 0]]], r"list \(\)"),
    ],
)
def test_other_pixels_are_refused(pixels: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"a picture of {message}: pixels should be"):
        Picture(pixels)
