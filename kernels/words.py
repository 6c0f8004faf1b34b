"""The word function of content format v1, on scalars and on vectors of eight words.

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) as a
counter: word k of a content is ``mix(key + (k + 1) * GAMMA)``. Called by fill, compare and damage.

The vector forms are written as LLVM vectors of eight 64-bit lanes. LLVM's own vectorizer stops at
256 bits on most AVX-512 machines: 24 GB/s instead of 32 GB/s on one core (1 MiB buffer). The lanes
become one AVX-512, two AVX2 or four SSE2 registers; the bytes are the same on all.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from dgenfs.kernels.jit import inlined
from dgenfs.kernels.row import SECTOR, WORD

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
INVERSE_GAMMA = np.uint64(pow(int(GAMMA), -1, 1 << 64))
INVERSE_1 = np.uint64(pow(int(MULTIPLIER_1), -1, 1 << 64))
INVERSE_2 = np.uint64(pow(int(MULTIPLIER_2), -1, 1 << 64))

LANES = 8  # words of one vector
GROUP = LANES * WORD  # bytes stored or loaded at once
GROUPS = SECTOR // GROUP

_S27 = np.uint64(27)
_S30 = np.uint64(30)
_S31 = np.uint64(31)
_S54 = np.uint64(54)
_S60 = np.uint64(60)
_S62 = np.uint64(62)


@inlined
def mix(z):
    """Return the word (uint64) of state ``z`` (uint64)."""
    z = (z ^ (z >> _S30)) * MULTIPLIER_1
    z = (z ^ (z >> _S27)) * MULTIPLIER_2
    return z ^ (z >> _S31)


@inlined
def unmix(word):
    """Return the state ``z`` (uint64) for which ``mix(z)`` is ``word`` (uint64).

    ``y = x ^ (x >> s)`` is undone by ``x = y ^ (y >> s) ^ (y >> 2 s) ...`` up to a shift of 63.
    """
    z = word ^ (word >> _S31) ^ (word >> _S62)
    z *= INVERSE_2
    z = z ^ (z >> _S27) ^ (z >> _S54)
    z *= INVERSE_1
    return z ^ (z >> _S30) ^ (z >> _S60)


_LANE = ir.IntType(64)
_VECTOR = ir.VectorType(_LANE, LANES)


def _constant(values: list[int]) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_LANE, value) for value in values])


def _splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, undefined, mask)


def _eight_words(
    builder: ir.IRBuilder, group: ir.Value, state: ir.Value, count: ir.Value
) -> ir.Value:
    """Emit words [8 * group, 8 * group + 8) of a sector, zero from word ``count`` on.

    Where ``group`` is a constant, LLVM folds all but the sums with ``state`` and the comparison
    with ``count``, and spreads these two over the lanes once a sector.
    """
    first = builder.mul(group, ir.Constant(_LANE, LANES))
    numbers = builder.add(_splat(builder, first), _constant(list(range(LANES))))
    steps = builder.mul(numbers, _constant([int(GAMMA)] * LANES))
    z = builder.add(_splat(builder, state), steps)
    for shift, multiplier in ((30, MULTIPLIER_1), (27, MULTIPLIER_2)):
        z = builder.xor(z, builder.lshr(z, _constant([shift] * LANES)))
        z = builder.mul(z, _constant([int(multiplier)] * LANES))
    z = builder.xor(z, builder.lshr(z, _constant([31] * LANES)))
    random = builder.icmp_signed("<", numbers, _splat(builder, count))
    return builder.select(random, z, _constant([0] * LANES))


def _group_pointer(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    start = builder.mul(args[2], ir.Constant(_LANE, GROUP))
    pointer = cgutils.pointer_add(builder, array.data, builder.add(args[1], start))
    return builder.bitcast(pointer, _VECTOR.as_pointer())


@intrinsic
def store_words(typingctx, out, at, group, state, count):
    """Store words [8 * group, 8 * group + 8) of the sector that starts at ``out[at]``.

    Args:
        out: uint8[::1], at least ``at + 512`` bytes; no alignment is needed.
        at: int64, byte index.
        group: int64, 0 to 7.
        state: uint64, state of the sector's first word.
        count: int64, random words of the sector; the words behind are zero.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        pointer = _group_pointer(context, builder, signature, args)
        builder.store(_eight_words(builder, *args[2:]), pointer, align=1)
        return context.get_dummy_value()

    out = types.Array(types.uint8, 1, "C")
    return types.void(out, types.int64, types.int64, types.uint64, types.int64), codegen


@intrinsic
def words_differ(typingctx, buf, at, group, state, count):
    """Return a uint8 with bit i set where word 8 * group + i of a sector is not the expected one.

    Args:
        buf: uint8[::1], read-only or not, at least ``at + 512`` bytes; no alignment is needed.
        at: int64, byte index of the sector's first byte.
        group: int64, 0 to 7.
        state: uint64, state of the sector's first word.
        count: int64, random words of the sector; the words behind are zero.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        word = builder.load(_group_pointer(context, builder, signature, args), align=1)
        expected = _eight_words(builder, *args[2:])
        return builder.bitcast(builder.icmp_unsigned("!=", word, expected), ir.IntType(8))

    return types.uint8(buf, types.int64, types.int64, types.uint64, types.int64), codegen


if config.DISABLE_JIT:
    # Intrinsics exist only in compiled code; these are the same in NumPy, for runs without a JIT.

    def _eight_words_numpy(group, state, count):
        numbers = np.arange(LANES * group, LANES * (group + 1), dtype=np.uint64)
        return np.where(numbers < np.uint64(count), mix(state + numbers * GAMMA), np.uint64(0))

    def store_words(out, at, group, state, count):  # noqa: D103
        start = at + group * GROUP
        out[start : start + GROUP] = _eight_words_numpy(group, state, count).view(np.uint8)

    def words_differ(buf, at, group, state, count):  # noqa: D103
        start = at + group * GROUP
        words = buf[start : start + GROUP].view(np.uint64)
        wrong = words != _eight_words_numpy(group, state, count)
        return np.packbits(wrong, bitorder="little")[0]
