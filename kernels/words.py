"""The word function of content format v1, on scalars and on vectors of eight words.

SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014) as a
counter: word k of a content is ``mix(key + (k + 1) * GAMMA)``. Called by fill, compare, damage and
origins.

The vector forms are written as LLVM vectors of eight 64-bit lanes. LLVM's own vectorizer stops at
256 bits on most AVX-512 machines: 24 GB/s instead of 32 GB/s on one core (1 MiB buffer). The lanes
become one AVX-512, two AVX2 or four SSE2 registers; the bytes are the same on all.
"""

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.cpython.unsafe.numbers import trailing_zeros as trailing_zeros
from numba.extending import intrinsic

from dgenfs.kernels.jit import inlined
from dgenfs.kernels.row import SECTOR, SECTOR_WORDS, WORD

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


@inlined
def place_of(word):
    """Return where ``word`` (uint64) stands on the cycle of all words, whose next place is 1 more.

    Word k of a content stands at ``place(key) + k``, where that is ``key * INVERSE_GAMMA + 1``.
    """
    return unmix(word) * INVERSE_GAMMA


_LANE = ir.IntType(64)
_VECTOR = ir.VectorType(_LANE, LANES)
_GROUP_BYTES = ir.VectorType(ir.IntType(8), GROUP)


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


def _unmixed(builder: ir.IRBuilder, words: ir.Value) -> ir.Value:
    """Emit ``unmix`` of a word, or of each of a vector of words."""
    vector = words.type == _VECTOR

    def constant(value: int) -> ir.Constant:
        return _constant([value] * LANES) if vector else ir.Constant(_LANE, value)

    def unshifted(z: ir.Value, *shifts: int) -> ir.Value:
        return functools.reduce(
            builder.xor, [z, *(builder.lshr(z, constant(shift)) for shift in shifts)]
        )

    z = builder.mul(unshifted(words, 31, 62), constant(int(INVERSE_2)))
    z = builder.mul(unshifted(z, 27, 54), constant(int(INVERSE_1)))
    return unshifted(z, 30, 60)


def _pointer(context: Any, builder: ir.IRBuilder, array: Any, buf: ir.Value, at: ir.Value) -> Any:
    data = context.make_array(array)(context, builder, buf).data
    return builder.bitcast(cgutils.pointer_add(builder, data, at), _VECTOR.as_pointer())


def _group_pointer(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    start = builder.mul(args[2], ir.Constant(_LANE, GROUP))
    return _pointer(context, builder, signature.args[0], args[0], builder.add(args[1], start))


def _any(builder: ir.IRBuilder, mask: ir.Value) -> ir.Value:
    return builder.icmp_unsigned("!=", mask, ir.Constant(mask.type, 0))


def _mask(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """Emit a vector of truths as the bits of a word, the first one lowest."""
    mask = builder.bitcast(bits, ir.IntType(bits.type.count))
    return mask if mask.type == _LANE else builder.zext(mask, _LANE)


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


@intrinsic
def bytes_differ(typingctx, buf, at, other, there):
    """Return whether 64 bytes of ``buf`` from ``at`` on differ from those of ``other``.

    Args:
        buf: uint8[::1], read-only or not; no alignment is needed.
        at: int64, byte index.
        other: uint8[::1], read-only or not.
        there: int64, byte index.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        one, two = (
            builder.load(_pointer(context, builder, signature.args[i], *args[i : i + 2]), align=1)
            for i in (0, 2)
        )
        return _any(builder, _mask(builder, builder.icmp_unsigned("!=", one, two)))

    return types.boolean(buf, types.int64, other, types.int64), codegen


@intrinsic
def differences(typingctx, buf, at, state, count):
    """Tell how the whole sector at ``buf[at : at + 512]`` differs from the expected one.

    Args:
        buf: uint8[::1], read-only or not; no alignment is needed.
        at: int64, byte index of the sector's first byte.
        state: uint64, state of the sector's first word.
        count: int64, random words of the sector; the words behind are zero.

    Returns:
        int64 each: first wrong byte, -1 if there is none; last wrong byte; wrong bytes; wrong bits;
        wrong bytes that read zero.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        start = _pointer(context, builder, signature.args[0], *args[:2])
        none = ir.Constant(_GROUP_BYTES, [ir.Constant(ir.IntType(8), 0)] * GROUP)
        no_undefined = ir.Constant(ir.IntType(1), 0)
        masks, zeros, bits = [], [], []
        count_bits = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR]), "llvm.ctpop.v8i64"
        )
        for group in range(GROUPS):
            number = ir.Constant(_LANE, group)
            word = builder.load(builder.gep(start, [number]), align=1)
            difference = builder.xor(word, _eight_words(builder, number, *args[2:]))
            bits.append(builder.call(count_bits, [difference]))
            wrong = builder.icmp_unsigned("!=", builder.bitcast(difference, _GROUP_BYTES), none)
            erased = builder.icmp_unsigned("==", builder.bitcast(word, _GROUP_BYTES), none)
            masks.append(_mask(builder, wrong))
            zeros.append(_mask(builder, builder.and_(wrong, erased)))
        first = last = ir.Constant(_LANE, -1)
        for group in range(GROUPS):
            at_end = ir.Constant(_LANE, GROUP * (group + 1) - 1)
            highest = builder.sub(at_end, builder.ctlz(masks[group], no_undefined))
            last = builder.select(_any(builder, masks[group]), highest, last)
            back = GROUPS - 1 - group
            lowest = builder.add(
                ir.Constant(_LANE, GROUP * back), builder.cttz(masks[back], no_undefined)
            )
            first = builder.select(_any(builder, masks[back]), lowest, first)

        def total(counts: list[ir.Value]) -> ir.Value:
            return functools.reduce(builder.add, counts)

        lanes = [ir.Constant(_LANE, lane) for lane in range(LANES)]
        all_bits = total(bits)
        results = (
            first,
            last,
            total([builder.ctpop(mask) for mask in masks]),
            total([builder.extract_element(all_bits, lane) for lane in lanes]),
            total([builder.ctpop(mask) for mask in zeros]),
        )
        return context.make_tuple(builder, signature.return_type, results)

    result = types.UniTuple(types.int64, 5)
    return result(buf, types.int64, types.uint64, types.int64), codegen


