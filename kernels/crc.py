"""CRC-32 and CRC-32C, of bytes and of bytes known only by their CRC.

The reference is zlib's crc32, and a CRC bit by bit in tests/unit/test_crc.py. Bytes are folded by
carry-less multiplication where the processor has it (see carryless), else looked up in tables.

A CRC is a polynomial of degree 31 modulo that of its kind, reflected in 32 bits: x^31 is bit 0.
Numbers are uint64 with the CRC in the low half. ``kind`` (int64) is CRC_32 or CRC_32C.
"""

import numpy as np
from numba import types

from dgenfs.kernels import polynomials
from dgenfs.kernels.carryless import (
    BLOCK,
    LANE,
    LANES,
    fold_blocks,
    fold_lanes,
    high_product,
    low_product,
    word_in,
)
from dgenfs.kernels.jit import BYTES, inlined, kernel
from dgenfs.kernels.polynomials import BITS, CRC_32, CRC_32C
from dgenfs.kernels.row import WORD

_KINDS = (CRC_32, CRC_32C)
_ONES = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_X_0 = np.uint64(1 << 31)
_BYTE_BITS = np.uint64(8)
_WORD_BITS = np.uint64(64)
_TFRECORD = np.uint64(0xA282EAD8)

# x^(8 * 2^k): what the CRC of bytes is multiplied by where 2^k bytes follow.
_POWERS = np.array([polynomials.powers(kind, 64) for kind in _KINDS], np.uint64)

if LANES:
    # Barrett's: the quotient of x^96, of which x^64 is bit 0 and the last coefficient, which no
    # quotient of 64 bits depends on, is left out; and the divisor, x^32 in bit 0.
    _QUOTIENTS = np.array(
        [
            polynomials.reflected(polynomials.divided(1 << 96, one)[0], 65) & (1 << 64) - 1
            for one in polynomials.POLYNOMIALS
        ],
        np.uint64,
    )
    _DIVISORS = np.array(
        [polynomials.reflected(one, BITS + 1) for one in polynomials.POLYNOMIALS], np.uint64
    )
    _S31 = np.uint64(31)
    _S33 = np.uint64(33)

    @inlined
    def _remainder(word, kind):
        """Return a word times x^32, modulo the polynomial: the state after its eight bytes."""
        return high_product(low_product(word, _QUOTIENTS[kind]), _DIVISORS[kind])

    @inlined
    def _product(one, other, kind):
        product = low_product(one, other)
        return _remainder(product << _S33, kind) ^ (product >> _S31)

    @inlined
    def _after(data, state, kind):
        """Return the state (uint64) after ``data``, folded."""
        length = data.shape[0]
        at = np.int64(0)
        if length >= BLOCK:
            blocks = length // BLOCK
            low, high = fold_blocks(data, at, blocks, state, kind)
            state = _remainder(_remainder(low, kind) ^ high, kind)
            at = blocks * BLOCK
        if length - at >= LANE:
            lanes = (length - at) // LANE
            low, high = fold_lanes(data, at, lanes, state, kind)
            state = _remainder(_remainder(low, kind) ^ high, kind)
            at += lanes * LANE
        if length - at >= WORD:
            state = _remainder(state ^ word_in(data, at), kind)
            at += WORD
        if at < length:
            word = state
            for i in range(length - at):
                word ^= np.uint64(data[at + i]) << (_BYTE_BITS * np.uint64(i))
            bits = _BYTE_BITS * np.uint64(length - at)
            state = (state >> bits) ^ _remainder(word << (_WORD_BITS - bits), kind)
        return state

