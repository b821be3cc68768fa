"""Matrix products for small batches that keep their sums in registers: LLVM vector code, compiled by numba.

numba's own loops would keep their sums in memory. Here a tile of sums (a few vectors of outputs for a few rows of the
batch) stays in registers while the inputs stream past once, so that a single row runs as fast as weights can be read.

numba's disk cache goes by the modification time of the file that uses this one: touch ``loop.py`` after a change here.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # decorated functions take no typing context, whatever numba's signature says
CPU_FEATURES = llvm.get_host_cpu_features()
VECTOR_FLOATS = 16 if CPU_FEATURES.get("avx512f") else 8 if CPU_FEATURES.get("avx") else 4
"""Floats in a vector register."""


def tile_shape(batch: int) -> tuple[int, int, int]:
    """Return the tile for ``batch`` rows: (rows, vectors of outputs, inputs) at a time, with eight sums in flight.

    Eight, because a multiply-add takes four cycles and two start in each cycle.
    """
    if batch > 1:
        return 4, 2, 1
    return (1, 2, 4) if VECTOR_FLOATS == 16 else (1, 4, 2)


@intrinsic(prefer_literal=True)
def accumulate(
    typing: Any, rows: Any, vectors: Any, inputs: Any, batch: Any, weights: Any, start: Any, x: Any, begin: Any, y: Any
) -> tuple[Any, Any]:
    """Compute y = begin + x W.

    Args:
        typing: numba's typing context.
        rows, vectors, inputs: the tile; a block is ``vectors * VECTOR_FLOATS`` outputs. ``rows`` divides batch,
            ``inputs`` divides n, and the block divides m.
        batch: number of rows.
        weights, start: W is at ``weights[start:]``, as (m / block, n, block).
        x: (batch * n,).
        begin, y: (batch * m,); they may be the same array.
    """
    shape = rows.literal_value, vectors.literal_value, inputs.literal_value

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays = [context.make_array(signature.args[i])(context, builder, values[i]) for i in (4, 6, 7, 8)]
        batch, start = values[3], values[5]
        panels = builder.gep(arrays[0].data, [start])
        n, m = (builder.udiv(array.nitems, batch) for array in (arrays[1], arrays[3]))
        _emit_tile_loops(builder, shape, panels, tuple(array.data for array in arrays[1:]), (batch, n, m))
        return context.get_dummy_value()

    return types.void(rows, vectors, inputs, types.int64, weights, types.int64, x, begin, y), codegen


@intrinsic
def power_of_two(typing: Any, whole: Any) -> tuple[Any, Any]:
    """Return 2 to the power of an integral float32, by writing the bits of its exponent."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        exponent = builder.add(builder.fptosi(values[0], ir.IntType(32)), ir.IntType(32)(127))
        return builder.bitcast(builder.shl(exponent, ir.IntType(32)(23)), ir.FloatType())

    return types.float32(types.float32), codegen


@intrinsic
def from_bits(typing: Any, bits: Any) -> tuple[Any, Any]:
    """Return the float32 that has these bits."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(builder.trunc(values[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), codegen


def _emit_tile_loops(
    b: Any, shape: tuple[int, int, int], w: Any, data: tuple[Any, ...], sizes: tuple[Any, Any, Any]
) -> None:
    """Emit the loops over tiles. The loop over rows is the inner one: a tile's weights are then in the L1 cache."""
    (rows, vectors, _), (x, begin, y), (batch, n, m) = shape, data, sizes
    block = m.type(vectors * VECTOR_FLOATS)
    with cgutils.for_range_slice(b, m.type(0), m, block) as (column, _):
        panel = b.gep(w, [b.mul(column, n)])
        with cgutils.for_range_slice(b, m.type(0), batch, m.type(rows)) as (row, _):
            x_rows = [b.gep(x, [b.mul(b.add(row, m.type(r)), n)]) for r in range(rows)]
            offsets = [b.add(column, b.mul(b.add(row, m.type(r)), m)) for r in range(rows)]
            begin_rows, y_rows = ([b.gep(array, [offset]) for offset in offsets] for array in (begin, y))
            _emit_tile(b, shape, panel, (x_rows, begin_rows, y_rows), n)


def _emit_tile(b: Any, shape: tuple[int, int, int], w: Any, data: tuple[list[Any], ...], n: Any) -> None:
    """Emit one tile. Its sums are LLVM values that are carried through the loop over inputs, hence registers."""
    (rows, vectors, inputs), (x_rows, begin_rows, y_rows) = shape, data
    vector = ir.VectorType(ir.FloatType(), VECTOR_FLOATS)

    def vector_at(pointer: Any, offset: Any) -> Any:
        return b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())

    cells = [(r, v) for r in range(rows) for v in range(vectors)]
    targets = [vector_at(y_rows[r], n.type(v * VECTOR_FLOATS)) for r, v in cells]
    initial = [b.load(vector_at(begin_rows[r], n.type(v * VECTOR_FLOATS)), align=4) for r, v in cells]
    initial += [vector(None)] * (len(cells) * (inputs - 1))
    before, body, after = b.block, b.append_basic_block("inputs"), b.append_basic_block("sums")
    b.branch(body)
    b.position_at_end(body)
    index = b.phi(n.type)
    sums = [b.phi(vector) for _ in initial]
    new_sums = []
    for i in range(inputs):
        position = b.add(index, n.type(i))
        row = b.gep(w, [b.mul(position, n.type(vectors * VECTOR_FLOATS))])
        weights = [b.load(vector_at(row, n.type(v * VECTOR_FLOATS)), align=4) for v in range(vectors)]
        x_vectors = [_broadcast(b, b.load(b.gep(x_rows[r], [position])), vector) for r in range(rows)]
        new_sums += [
            b.fadd(b.fmul(x_vectors[r], weights[v], flags=["contract"]), sums[i * len(cells) + k], flags=["contract"])
            for k, (r, v) in enumerate(cells)
        ]
    next_index = b.add(index, n.type(inputs))
    b.cbranch(b.icmp_signed("<", next_index, n), body, after)
    for phi, first, later in zip([index, *sums], [n.type(0), *initial], [next_index, *new_sums], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, body)
    b.position_at_end(after)
    for k, target in enumerate(targets):
        total = new_sums[k]
        for i in range(1, inputs):
            total = b.fadd(total, new_sums[i * len(cells) + k])
        b.store(total, target, align=4)


def _broadcast(b: Any, scalar: Any, vector: Any) -> Any:
    """Return a vector whose elements are all ``scalar``."""
    one = b.insert_element(vector(ir.Undefined), scalar, ir.IntType(32)(0))
    return b.shuffle_vector(one, vector(ir.Undefined), ir.VectorType(ir.IntType(32), VECTOR_FLOATS)(None))