@intrinsic
def neighbors(typingctx, buf, at):
    """Find words that are followed by the next word of a content, whichever that is.

    Args:
        buf: uint8[::1], read-only or not, at least ``at + 520`` bytes; no alignment is needed.
        at: int64, byte index of the first of 65 words.

    Returns:
        uint64, bit i set where word i + 1 is the next one of word i.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        start = _pointer(context, builder, signature.args[0], *args)
        word = builder.bitcast(start, _LANE.as_pointer())
        places = [builder.gep(start, [ir.Constant(_LANE, group)]) for group in range(GROUPS)]
        places.append(builder.gep(word, [ir.Constant(_LANE, SECTOR_WORDS)]))
        states = [_unmixed(builder, builder.load(place, align=1)) for place in places]
        states[GROUPS] = _splat(builder, states[GROUPS])
        one_on = ir.Constant(
            ir.VectorType(ir.IntType(32), LANES),
            [ir.Constant(ir.IntType(32), i) for i in range(1, LANES + 1)],
        )
        pairs = ir.Constant(_LANE, 0)
        for group in range(GROUPS):
            following = builder.shuffle_vector(states[group], states[group + 1], one_on)
            expected = builder.add(states[group], _constant([int(GAMMA)] * LANES))
            pair = _mask(builder, builder.icmp_unsigned("==", following, expected))
            pairs = builder.or_(pairs, builder.shl(pair, ir.Constant(_LANE, group * LANES)))
        return pairs

    return types.uint64(buf, types.int64), codegen


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

    def bytes_differ(buf, at, other, there):  # noqa: D103
        return bool((buf[at : at + GROUP] != other[there : there + GROUP]).any())

    def differences(buf, at, state, count):  # noqa: D103
        data = buf[at : at + SECTOR]
        groups = [_eight_words_numpy(group, state, count) for group in range(GROUPS)]
        difference = data ^ np.concatenate(groups).view(np.uint8)
        wrong = np.flatnonzero(difference)
        ends = (wrong[0], wrong[-1]) if wrong.size else (-1, -1)
        bits = np.bitwise_count(difference).sum(dtype=np.int64)
        return *map(np.int64, ends), np.int64(wrong.size), bits, (data[wrong] == 0).sum()

    def neighbors(buf, at):  # noqa: D103
        states = unmix(np.frombuffer(buf[at : at + SECTOR + WORD].tobytes(), np.uint64))
        return _bits_numpy(states[1:] == states[:-1] + GAMMA)

    def _bits_numpy(truths):
        return np.packbits(truths, bitorder="little").view(np.uint64)[0]

    def trailing_zeros(word):  # noqa: D103
        return np.uint64((int(word) & -int(word)).bit_length() - 1 if word else 64)
