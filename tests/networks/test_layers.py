"""The pieces that several networks share."""

import pytest
import torch
from torch.nn import functional as F

from genai.networks.layers import MAX_EXPLICIT_PAIRS, attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("queries", [1, 16, MAX_EXPLICIT_PAIRS // 32, MAX_EXPLICIT_PAIRS // 32 + 1])
def test_attention_agrees_with_torch(queries: int, masked: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q = torch.randn(2, 3, queries, 8, dtype=dtype)
    k, v = torch.randn(2, 2, 3, 32, 8, dtype=dtype)
    mask = torch.rand(2, 1, 1, 32) < 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = True
    expected = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask)
    attended = attention(q, k, v, mask)
    assert attended.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close(attended.double(), expected, rtol=tolerance, atol=tolerance)
