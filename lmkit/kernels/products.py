"""Matrix products for recurrent networks: small blocks of rows against weights that were packed once.

A library's product is made for large matrices; here most are 16 rows against a weight matrix, thousands of times a
second. Weights are packed into *panels*, arrays (N / W, K, W) of W columns each, zeros behind the last column, so that
the innermost loop reads them in one stream. One tile of `ROWS` x W sums stays in registers while k runs
(Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication").

The tile is written in LLVM's vectors, because LLVM keeps what Numba's scalars and small arrays hold in memory. Panels
of another width than `WIDTH` are multiplied by plain loops instead: the twin for processors that this one does not
know.

Each element is summed over k in one order, whatever the number of rows: a stream's numbers do not depend on its
company.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lmkit.kernels import kernel, routine

__all__ = ["PLAIN_WIDTH", "SCRATCH", "SPAN", "VECTORS", "WIDTH", "add_outer", "multiply", "pack", "pack_transposed"]

FEATURES = llvm.get_host_cpu_features()
VECTORS = any(FEATURES.get(name) for name in ("avx512f", "avx2", "neon", "asimd"))  # whether the tile pays
LANES = 16 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx2") else 4  # float32 numbers in a vector
ROWS = 6 if LANES == 8 else 8  # of a tile: 12 of AVX2's 16 registers hold sums, 16 of 32 elsewhere
WIDTH = 2 * LANES  # columns of a panel
PLAIN_WIDTH = 64  # columns of a panel for the plain loops
ALONE = 4  # panels side by side where there is one row: eight sums hide the latency of the multiply-adds
DEPTH = 512  # values of k at a time: a tile's part of a panel fits the first-level cache
BLOCK = 96  # rows at a time: their part of A fits the second-level cache
SPAN = 256  # rows at a time of `add_outer`, at most
COLUMNS = 256  # of A at a time: they fit the second-level cache
GROUP = 8  # panels of B that are packed at a time
SCRATCH = SPAN * (COLUMNS + GROUP * WIDTH)  # numbers that `add_outer` needs room for


def _splat(builder, value, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, undefined, zeros)


def _prefetch(builder, pointer):
    i32, i8p = ir.IntType(32), ir.IntType(8).as_pointer()
    function_type = ir.FunctionType(ir.VoidType(), [i8p, i32, i32, i32])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(pointer, i8p), i32(1), i32(3), i32(1)])


def _emit_tile(builder, rows, panels, pointers, strides, depth, bits):
    """Write the code of C[i, v] += sum over k of A[i, k] B[k, v], for so many rows and panels.

    The sums start at zero and C is read at the end: by then it has come from memory (measured: 58 to 91 GFLOP/s where
    it lies there).
    """
    i64 = ir.IntType(64)
    a, b, c = pointers
    a_row, a_step, b_panel, c_row = strides
    element = a.type.pointee
    vector = ir.VectorType(element, LANES)

    def vector_at(base, offset):
        return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

    starts = [builder.gep(a, [builder.mul(a_row, i64(i))]) for i in range(rows)]
    tops = [builder.gep(b, [builder.mul(b_panel, i64(p))]) for p in range(panels)]
    targets = [
        [vector_at(c, builder.add(builder.mul(c_row, i64(i)), i64(v * LANES))) for v in range(2 * panels)]
        for i in range(rows)
    ]
    for row in targets:
        for v in range(0, 2 * panels, 2):
            _prefetch(builder, row[v])
    before, loop, end = builder.block, builder.append_basic_block("tile.k"), builder.append_basic_block("tile.end")
    zero = ir.Constant(vector, [0.0] * LANES)
    builder.cbranch(builder.icmp_signed(">", depth, i64(0)), loop, end)

    builder.position_at_end(loop)
    k = builder.phi(i64)
    sums = [[builder.phi(vector) for _ in range(2 * panels)] for _ in range(rows)]
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{LANES}f{bits}"
    )
    at = builder.mul(k, i64(WIDTH))
    values = [
        builder.load(vector_at(top, builder.add(at, i64(v * LANES))), align=bits // 8) for top in tops for v in (0, 1)
    ]
    added = []
    for i in range(rows):
        factor = _splat(builder, builder.load(builder.gep(starts[i], [builder.mul(k, a_step)])), vector)
        added.append([builder.call(multiply_add, [factor, v, s]) for v, s in zip(values, sums[i], strict=True)])
    after = builder.add(k, i64(1))
    builder.cbranch(builder.icmp_signed("<", after, depth), loop, end)
    k.add_incoming(i64(0), before)
    k.add_incoming(after, loop)

    builder.position_at_end(end)
    totals = [[builder.phi(vector) for _ in range(2 * panels)] for _ in range(rows)]
    for i in range(rows):
        for v in range(2 * panels):
            for phi, block in ((sums[i][v], before), (totals[i][v], before)):
                phi.add_incoming(zero, block)
            for phi in (sums[i][v], totals[i][v]):
                phi.add_incoming(added[i][v], loop)
    for i in range(rows):
        for v in range(2 * panels):
            old = builder.load(targets[i][v], align=bits // 8)
            builder.store(builder.fadd(old, totals[i][v]), targets[i][v], align=bits // 8)


def _tile(panels, most_rows):
    """Make the tile function for 1 to `most_rows` rows against so many neighbouring panels."""

    @intrinsic
    def tile(typingctx, rows, a, a_at, a_row, a_step, b, b_at, b_panel, c, c_at, c_row, depth):
        def codegen(context, builder, signature, args):
            rows, a, a_at, a_row, a_step, b, b_at, b_panel, c, c_at, c_row, depth = args
            types_of = dict(zip("abc", (signature.args[1], signature.args[5], signature.args[8]), strict=True))

            def pointer(name, array, at):
                data = cgutils.create_struct_proxy(types_of[name])(context, builder, value=array).data
                return builder.gep(data, [at])

            pointers = pointer("a", a, a_at), pointer("b", b, b_at), pointer("c", c, c_at)
            bits = types_of["a"].dtype.bitwidth
            done = builder.append_basic_block("tile.done")
            switch = builder.switch(rows, done)
            for n in range(1, most_rows + 1):
                block = builder.append_basic_block(f"tile.{n}")
                switch.add_case(ir.IntType(64)(n), block)
                builder.position_at_end(block)
                _emit_tile(builder, n, panels, pointers, (a_row, a_step, b_panel, c_row), depth, bits)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        n = types.intp
        return types.none(n, a, n, n, n, b, n, n, c, n, n, n), codegen

    return tile


@intrinsic
def _copy_vector(typingctx, target, target_at, source, source_at):
    """Copy LANES numbers from one flat array to another, at any alignment."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), LANES)
        places = []
        for which in (0, 2):
            data = cgutils.create_struct_proxy(signature.args[which])(context, builder, value=args[which]).data
            places.append(builder.bitcast(builder.gep(data, [args[which + 1]]), vector.as_pointer()))
        size = signature.args[0].dtype.bitwidth // 8
        builder.store(builder.load(places[1], align=size), places[0], align=size)
        return context.get_dummy_value()

    return types.none(target, types.intp, source, types.intp), codegen


