"""A matrix product for small batches that stays in registers: LLVM vector code, compiled by numba for the CPU at hand.

numba's own loops would keep their sums in memory. Here a tile of sums, a few vectors of outputs for a few rows of the
batch, is held in registers while the inputs pass by once, so that a row alone runs as fast as weights can be streamed.

numba's cache on disk goes by the time of the file that uses this one: touch ``loop.py`` after a change here.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # what it makes takes no typing context, whatever the signature says
FEATURES = llvm.get_host_cpu_features()
WIDTH = 16 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx") else 4
"""Floats in a vector register."""


def tile(batch: int) -> tuple[int, int, int]:
    """How ``batch`` rows are worked through: (rows, vectors of outputs, inputs) at a time, with eight sums in flight.

    Eight, because a multiply-add takes four cycles and two begin in each.
    """
    if batch > 1:
        return 4, 2, 1
    return (1, 2, 4) if WIDTH == 16 else (1, 4, 2)


@intrinsic(prefer_literal=True)
def accumulate(
    typing: Any, rows: Any, vectors: Any, inputs: Any, batch: Any, weights: Any, start: Any, x: Any, begin: Any, y: Any
) -> tuple[Any, Any]:
    """y = begin + x W, for x (batch * n,), begin and y (batch * m,), W at ``weights[start:]``, (m / block, n, block).

    ``block`` is ``vectors`` times ``WIDTH``; ``rows`` divide batch, ``inputs`` divide n and the block divides m.
    """
    shape = rows.literal_value, vectors.literal_value, inputs.literal_value

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays = [context.make_array(signature.args[i])(context, builder, values[i]) for i in (4, 6, 7, 8)]
        batch, start = values[3], values[5]
        panels = builder.gep(arrays[0].data, [start])
        n, m = (builder.udiv(array.nitems, batch) for array in (arrays[1], arrays[3]))
        _tiles(builder, shape, panels, tuple(array.data for array in arrays[1:]), (batch, n, m))
        return context.get_dummy_value()

    return types.void(rows, vectors, inputs, types.int64, weights, types.int64, x, begin, y), codegen


@intrinsic
def power_of_two(typing: Any, whole: Any) -> tuple[Any, Any]:
    """2 to the power of a whole float32, by way of its exponent's bits."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        exponent = builder.add(builder.fptosi(values[0], ir.IntType(32)), ir.IntType(32)(127))
        return builder.bitcast(builder.shl(exponent, ir.IntType(32)(23)), ir.FloatType())

    return types.float32(types.float32), codegen


@intrinsic
def from_bits(typing: Any, bits: Any) -> tuple[Any, Any]:
    """The float32 of these bits."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(builder.trunc(values[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), codegen


def _tiles(b: Any, shape: tuple[int, int, int], w: Any, data: tuple[Any, ...], sizes: tuple[Any, Any, Any]) -> None:
    """Emit the loops over tiles; those over rows are inside, for a tile's weights are then in the nearest cache."""
    (rows, vectors, _), (x, begin, y), (batch, n, m) = shape, data, sizes
    block = m.type(vectors * WIDTH)
    with cgutils.for_range_slice(b, m.type(0), m, block) as (column, _):
        panel = b.gep(w, [b.mul(column, n)])
        with cgutils.for_range_slice(b, m.type(0), batch, m.type(rows)) as (row, _):
            xs = [b.gep(x, [b.mul(b.add(row, m.type(r)), n)]) for r in range(rows)]
            places = [b.add(column, b.mul(b.add(row, m.type(r)), m)) for r in range(rows)]
            lines = [[b.gep(line, [place]) for place in places] for line in (begin, y)]
            _tile(b, shape, panel, (xs, *lines), n)


def _tile(b: Any, shape: tuple[int, int, int], w: Any, data: tuple[list[Any], ...], n: Any) -> None:
    """Emit one tile: its sums are LLVM values that go round the loop over inputs, so registers."""
    (rows, vectors, inputs), (xs, begins, ys) = shape, data
    vector = ir.VectorType(ir.FloatType(), WIDTH)

    def at(pointer: Any, offset: Any) -> Any:
        return b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())

    places = [(r, v) for r in range(rows) for v in range(vectors)]
    targets = [at(ys[r], n.type(v * WIDTH)) for r, v in places]
    begin = [b.load(at(begins[r], n.type(v * WIDTH)), align=4) for r, v in places]
    begin += [vector(None)] * (len(places) * (inputs - 1))
    before, body, after = b.block, b.append_basic_block("inputs"), b.append_basic_block("sums")
    b.branch(body)
    b.position_at_end(body)
    index = b.phi(n.type)
    sums = [b.phi(vector) for _ in begin]
    new = []
    for i in range(inputs):
        here = b.add(index, n.type(i))
        line = b.gep(w, [b.mul(here, n.type(vectors * WIDTH))])
        loaded = [b.load(at(line, n.type(v * WIDTH)), align=4) for v in range(vectors)]
        scalars = [_everywhere(b, b.load(b.gep(xs[r], [here])), vector) for r in range(rows)]
        new += [
            b.fadd(b.fmul(scalars[r], loaded[v], flags=["contract"]), sums[i * len(places) + k], flags=["contract"])
            for k, (r, v) in enumerate(places)
        ]
    following = b.add(index, n.type(inputs))
    b.cbranch(b.icmp_signed("<", following, n), body, after)
    for phi, first, later in zip([index, *sums], [n.type(0), *begin], [following, *new], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, body)
    b.position_at_end(after)
    for k, target in enumerate(targets):
        total = new[k]
        for i in range(1, inputs):
            total = b.fadd(total, new[i * len(places) + k])
        b.store(total, target, align=4)


def _everywhere(b: Any, scalar: Any, vector: Any) -> Any:
    """A vector of the same number."""
    one = b.insert_element(vector(ir.Undefined), scalar, ir.IntType(32)(0))
    return b.shuffle_vector(one, vector(ir.Undefined), ir.VectorType(ir.IntType(32), WIDTH)(None))
