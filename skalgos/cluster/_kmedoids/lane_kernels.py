"""Sixty-four lanes at a time: comparisons and distances that yield a bit mask.

Almost every object is untouched by almost every candidate medoid. The kernels of
this family therefore test 64 objects at once and walk through the set bits of the
resulting mask; compilers do not find that by themselves, so the vectors are spelled
out in LLVM IR, which every target lowers to what it has (AVX-512, AVX2, NEON). The
plain loops compute the same and serve where compilation is off.

Blocks of points are stored as (n_blocks, n_features, 64), so that one feature of 64
points is one run of memory. Boxes around points are stored in the same way, with a row
for the least and one for the largest value of each feature.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skalgos._jit import SIMD, helper

LANES = 64

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


@intrinsic
def _lowest_bit(typingctx, mask):
    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def _fetch(typingctx, row, start):
    def codegen(context, builder, signature, args):
        row_type = signature.args[0]
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, word, word, word]),
            "llvm.prefetch.p0i8",
        )
        first = builder.bitcast(
            _pointer(context, builder, row_type, args[0], args[1]), byte
        )
        read, keep, data = (ir.Constant(word, value) for value in (0, 3, 1))
        size = context.get_abi_sizeof(context.get_data_type(row_type.dtype))
        for line in range(0, LANES * size, 64):
            pointer = builder.gep(first, [ir.Constant(ir.IntType(64), line)])
            builder.call(prefetch, [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.void(row, types.intp), codegen


@intrinsic
def _mask_below(typingctx, row, start, bound):
    def codegen(context, builder, signature, args):
        row_type, _, bound_type = signature.args
        left = _pointer(context, builder, row_type, args[0], args[1])
        right = _pointer(context, builder, bound_type, args[2], args[1])
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


def _outside(builder, low, high, coordinate):
    """How far outside of [low, high] a coordinate is, zero within; all are vectors."""
    below = builder.fsub(low, coordinate)
    above = builder.fsub(coordinate, high)
    larger = builder.select(builder.fcmp_ordered(">", below, above), below, above)
    zero = ir.Constant(larger.type, [ir.Constant(larger.type.element, 0.0)] * LANES)
    return builder.select(builder.fcmp_ordered(">", larger, zero), larger, zero)


def _block_distances(context, builder, code, blocks, block, point, boxes):
    """The distances of a block's 64 points, or boxes, to a point; pairs are typed."""
    blocks_type, blocks = blocks
    point_type, point = point
    element = context.get_data_type(blocks_type.dtype)
    lanes = ir.Constant(block.type, LANES)
    shape = context.make_array(blocks_type)(context, builder, blocks).shape
    n_rows = builder.extract_value(shape, 1)
    first = builder.mul(builder.mul(block, n_rows), lanes)
    n_features = n_rows
    if boxes:
        n_features = builder.udiv(n_rows, ir.Constant(n_rows.type, 2))
    zero = ir.Constant(
        ir.VectorType(element, LANES), [ir.Constant(element, 0.0)] * LANES
    )
    total = cgutils.alloca_once_value(builder, zero)

    def row(number):
        offset = builder.add(first, builder.mul(number, lanes))
        pointer = _pointer(context, builder, blocks_type, blocks, offset)
        return _load(context, builder, pointer, blocks_type.dtype)

    with cgutils.for_range(builder, n_features) as loop:
        at = _pointer(context, builder, point_type, point, loop.index)
        coordinate = _splat(builder, builder.load(at))
        if boxes:
            low = builder.mul(loop.index, ir.Constant(loop.index.type, 2))
            high = builder.add(low, ir.Constant(low.type, 1))
            difference = _outside(builder, row(low), row(high), coordinate)
        else:
            difference = builder.fsub(row(loop.index), coordinate)
        builder.store(
            _accumulate(builder, code, builder.load(total), difference), total
        )
    return builder.load(total)