_tile_of_rows = _tile(1, ROWS)
_tile_of_one_row = _tile(ALONE, 1)


@routine
def plain_tile(c, a, b):
    """Add A B to C for one panel B, (depth, width), in loops that every compiler can vectorise."""
    rows, depth = a.shape
    whole = depth - depth % 4
    for i in range(rows):
        sums = c[i]
        for k in range(0, whole, 4):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            for j in range(sums.size):
                sums[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j])
        for k in range(whole, depth):
            factor, row = a[i, k], b[k]
            for j in range(sums.size):
                sums[j] += factor * row[j]


@routine
def multiply(c, a, b):
    """Add A B to C.

    Parameters
    ----------
    c : array (rows, at least panels * width), sliced in both axes, as all operands are: one type, one compilation
    a : array (rows, depth)
    b : array (panels, depth, width), C-contiguous
    """
    rows, depth = a.shape
    panels, _, width = b.shape
    size = c.itemsize
    a_row, c_row = a.strides[0] // size, c.strides[0] // size
    if width != WIDTH:
        for p in range(panels):
            plain_tile(c[:, p * width : (p + 1) * width], a, b[p])
        return
    for k in range(0, depth, DEPTH):
        deep = min(DEPTH, depth - k)
        for first in range(0, rows, BLOCK):
            count = min(BLOCK, rows - first)
            if count == 1:
                together = panels - panels % ALONE
                for p in range(0, together, ALONE):
                    _tile_of_one_row(
                        1, a, first * a_row + k, a_row, 1, b, (p * depth + k) * WIDTH, depth * WIDTH,
                        c, first * c_row + p * WIDTH, c_row, deep,
                    )  # fmt: skip
                for p in range(together, panels):
                    _tile_of_rows(
                        1, a, first * a_row + k, a_row, 1, b, (p * depth + k) * WIDTH, 0,
                        c, first * c_row + p * WIDTH, c_row, deep,
                    )  # fmt: skip
                continue
            tiles = (count + ROWS - 1) // ROWS  # of nearly the same number of rows
            for p in range(panels):
                row = first
                for i in range(1, tiles + 1):
                    end = first + count * i // tiles
                    _tile_of_rows(
                        end - row, a, row * a_row + k, a_row, 1, b, (p * depth + k) * WIDTH, 0,
                        c, row * c_row + p * WIDTH, c_row, deep,
                    )  # fmt: skip
                    row = end


