"""The compiled products agree with torch, for every format and tile, and a row has the same bits in any tile."""

from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from genai.networks.native.formats import FORMATS, GROUP, pad_inputs, quantize, round_weights
from genai.networks.native.packing import pack_matrix
from genai.networks.native.products import BLOCK, multiply


def product(kind: int, rows: int, panels: int) -> Any:
    @njit(fastmath=True)
    def run(batch: int, packed: Any, x: Any, sums: Any, y: Any) -> None:
        multiply(kind, rows, panels, batch, packed, 0, x, sums, y)

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_products_agree_with_torch_and_rows_have_the_same_bits_in_any_tile(name: str) -> None:
    torch.manual_seed(0)
    matrix, inputs = torch.randn(5 * BLOCK + 3, 70), torch.randn(4, 70)
    packed, x = pack_matrix(matrix, name).numpy(), pad_inputs(inputs)
    sums = x.unflatten(1, (-1, GROUP)).sum(-1)
    outputs = []
    for rows, panels, batch in ((1, 4, 1), (4, 2, 4), (1, 1, 4)):
        y = np.zeros((batch, 6 * BLOCK), np.float32)
        flat = x[:batch].flatten().numpy()
        product(FORMATS[name], rows, panels)(batch, packed, flat, sums[:batch].flatten().numpy(), y.ravel())
        expected = inputs[:batch].double() @ round_weights(matrix, name).double().T
        torch.testing.assert_close(torch.from_numpy(y[:, : len(matrix)]).double(), expected, rtol=1e-5, atol=1e-5)
        outputs.append(y[0])
    assert all(np.array_equal(output, outputs[0]) for output in outputs)


def test_rounding_keeps_what_is_in_the_format() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(6, 64) * torch.logspace(-3, 2, 6)[:, None]
    for name, bound in (("float32", 0.0), ("bfloat16", 2**-8), ("int8", 1 / 126), ("int4", 1 / 14)):
        rounded = round_weights(matrix, name)
        largest = matrix.unflatten(1, (-1, GROUP)).abs().amax(-1).repeat_interleave(GROUP, 1)
        assert ((rounded - matrix).abs() <= bound * largest + 1e-9).all(), name
        assert round_weights(rounded, name).allclose(rounded, rtol=1e-3), name
    for kind, values in (("int8", 255), ("int4", 16)):
        grouped = quantize(matrix, kind)
        assert grouped.format == kind and len(grouped.values.unique()) <= values
    constant = torch.full((2, 32), 0.3)
    assert round_weights(constant, "int4").allclose(constant, rtol=1e-3)
    assert round_weights(torch.zeros(2, 32), "int8").equal(torch.zeros(2, 32))