def _block_below(code):
    """Make the intrinsic of one block distance: the vector never leaves registers."""

    @intrinsic
    def below(typingctx, blocks, block, point, bound, out):
        def codegen(context, builder, signature, args):
            blocks_type, _, point_type, bound_type, out_type = signature.args
            dtype = blocks_type.dtype
            result = _block_distances(
                context, builder, code, (blocks_type, args[0]), args[1],
                (point_type, args[2]), boxes=False,
            )  # fmt: skip
            target = context.make_array(out_type)(context, builder, args[4]).data
            stored = builder.store(
                result, builder.bitcast(target, result.type.as_pointer())
            )
            stored.align = context.get_abi_sizeof(context.get_data_type(dtype))
            first = builder.mul(args[1], ir.Constant(args[1].type, LANES))
            limit = _pointer(context, builder, bound_type, args[3], first)
            return _less(builder, dtype, result, _load(context, builder, limit, dtype))

        return types.uint64(blocks, types.intp, point, bound, out), codegen

    return below


def _box_below(code):
    """Make the intrinsic of the distance to boxes."""

    @intrinsic
    def below(typingctx, boxes, group, point, bound):
        def codegen(context, builder, signature, args):
            boxes_type, _, point_type, bound_type = signature.args
            result = _block_distances(
                context, builder, code, (boxes_type, args[0]), args[1],
                (point_type, args[2]), boxes=True,
            )  # fmt: skip
            first = builder.mul(args[1], ir.Constant(args[1].type, LANES))
            limit = _pointer(context, builder, bound_type, args[3], first)
            dtype = boxes_type.dtype
            return _less(builder, dtype, result, _load(context, builder, limit, dtype))

        return types.uint64(boxes, types.intp, point, bound), codegen

    return below


_CODES = SQUARED, ABSOLUTE, MAXIMUM, UNEQUAL
_squared, _absolute, _maximum, _unequal = map(_block_below, _CODES)
_box_squared, _box_absolute, _box_maximum, _box_unequal = map(_box_below, _CODES)

if SIMD:
    #: ``lowest_bit(mask)``: the position of the lowest set bit of a mask that has one.
    lowest_bit = _lowest_bit
    #: ``fetch(row, start)``: have row[start : start + 64] brought into the cache. It
    #: may reach beyond the row: nothing is read.
    fetch = _fetch
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

    @helper
    def box_below(code, boxes, group, point, bound):
        """Return the mask of a group's 64 boxes nearer to ``point`` than ``bound``.

        ``bound`` has an entry for each box of all groups. No point in a box is nearer
        than the box, not even by rounding.
        """
        if code == SQUARED:
            return _box_squared(boxes, group, point, bound)
        if code == ABSOLUTE:
            return _box_absolute(boxes, group, point, bound)
        if code == MAXIMUM:
            return _box_maximum(boxes, group, point, bound)
        return _box_unequal(boxes, group, point, bound)

else:

    @helper
    def lowest_bit(mask):
        """Return the position of the lowest set bit of a mask that has one."""
        bit = np.uint64(0)
        while not (mask >> bit) & np.uint64(1):
            bit += np.uint64(1)
        return bit

    @helper
    def fetch(row, start):
        """Do nothing: only the cache would know."""

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

    @helper
    def box_below(code, boxes, group, point, bound):
        """Return the mask of a group's 64 boxes nearer to ``point`` than ``bound``.

        ``bound`` has an entry for each box of all groups. No point in a box is nearer
        than the box, not even by rounding.
        """
        mask = np.uint64(0)
        for lane in range(LANES):
            total = boxes[group, 0, lane] * 0
            for feature in range(point.shape[0]):
                below = boxes[group, 2 * feature, lane] - point[feature]
                above = point[feature] - boxes[group, 2 * feature + 1, lane]
                difference = max(below, above, point[feature] * 0)
                if code == SQUARED:
                    total += difference * difference
                elif code == ABSOLUTE:
                    total += difference
                elif code == MAXIMUM:
                    total = max(total, difference)
                elif difference != 0:
                    total += 1
            if total < bound[LANES * group + lane]:
                mask |= np.uint64(1) << np.uint64(lane)
        return mask
