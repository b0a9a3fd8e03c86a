"""Sixty-four lanes at a time: comparisons and distances that yield a bit mask.

Almost every object is untouched by almost every candidate medoid. The kernels of
this family therefore test 64 objects at once and walk through the set bits of the
resulting mask; compilers do not find that by themselves, so the vectors are spelled
out in LLVM IR, which every target lowers to what it has (AVX-512, AVX2, NEON). The
plain loops compute the same and serve where compilation is off.

Blocks of points are stored as (n_blocks, n_features, 64), so that one feature of 64
points is one run of memory.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skalgos._jit import SIMD, helper

LANES = 64

#: How far ahead of the comparison a row is fetched from memory: a page, because the
#: hardware's own prefetching stops at the end of one.
FETCH_AHEAD = 4096

# Codes of the block distances: sum of squares, of absolute values, their maximum, and
# the number of unequal features.
SQUARED, ABSOLUTE, MAXIMUM, UNEQUAL = range(4)


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _load(context, builder, pointer, dtype):
    element = context.get_data_type(dtype)
    vector = builder.load(
        builder.bitcast(pointer, ir.VectorType(element, LANES).as_pointer())
    )
    vector.align = context.get_abi_sizeof(element)
    return vector


def _less(builder, dtype, left, right):
    if isinstance(dtype, types.Float):
        lanes = builder.fcmp_ordered("<", left, right)
    elif dtype.signed:
        lanes = builder.icmp_signed("<", left, right)
    else:
        lanes = builder.icmp_unsigned("<", left, right)
    return builder.bitcast(lanes, ir.IntType(LANES))


def _splat(builder, scalar):
    vector = ir.VectorType(scalar.type, LANES)
    index = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, index)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, everywhere)


def _fetch(builder, pointer, n_bytes):
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    prefetch = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
        "llvm.prefetch.p0i8",
    )
    start = builder.bitcast(pointer, byte)
    read, keep, data = (ir.Constant(word, value) for value in (0, 3, 1))
    for line in range(0, n_bytes, 64):
        offset = ir.Constant(ir.IntType(64), FETCH_AHEAD + line)
        builder.call(prefetch, [builder.gep(start, [offset]), read, keep, data])


@intrinsic
def _lowest_bit(typingctx, mask):
    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def _mask_below(typingctx, row, start, bound):
    def codegen(context, builder, signature, args):
        row_type, _, bound_type = signature.args
        left = _pointer(context, builder, row_type, args[0], args[1])
        right = _pointer(context, builder, bound_type, args[2], args[1])
        size = context.get_abi_sizeof(context.get_data_type(row_type.dtype))
        _fetch(builder, left, LANES * size)
        return _less(
            builder,
            row_type.dtype,
            _load(context, builder, left, row_type.dtype),
            _load(context, builder, right, bound_type.dtype),
        )

    return types.uint64(row, types.intp, bound), codegen


@intrinsic
def _mask_equal(typingctx, row, start, value):
    def codegen(context, builder, signature, args):
        row_type = signature.args[0]
        left = _pointer(context, builder, row_type, args[0], args[1])
        lanes = builder.icmp_signed(
            "==",
            _load(context, builder, left, row_type.dtype),
            _splat(builder, args[2]),
        )
        return builder.bitcast(lanes, ir.IntType(LANES))

    return types.uint64(row, types.intp, row.dtype), codegen


def _accumulate(builder, code, total, difference):
    """One feature's share of the block distance ``code``; differences are vectors."""
    fused = ("contract",)
    if code == SQUARED:
        square = builder.fmul(difference, difference, flags=fused)
        return builder.fadd(total, square, flags=fused)
    element = difference.type.element
    zero = ir.Constant(difference.type, [ir.Constant(element, 0.0)] * LANES)
    if code == UNEQUAL:
        one = ir.Constant(difference.type, [ir.Constant(element, 1.0)] * LANES)
        unequal = builder.fcmp_ordered("!=", difference, zero)
        return builder.fadd(total, builder.select(unequal, one, zero))
    negative = builder.fcmp_ordered("<", difference, zero)
    size = builder.select(negative, builder.fneg(difference), difference)
    if code == ABSOLUTE:
        return builder.fadd(total, size)
    return builder.select(builder.fcmp_ordered(">", size, total), size, total)


