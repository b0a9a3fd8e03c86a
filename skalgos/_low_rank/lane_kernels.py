"""Products with four rows at a time, in vectors of 64 bytes.

Rows are runs of a flat array, ``stride`` apart, and lengths are multiples of the number
of lanes. Compilers vectorise such loops only behind checks that their arrays do not
overlap, which cost more than the loops; so the vectors are spelled out in LLVM IR,
which every target lowers to what it has. The plain loops compute the same, up to the
order of sums, and serve where compilation is off.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skalgos._jit import SIMD, helper

#: A length is a multiple of this many bytes.
WIDTH = 64

#: Rows of a tile of a Gram matrix: they stay in registers.
TILE_ROWS = 8

_FUSED = ("contract",)


def _vector(context, dtype):
    return ir.VectorType(context.get_data_type(dtype), WIDTH * 8 // dtype.bitwidth)


class _Access:
    """Loads and stores of vectors of one type."""

    def __init__(self, context, builder, dtype):
        self.context, self.builder = context, builder
        self.type = _vector(context, dtype)
        self.align = context.get_abi_sizeof(self.type.element)
        self.zero = ir.Constant(
            self.type, [ir.Constant(self.type.element, 0.0)] * self.type.count
        )

    def data(self, array_type, array):
        return self.context.make_array(array_type)(
            self.context, self.builder, array
        ).data

    def pointer(self, data, offset):
        builder = self.builder
        return builder.bitcast(builder.gep(data, [offset]), self.type.as_pointer())

    def load(self, data, offset):
        value = self.builder.load(self.pointer(data, offset))
        value.align = self.align
        return value

    def store(self, value, data, offset):
        self.builder.store(value, self.pointer(data, offset)).align = self.align

    def splat(self, scalar):
        builder, vector = self.builder, self.type
        index = ir.Constant(ir.IntType(32), 0)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, index)
        everywhere = ir.VectorType(ir.IntType(32), vector.count)
        mask = ir.Constant(everywhere, [0] * vector.count)
        return builder.shuffle_vector(first, first, mask)

    def shuffle(self, a, b, lanes):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, mask)

    def folded(self, value, count):
        """Return the sums of the lanes whose numbers are equal modulo ``count``."""
        n = self.type.count
        while n > count:
            n //= 2
            low = self.shuffle(value, value, list(range(n)))
            high = self.shuffle(value, value, list(range(n, 2 * n)))
            value = self.builder.fadd(low, high)
        return value

    def merged(self, a, b, run):
        """Return sums of two lanes each, in turn ``run`` of a and ``run`` of b.

        No lane leaves its block of 16 bytes: such shuffles take one cycle.
        """
        n = self.type.count
        half = n * 8 // WIDTH
        parts = []
        for first in (0, half):
            lanes = []
            for block in range(first, n, 2 * half):
                for at in range(block, block + half, run):
                    lanes += [*range(at, at + run), *range(n + at, n + at + run)]
            parts.append(self.shuffle(a, b, lanes))
        return self.builder.fadd(*parts)

    def totals(self, values):
        """Return the sums of the lanes of four vectors."""
        a, b, c, d = values
        vectors = [self.merged(a, b, 1), self.merged(c, d, 1)]
        if self.type.count * 4 == WIDTH:  # four lanes in a block
            vectors = [self.merged(*vectors, 2)]
        each = 4 // len(vectors)
        return [
            self.builder.extract_element(total, ir.Constant(ir.IntType(32), lane))
            for total in (self.folded(vector, each) for vector in vectors)
            for lane in range(each)
        ]

    def blocks(self, length):
        """Loop over the offsets of the vectors of a run."""
        step = ir.Constant(length.type, self.type.count)
        start = ir.Constant(length.type, 0)
        return cgutils.for_range_slice(self.builder, start, length, step)

    def starts(self, at, stride):
        """Return the offsets of four rows."""
        found = [at]
        for _ in range(3):
            found.append(self.builder.add(found[-1], stride))
        return found


@intrinsic
def _dot4(typingctx, B, at, stride, x, x_at, length):
    def codegen(context, builder, signature, args):
        access = _Access(context, builder, signature.args[0].dtype)
        rows = access.data(signature.args[0], args[0])
        vector = access.data(signature.args[3], args[3])
        starts = access.starts(args[1], args[2])
        sums = [cgutils.alloca_once_value(builder, access.zero) for _ in range(4)]
        with access.blocks(args[5]) as (offset, _):
            xs = access.load(vector, builder.add(args[4], offset))
            for start, total in zip(starts, sums, strict=True):
                product = builder.fmul(
                    access.load(rows, builder.add(start, offset)), xs, flags=_FUSED
                )
                builder.store(
                    builder.fadd(builder.load(total), product, flags=_FUSED), total
                )
        totals = access.totals([builder.load(total) for total in sums])
        return context.make_tuple(builder, signature.return_type, totals)

    i = types.int64
    return types.UniTuple(B.dtype, 4)(B, i, i, x, i, i), codegen


@intrinsic
def _axpy4(typingctx, B, at, stride, s0, s1, s2, s3, out, out_at, length):
    def codegen(context, builder, signature, args):
        access = _Access(context, builder, signature.args[0].dtype)
        rows = access.data(signature.args[0], args[0])
        target = access.data(signature.args[7], args[7])
        starts = access.starts(args[1], args[2])
        scalars = [access.splat(s) for s in args[3:7]]
        with access.blocks(args[9]) as (offset, _):
            place = builder.add(args[8], offset)
            total = access.load(target, place)
            for start, scalar in zip(starts, scalars, strict=True):
                product = builder.fmul(
                    access.load(rows, builder.add(start, offset)), scalar, flags=_FUSED
                )
                total = builder.fadd(total, product, flags=_FUSED)
            access.store(total, target, place)
        return context.get_dummy_value()

    i, s = types.int64, B.dtype
    return types.void(B, i, i, s, s, s, s, out, i, i), codegen


@intrinsic
def _gram_tile(typingctx, B, v, n, width, row, column, G):
    def codegen(context, builder, signature, args):
        access = _Access(context, builder, signature.args[0].dtype)
        rows = access.data(signature.args[0], args[0])
        weights = access.data(signature.args[1], args[1])
        target = access.data(signature.args[6], args[6])
        width, row, column = args[3:6]
        sums = [
            cgutils.alloca_once_value(builder, access.zero) for _ in range(TILE_ROWS)
        ]
        with cgutils.for_range(builder, args[2]) as loop:
            start = builder.mul(loop.index, width)
            weight = access.splat(builder.load(builder.gep(weights, [loop.index])))
            right = access.load(rows, builder.add(start, column))
            right = builder.fmul(right, weight)
            first = builder.gep(rows, [builder.add(start, row)])
            for i, total in enumerate(sums):
                left = builder.load(builder.gep(first, [ir.Constant(start.type, i)]))
                product = builder.fmul(access.splat(left), right, flags=_FUSED)
                builder.store(
                    builder.fadd(builder.load(total), product, flags=_FUSED), total
                )
        for i, total in enumerate(sums):
            place = builder.add(row, ir.Constant(row.type, i))
            place = builder.add(builder.mul(place, width), column)
            value = builder.fadd(access.load(target, place), builder.load(total))
            access.store(value, target, place)
        return context.get_dummy_value()

    i = types.int64
    return types.void(B, v, i, i, i, i, G), codegen


@intrinsic
def _copy(typingctx, source, at, out, out_at, length):
    def codegen(context, builder, signature, args):
        access = _Access(context, builder, signature.args[0].dtype)
        rows = access.data(signature.args[0], args[0])
        target = access.data(signature.args[2], args[2])
        with access.blocks(args[4]) as (offset, _):
            value = access.load(rows, builder.add(args[1], offset))
            access.store(value, target, builder.add(args[3], offset))
        return context.get_dummy_value()

    i = types.int64
    return types.void(source, i, out, i, i), codegen


if SIMD:

    @helper
    def dot4(B, at, stride, x, x_at, length):
        """Return the products of four rows of B with a run of x."""
        return _dot4(B, at, stride, x, x_at, length)

    @helper
    def axpy4(B, at, stride, s0, s1, s2, s3, out, out_at, length):
        """Add s0 to s3 times four rows of B to a run of ``out``."""
        _axpy4(B, at, stride, s0, s1, s2, s3, out, out_at, length)

    @helper
    def gram_tile(B, v, n, width, row, column, G):
        """Add to a tile of G what the n rows of B contribute, weighted by v.

        The tile begins at (row, column), and is eight rows by one vector.
        """
        _gram_tile(B, v, n, width, row, column, G)

    @helper
    def copy(source, at, out, out_at, length):
        """Copy a run of ``source`` to ``out``."""
        _copy(source, at, out, out_at, length)

else:

    @helper
    def dot4(B, at, stride, x, x_at, length):
        """Return the products of four rows of B with a run of x."""
        s0 = s1 = s2 = s3 = B.dtype.type(0)
        for a in range(length):
            s0 += B[at + a] * x[x_at + a]
            s1 += B[at + stride + a] * x[x_at + a]
            s2 += B[at + 2 * stride + a] * x[x_at + a]
            s3 += B[at + 3 * stride + a] * x[x_at + a]
        return s0, s1, s2, s3

    @helper
    def axpy4(B, at, stride, s0, s1, s2, s3, out, out_at, length):
        """Add s0 to s3 times four rows of B to a run of ``out``."""
        for a in range(length):
            out[out_at + a] += (
                s0 * B[at + a]
                + s1 * B[at + stride + a]
                + s2 * B[at + 2 * stride + a]
                + s3 * B[at + 3 * stride + a]
            )

    @helper
    def gram_tile(B, v, n, width, row, column, G):
        """Add to a tile of G what the n rows of B contribute, weighted by v.

        The tile begins at (row, column), and is eight rows by one vector.
        """
        for t in range(n):
            for a in range(row, row + TILE_ROWS):
                s = v[t] * B[t * width + a]
                for b in range(column, column + WIDTH // B.itemsize):
                    G[a * width + b] += s * B[t * width + b]

    @helper
    def copy(source, at, out, out_at, length):
        """Copy a run of ``source`` to ``out``."""
        for a in range(length):
            out[out_at + a] = source[at + a]