@routine
def add_outer(c, a, b, scratch):
    """Add A' B to C: a weight's gradient, the sum of outer products over all rows (time steps times streams).

    Parameters
    ----------
    c : array (depth, columns), sliced in both axes
    a : array (rows, depth)
    b : array (rows, columns), columns a multiple of the width of a panel
    scratch : flat array of SCRATCH numbers; of none for the plain loops
    """
    rows, depth = a.shape
    columns = b.shape[1]
    if not scratch.size:
        for r in range(rows):
            plain_outer(c, a[r], b[r])
        return
    c_row, b_row = c.strides[0] // c.itemsize, b.strides[0] // c.itemsize
    spans = (rows + SPAN - 1) // SPAN  # of nearly the same number of rows
    for span in range(spans):
        first = rows * span // spans
        count = rows * (span + 1) // spans - first
        for left in range(0, depth, COLUMNS):
            right = min(left + COLUMNS, depth)
            tiles = (right - left + ROWS - 1) // ROWS
            pack_strips(scratch, a[first : first + count, left:right], tiles)
            for group in range(0, columns, GROUP * WIDTH):
                wide = min(GROUP * WIDTH, columns - group)
                for r in range(count):  # B in panels, a few at a time: its rows are far apart
                    row = (first + r) * b_row + group
                    for q in range(0, wide, WIDTH):
                        at = SPAN * COLUMNS + q * count + r * WIDTH
                        _copy_vector(scratch, at, b, row + q)
                        _copy_vector(scratch, at + LANES, b, row + q + LANES)
                for q in range(0, wide, WIDTH):
                    start = 0
                    for i in range(1, tiles + 1):
                        end = (right - left) * i // tiles
                        n = end - start
                        _tile_of_rows(
                            n, scratch, start * count, 1, n, scratch, SPAN * COLUMNS + q * count, 0,
                            c, (left + start) * c_row + group + q, c_row, count,
                        )  # fmt: skip
                        start = end


@routine
def pack_strips(strips, a, tiles):
    """Write A (rows, columns) in strips as wide as a tile is high: (strip, row, column of the strip).

    Whole vectors are copied; what is too much is written over by the next row of the strip. Where there is none, and
    in the last strip, whose rows may end with the memory, it goes number by number.
    """
    rows, columns = a.shape
    a_row = a.strides[0] // a.itemsize
    start = 0
    for i in range(1, tiles + 1):
        end = columns * i // tiles
        n = end - start
        whole = rows - (LANES + n - 1) // n if end + LANES <= columns else 0
        for r in range(whole):
            for j in range(0, n, LANES):  # with four lanes a strip is two vectors wide
                _copy_vector(strips, start * rows + r * n + j, a, r * a_row + start + j)
        for r in range(max(whole, 0), rows):
            for j in range(n):
                strips[start * rows + r * n + j] = a[r, start + j]
        start = end


@routine
def plain_outer(c, a, b):
    """Add one outer product a b' to C."""
    for k in range(a.size):
        factor, row = a[k], c[k]
        for j in range(b.size):
            row[j] += factor * b[j]


@kernel
def pack(panels, w, first, last):
    """Write the panels `first` to `last` of a matrix (depth, columns) into panels (count, depth, width)."""
    _, depth, width = panels.shape
    for p in range(first, last):
        n = min(width, w.shape[1] - p * width)
        for k in range(depth):
            row = panels[p, k]
            source = w[k, p * width : p * width + n]
            for j in range(n):
                row[j] = source[j]
            for j in range(n, width):
                row[j] = 0


@kernel
def pack_transposed(panels, w, start, first, last):
    """Write the panels `first` to `last` of the transpose of w[:, start : start + depth], w (columns, ...), into
    panels (count, depth, width)."""
    _, depth, width = panels.shape
    for p in range(first, last):
        n = min(width, w.shape[0] - p * width)
        for block in range(0, depth, width):  # a square at a time: rows of w lie on the same lines of the cache
            end = min(block + width, depth)
            for j in range(n):
                row = w[p * width + j, start + block : start + end]
                for k in range(row.size):
                    panels[p, block + k, j] = row[k]
            for k in range(block, end):
                for j in range(n, width):
                    panels[p, k, j] = 0