else:
    _SLICES = 16  # bytes looked up side by side

    _POLYNOMIALS = np.array(polynomials.REFLECTED, np.uint64)
    # The state after each byte and so many bytes of zeros, of either kind.
    _TABLES = np.zeros((len(_KINDS), _SLICES, 256), np.uint32)
    _TABLES[:, 0] = np.arange(256)
    for _ in range(8):
        _first = _TABLES[:, 0]
        _TABLES[:, 0] = (_first >> 1) ^ (_first & 1) * _POLYNOMIALS[:, np.newaxis]
    for _i in range(1, _SLICES):
        for _kind in _KINDS:
            _last = _TABLES[_kind, _i - 1]
            _TABLES[_kind, _i] = (_last >> 8) ^ _TABLES[_kind, 0][_last & 255]
    _BYTE = np.uint64(255)

    @inlined
    def _product(one, other, kind):
        polynomial = _POLYNOMIALS[kind]
        product = _ZERO
        for i in range(BITS):
            product ^= other if one & (_X_0 >> np.uint64(i)) != _ZERO else _ZERO
            other = (other >> _ONE) ^ (polynomial if other & _ONE != _ZERO else _ZERO)
        return product

    @inlined
    def _after(data, state, kind):
        """Return the state (uint64) after ``data``, by tables.

        Kounavis, Berry: A Systematic Approach to Building High Performance, Software-Based, CRC
        Generators (Intel, 2005).
        """
        length = data.shape[0]
        whole = length - length % _SLICES
        for at in range(0, whole, _SLICES):
            after = np.uint32(0)
            for i in range(_SLICES):
                byte = np.uint64(data[at + i])
                if i < 4:
                    byte ^= (state >> (_BYTE_BITS * np.uint64(i))) & _BYTE
                after ^= _TABLES[kind, _SLICES - 1 - i, byte]
            state = np.uint64(after)
        for at in range(whole, length):
            byte = (state ^ np.uint64(data[at])) & _BYTE
            state = (state >> _BYTE_BITS) ^ np.uint64(_TABLES[kind, 0, byte])
        return state


@kernel(types.uint64(BYTES, types.uint64, types.int64))
def crc(data, before, kind):
    """Return the CRC of what has the CRC ``before`` and then ``data``, as zlib.crc32 does.

    Args:
        data: uint8[::1], read-only or not; no alignment is needed.
        before: uint64, 0 at the start.
        kind: int64, CRC_32 or CRC_32C.
    """
    return _after(data, (before & _ONES) ^ _ONES, kind) ^ _ONES


@inlined
def _power(length, kind):
    """Return x^(8 * length), which moves a CRC (uint64) across ``length`` bytes (uint64)."""
    power = _X_0
    place = 0
    while length != _ZERO:
        if length & _ONE != _ZERO:
            power = _product(power, _POWERS[kind, place], kind)
        length >>= _ONE
        place += 1
    return power


@kernel(types.uint64(types.uint64, types.uint64, types.uint64, types.int64))
def combine(first, second, length, kind):
    """Return the CRC of two byte strings, one behind the other.

    Args:
        first: uint64, CRC of the first.
        second: uint64, CRC of the second.
        length: uint64, bytes of the second.
        kind: int64, CRC_32 or CRC_32C.
    """
    return _product(first, _power(length, kind), kind) ^ second


@kernel(types.uint64(types.uint64, types.uint64, types.uint64, types.int64))
def repeat(crc, length, times, kind):
    """Return the CRC of the same bytes, ``times`` over.

    Args:
        crc: uint64, of the bytes.
        length: uint64, bytes.
        times: uint64; of none the CRC is 0.
        kind: int64, CRC_32 or CRC_32C.
    """
    power = _power(length, kind)
    repeated = _ZERO
    while times != _ZERO:  # crc and power are those of 1, 2, 4 ... times the bytes
        if times & _ONE != _ZERO:
            repeated = _product(repeated, power, kind) ^ crc
        crc = _product(crc, power, kind) ^ crc
        power = _product(power, power, kind)
        times >>= _ONE
    return repeated


@kernel(types.uint64(types.uint64, types.int64))
def zeros(length, kind):
    """Return the CRC of ``length`` (uint64) bytes of zeros."""
    return _product(_ONES, _power(length, kind), kind) ^ _ONES


@kernel(types.uint64(types.uint64))
def masked(crc):
    """Return a CRC as TFRecord stores it, which must not look like one of bytes that hold CRCs."""
    return (((crc >> np.uint64(15)) | (crc << np.uint64(17))) + _TFRECORD) & _ONES
