"""Products of a few vectors with a matrix whose weights are float32, bfloat16, int8 or int4: LLVM vector code.

A matrix is stored in panels of ``BLOCK`` outputs, each panel contiguous, so that weights are read once, in order. A
tile, a few rows of the batch by a few panels, keeps its sums in registers. The sum of an output is taken input by
input, whatever the tile: a row has the same bits alone and in a batch.

numba's disk cache goes by the modification time of the file that uses this one: touch ``gpt_loop.py`` after a change.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from genai.networks.native.formats import BFLOAT16, FLOAT32, GROUP, INT4, INT8
from genai.networks.wavenet.matmul import VECTOR_FLOATS

intrinsic: Any = _intrinsic  # decorated functions take no typing context, whatever numba's signature says
BLOCK = 2 * VECTOR_FLOATS
"""Outputs of a panel."""
_FLOAT, _I8, _I16, _I32, _I64, _HALF = (
    ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.HalfType(),
)  # fmt: skip


@intrinsic(prefer_literal=True)
def multiply(
    typing: Any, kind: Any, rows: Any, panels: Any, batch: Any, packed: Any, start: Any, x: Any, sums: Any, y: Any
) -> tuple[Any, Any]:
    """Compute y = x W.

    Args:
        typing: numba's typing context.
        kind: format of the weights.
        rows, panels: the tile. ``rows`` divides batch; the last tile may have fewer panels.
        batch: number of rows.
        packed, start: W is at ``packed[start:]``, a uint8 array; see ``packing.pack_matrix``.
        x: (batch * n,) float32; n is a multiple of ``GROUP``.
        sums: (batch * n / GROUP or more,), the sums of the groups of ``x``; only ``INT4`` reads them.
        y: (batch * m,) float32; m is a multiple of ``BLOCK``.
    """
    shape = kind.literal_value, rows.literal_value, panels.literal_value

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        w, inputs, group_sums, outputs = (
            context.make_array(signature.args[i])(context, builder, values[i]) for i in (4, 6, 7, 8)
        )
        batch, pointer = values[3], builder.gep(w.data, [values[5]])
        n, m = (builder.udiv(array.nitems, batch) for array in (inputs, outputs))
        _Product(builder, *shape, pointer, inputs.data, group_sums.data, outputs.data, batch, n, m).emit()
        return context.get_dummy_value()

    return types.void(kind, rows, panels, types.int64, packed, types.int64, x, sums, y), codegen


class _Product:
    """Emits the loops of a product; the pointers and sizes are values of LLVM."""

    def __init__(
        self, b: Any, kind: int, rows: int, panels: int, w: Any, x: Any, sums: Any, y: Any, batch: Any, n: Any, m: Any
    ) -> None:
        self.b, self.kind, self.rows, self.panels = b, kind, rows, panels
        self.w, self.x, self.sums, self.y, self.batch, self.n, self.m = w, x, sums, y, batch, n, m
        self.vector = ir.VectorType(_FLOAT, VECTOR_FLOATS)
        self.int_vector = ir.VectorType(_I32, VECTOR_FLOATS)
        self.size = self._panel_size()

    def emit(self) -> None:
        b, count = self.b, self.b.udiv(self.m, self.m.type(BLOCK))
        whole = b.mul(b.udiv(count, count.type(self.panels)), count.type(self.panels))
        ranges = [(count.type(0), whole, self.panels), (whole, count, 1)]
        for begin, end, panels in ranges if self.panels > 1 else [(count.type(0), count, 1)]:
            with (
                cgutils.for_range_slice(b, begin, end, count.type(panels)) as (panel, _),
                cgutils.for_range_slice(b, count.type(0), self.batch, count.type(self.rows)) as (row, _),
            ):
                self._tile(panel, panels, row)

    @property
    def group_bytes(self) -> int:
        """Size of a group of a panel: scales, minimums, values."""
        return (2 * BLOCK + GROUP * BLOCK) if self.kind == INT8 else (4 * BLOCK + GROUP // 2 * BLOCK)

    def _panel_size(self) -> Any:
        b, n = self.b, self.n
        if self.kind in (INT8, INT4):
            return b.mul(b.udiv(n, n.type(GROUP)), n.type(self.group_bytes))
        return b.mul(n, n.type({FLOAT32: 4, BFLOAT16: 2}[self.kind] * BLOCK))

    def _tile(self, panel: Any, panels: int, row: Any) -> None:
        """Emit a tile. Its sums are variables on the stack that LLVM keeps in registers."""
        b, zero = self.b, self.vector(None)
        starts = [b.gep(self.w, [b.mul(b.add(panel, panel.type(p)), self.size)]) for p in range(panels)]
        x_rows = [b.gep(self.x, [b.mul(b.add(row, row.type(r)), self.n)]) for r in range(self.rows)]
        cells = [(r, p, v) for r in range(self.rows) for p in range(panels) for v in range(2)]
        totals = {cell: cgutils.alloca_once_value(b, zero) for cell in cells}
        for total in totals.values():
            b.store(zero, total)
        if self.kind in (INT8, INT4):
            self._groups(starts, x_rows, row, totals)
        else:
            with cgutils.for_range(b, self.n) as loop:
                x = [self._broadcast(b.load(b.gep(pointer, [loop.index]))) for pointer in x_rows]
                for p, start in enumerate(starts):
                    for v in range(2):
                        weights = self._weights(start, loop.index, v)
                        for r in range(self.rows):
                            self._add_product(totals[r, p, v], weights, x[r])
        for (r, p, v), total in totals.items():
            value = b.load(total)
            offset = b.add(
                b.mul(b.add(row, row.type(r)), self.m), b.mul(b.add(panel, panel.type(p)), panel.type(BLOCK))
            )
            target = b.gep(self.y, [b.add(offset, offset.type(v * VECTOR_FLOATS))])
            b.store(value, b.bitcast(target, self.vector.as_pointer()), align=4)

    def _weights(self, start: Any, index: Any, v: int) -> Any:
        """Return the weights of vector ``v`` for the input ``index``, as float32."""
        b = self.b
        size = {FLOAT32: 4, BFLOAT16: 2}[self.kind]
        offset = b.add(b.mul(index, index.type(size * BLOCK)), index.type(size * v * VECTOR_FLOATS))
        pointer = b.gep(start, [offset])
        if self.kind == FLOAT32:
            return self._load(pointer, self.vector)
        bits = b.zext(self._load(pointer, ir.VectorType(_I16, VECTOR_FLOATS)), self.int_vector)
        return b.bitcast(b.shl(bits, self._constant(16)), self.vector)

    def _groups(self, starts: list[Any], x_rows: list[Any], row: Any, totals: dict[Any, Any]) -> None:
        """Emit the loop over groups: the sum of a group, then its scale and its minimum."""
        b, zero, inputs = self.b, self.vector(None), 1 if self.kind == INT8 else 2  # of a byte
        groups = b.udiv(self.n, self.n.type(GROUP))
        parts = {cell: cgutils.alloca_once_value(b, zero) for cell in totals}
        with cgutils.for_range(b, groups) as group:
            for part in parts.values():
                b.store(zero, part)
            bases = [b.gep(start, [b.mul(group.index, group.index.type(self.group_bytes))]) for start in starts]
            with cgutils.for_range(b, self.n.type(GROUP // inputs)) as byte:
                first = b.add(b.mul(group.index, group.index.type(GROUP)), b.mul(byte.index, byte.index.type(inputs)))
                x = [
                    [self._broadcast(b.load(b.gep(pointer, [b.add(first, first.type(i))]))) for i in range(inputs)]
                    for pointer in x_rows
                ]
                for p, base in enumerate(bases):
                    for v in range(2):
                        for i, weights in enumerate(self._whole_numbers(base, byte.index, v)):
                            for r in range(self.rows):
                                self._add_product(parts[r, p, v], weights, x[r][i])
            for p, base in enumerate(bases):
                for v in range(2):
                    self._add_group(
                        base, v, [(parts[r, p, v], totals[r, p, v]) for r in range(self.rows)], row, group.index
                    )

    def _whole_numbers(self, base: Any, index: Any, v: int) -> list[Any]:
        """Return the values in byte ``index`` of a group, of vector ``v``, as float32: of one or of two inputs."""
        b, header = self.b, (2 if self.kind == INT8 else 4) * BLOCK
        offset = b.add(b.mul(index, index.type(BLOCK)), index.type(header + v * VECTOR_FLOATS))
        packed = self._load(b.gep(base, [offset]), ir.VectorType(_I8, VECTOR_FLOATS))
        if self.kind == INT8:
            return [b.sitofp(b.sext(packed, self.int_vector), self.vector)]
        bits = b.zext(packed, self.int_vector)
        low, high = b.and_(bits, self._constant(15)), b.lshr(bits, self._constant(4))
        return [b.sitofp(numbers, self.vector) for numbers in (low, high)]

    def _add_group(self, base: Any, v: int, sums: list[tuple[Any, Any]], row: Any, group: Any) -> None:
        """Add the sum of a group to the total of each row."""
        b, half = self.b, ir.VectorType(_HALF, VECTOR_FLOATS)
        groups = b.udiv(self.n, self.n.type(GROUP))
        scale, *minimum = (
            b.fpext(self._load(b.gep(base, [_I64(2 * (k * BLOCK + v * VECTOR_FLOATS))]), half), self.vector)
            for k in range(1 if self.kind == INT8 else 2)
        )
        for r, (part, total) in enumerate(sums):
            self._add_product(total, scale, b.load(part))
            if minimum:
                index = b.add(b.mul(b.add(row, row.type(r)), groups), group)
                self._add_product(total, minimum[0], self._broadcast(b.load(b.gep(self.sums, [index]))))

    def _add_product(self, variable: Any, a: Any, c: Any) -> None:
        b = self.b
        b.store(b.fadd(b.fmul(a, c, flags=["contract"]), b.load(variable), flags=["contract"]), variable)

    def _load(self, pointer: Any, kind: Any) -> Any:
        return self.b.load(self.b.bitcast(pointer, kind.as_pointer()), align=1)

    def _constant(self, value: int) -> Any:
        return self.int_vector([_I32(value)] * VECTOR_FLOATS)

    def _broadcast(self, scalar: Any) -> Any:
        b = self.b
        one = b.insert_element(self.vector(ir.Undefined), scalar, _I32(0))
        return b.shuffle_vector(one, self.vector(ir.Undefined), self.int_vector(None))