def _block_distance(code):
    """Make the intrinsic of one block distance: the vector never leaves registers."""

    @intrinsic
    def distance(typingctx, blocks, block, point, bound, out):
        def codegen(context, builder, signature, args):
            blocks_type, _, point_type, bound_type, out_type = signature.args
            dtype = blocks_type.dtype
            element = context.get_data_type(dtype)
            index = args[1].type
            lanes = ir.Constant(index, LANES)
            shape = context.make_array(blocks_type)(context, builder, args[0]).shape
            n_features = builder.extract_value(shape, 1)
            first = builder.mul(builder.mul(args[1], n_features), lanes)
            total = cgutils.alloca_once_value(
                builder,
                ir.Constant(
                    ir.VectorType(element, LANES), [ir.Constant(element, 0.0)] * LANES
                ),
            )
            with cgutils.for_range(builder, n_features) as loop:
                offset = builder.add(first, builder.mul(loop.index, lanes))
                values = _load(
                    context,
                    builder,
                    _pointer(context, builder, blocks_type, args[0], offset),
                    dtype,
                )
                coordinate = builder.load(
                    _pointer(context, builder, point_type, args[2], loop.index)
                )
                difference = builder.fsub(values, _splat(builder, coordinate))
                builder.store(
                    _accumulate(builder, code, builder.load(total), difference), total
                )
            result = builder.load(total)
            target = context.make_array(out_type)(context, builder, args[4]).data
            stored = builder.store(
                result, builder.bitcast(target, result.type.as_pointer())
            )
            stored.align = context.get_abi_sizeof(element)
            limit = _pointer(
                context, builder, bound_type, args[3], builder.mul(args[1], lanes)
            )
            return _less(builder, dtype, result, _load(context, builder, limit, dtype))

        return types.uint64(blocks, types.intp, point, bound, out), codegen

    return distance


_squared, _absolute, _maximum, _unequal = map(
    _block_distance, (SQUARED, ABSOLUTE, MAXIMUM, UNEQUAL)
)

if SIMD:
    #: ``lowest_bit(mask)``: the position of the lowest set bit of a mask that has one.
    lowest_bit = _lowest_bit
    #: ``mask_below(row, start, bound)``: bit l where row[start+l] < bound[start+l].
    mask_below = _mask_below
    #: ``mask_equal(row, start, value)``: bit l where row[start+l] == value.
    mask_equal = _mask_equal

    @helper
    def block_below(code, blocks, block, point, bound, out):
        """Fill ``out`` with the distances of a block's 64 points to ``point``.

        Returns the mask of those below ``bound[64 * block:]``.
        """
        if code == SQUARED:
            return _squared(blocks, block, point, bound, out)
        if code == ABSOLUTE:
            return _absolute(blocks, block, point, bound, out)
        if code == MAXIMUM:
            return _maximum(blocks, block, point, bound, out)
        return _unequal(blocks, block, point, bound, out)

else:

    @helper
    def lowest_bit(mask):
        """Return the position of the lowest set bit of a mask that has one."""
        bit = np.uint64(0)
        while not (mask >> bit) & np.uint64(1):
            bit += np.uint64(1)
        return bit

    @helper
    def mask_below(row, start, bound):
        """Return bit l set where ``row[start + l] < bound[start + l]``, 64 lanes."""
        mask = np.uint64(0)
        for lane in range(LANES):
            if row[start + lane] < bound[start + lane]:
                mask |= np.uint64(1) << np.uint64(lane)
        return mask

    @helper
    def mask_equal(row, start, value):
        """Return bit l set where ``row[start + l] == value``, 64 lanes."""
        mask = np.uint64(0)
        for lane in range(LANES):
            if row[start + lane] == value:
                mask |= np.uint64(1) << np.uint64(lane)
        return mask

    @helper
    def block_below(code, blocks, block, point, bound, out):
        """Fill ``out`` with the distances of a block's 64 points to ``point``.

        Returns the mask of those below ``bound[64 * block:]``.
        """
        for lane in range(LANES):
            out[lane] = 0
        for feature in range(blocks.shape[1]):
            coordinate = point[feature]
            for lane in range(LANES):
                difference = blocks[block, feature, lane] - coordinate
                if code == SQUARED:
                    out[lane] += difference * difference
                elif code == ABSOLUTE:
                    out[lane] += abs(difference)
                elif code == MAXIMUM:
                    out[lane] = max(out[lane], abs(difference))
                elif difference != 0:
                    out[lane] += 1
        return mask_below(out, 0, bound[LANES * block :])
