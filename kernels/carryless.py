"""Carry-less multiplication, as the processor has it, and bytes folded by it. Called by crc.

Folding is that of Gopal, Ozturk, Guilford et al., Fast CRC Computation for Generic Polynomials
Using PCLMULQDQ Instruction (Intel, 2009), for reflected polynomials: 16 bytes times x^d are two
products of 64 by 32 bits, which are added to the 16 bytes that stand d bits further on.

A lane is 128 bits. A product of reflected words, bit i of which is the coefficient of x^(63 - i),
has in bit k the coefficient of x^(126 - k): as a lane it is the product of both and of x.
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from dgenfs.kernels.polynomials import CRC_32, CRC_32C, power

LANE = 16  # bytes

# Lanes of a register, and what LLVM calls the features to multiply these; the widest is first.
_REGISTERS = ((4, {"avx512f", "vpclmulqdq"}), (2, {"vpclmulqdq"}), (1, {"pclmul"}))
_INSTRUCTIONS = {4: "llvm.x86.pclmulqdq.512", 2: "llvm.x86.pclmulqdq.256", 1: "llvm.x86.pclmulqdq"}
_LOW = 0x00  # the product of both low halves
_HIGH = 0x11

_INDEX = ir.IntType(32)
_WORD = ir.IntType(64)


def _lanes() -> int:
    """Return how many lanes are multiplied by one instruction, 0 if there is none.

    Only features that are named count. LLVM ends the process if it has to emit an instruction that
    the processor it compiles for does not have, and NUMBA_CPU_NAME alone does not tell what it has.
    """
    if config.DISABLE_JIT:
        return 0
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    has = {name[1:]: name[0] == "+" for name in features.split(",") if name}
    return next((lanes for lanes, names in _REGISTERS if all(map(has.get, names))), 0)


LANES = _lanes()
# Folded side by side, as a product takes longer than it takes to start the next. On an EPYC 9004
# four registers of four lanes are as fast as eight and spare short buffers a sixth to a third of
# their time; four of one lane are a sixth slower than eight.
VECTORS = 4 if LANES == 4 else 8
BLOCK = VECTORS * LANES * LANE  # bytes


def _product(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, halves: int) -> ir.Value:
    name = _INSTRUCTIONS[one.type.count // 2]
    kind = ir.FunctionType(one.type, [one.type, one.type, ir.IntType(8)])
    multiply = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(multiply, [one, other, ir.Constant(ir.IntType(8), halves)])


def _folded(builder: ir.IRBuilder, vector: ir.Value, factors: ir.Value, more: ir.Value) -> ir.Value:
    low, high = (_product(builder, vector, factors, halves) for halves in (_LOW, _HIGH))
    return builder.xor(builder.xor(low, high), more)


def _factors(builder: ir.IRBuilder, kind: ir.Value, lanes: int, distance: int) -> ir.Value:
    """Emit what lanes are multiplied by to stand ``distance`` bytes further on.

    The low half stands 64 bits ahead of the high one; the x of the product is spared.
    """
    vector = ir.VectorType(_WORD, 2 * lanes)
    both = [
        ir.Constant(vector, [power(8 * distance + ahead, of, 64) for ahead in (63, -1)] * lanes)
        for of in (CRC_32, CRC_32C)
    ]
    first = builder.icmp_signed("==", kind, ir.Constant(_WORD, CRC_32))
    return builder.select(first, *both)


def _pointer(
    context: Any, builder: ir.IRBuilder, array: Any, buf: ir.Value, at: ir.Value, kind: ir.Type
) -> ir.Value:
    data = context.make_array(array)(context, builder, buf).data
    return builder.bitcast(cgutils.pointer_add(builder, data, at), kind.as_pointer())


def _one_lane(builder: ir.IRBuilder, folded: list[ir.Value], kind: ir.Value) -> ir.Value:
    """Emit the sum of vectors that stand behind each other, and of their lanes, at the last one."""
    lanes = folded[0].type.count // 2
    whole = _factors(builder, kind, lanes, lanes * LANE)
    vector = functools.reduce(lambda sum_, more: _folded(builder, sum_, whole, more), folded)
    parts = [
        builder.shuffle_vector(
            vector, vector, ir.Constant(ir.VectorType(_INDEX, 2), [2 * lane, 2 * lane + 1])
        )
        for lane in range(lanes)
    ]
    one = _factors(builder, kind, 1, LANE)
    return functools.reduce(lambda sum_, more: _folded(builder, sum_, one, more), parts)


def _folding(vectors: int, lanes: int) -> Callable[..., ir.Value]:
    """Return what emits the folding of blocks of so many vectors of so many lanes."""
    vector = ir.VectorType(_WORD, 2 * lanes)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        buf, at, blocks, state, kind = args
        start = _pointer(context, builder, signature.args[0], buf, at, vector)

        def loaded(block: ir.Value) -> list[ir.Value]:
            first = builder.mul(block, ir.Constant(_WORD, vectors))
            places = [builder.add(first, ir.Constant(_WORD, i)) for i in range(vectors)]
            return [builder.load(builder.gep(start, [place]), align=1) for place in places]

        values = loaded(ir.Constant(_WORD, 0))
        none = ir.Constant(vector, [0] * (2 * lanes))
        before = builder.insert_element(none, state, ir.Constant(_INDEX, 0))
        values[0] = builder.xor(values[0], before)
        sums = [cgutils.alloca_once_value(builder, value) for value in values]
        factors = _factors(builder, kind, lanes, vectors * lanes * LANE)
        one = ir.Constant(_WORD, 1)
        with cgutils.for_range(builder, blocks, start=one) as loop:
            for sum_, more in zip(sums, loaded(loop.index), strict=True):
                builder.store(_folded(builder, builder.load(sum_), factors, more), sum_)
        lane = _one_lane(builder, [builder.load(sum_) for sum_ in sums], kind)
        halves = [builder.extract_element(lane, ir.Constant(_INDEX, i)) for i in range(2)]
        return context.make_tuple(builder, signature.return_type, halves)

    return codegen


def _folding_signature(buf: Any) -> Any:
    halves = types.UniTuple(types.uint64, 2)
    return halves(buf, types.int64, types.int64, types.uint64, types.int64)


@intrinsic
def fold_blocks(typingctx, buf, at, blocks, state, kind):
    """Return 16 bytes that have the CRC of ``buf[at : at + blocks * BLOCK]``.

    Args:
        buf: uint8[::1], read-only or not; no alignment is needed.
        at: int64, byte index.
        blocks: int64, at least 1.
        state: uint64, the 32 bits of the CRC before, which are added to the first bytes.
        kind: int64, CRC_32 or CRC_32C.

    Returns:
        uint64 each: the first eight bytes, the last ones.
    """
    return _folding_signature(buf), _folding(VECTORS, LANES)


@intrinsic
def fold_lanes(typingctx, buf, at, blocks, state, kind):
    """Return what ``fold_blocks`` does, where a block is one lane."""
    return _folding_signature(buf), _folding(1, 1)


def _multiplying(half: int) -> tuple[Any, Callable[..., ir.Value]]:
    """Return signature and code of one half of a product of two words."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        none = ir.Constant(ir.VectorType(_WORD, 2), [0, 0])
        one, other = (builder.insert_element(none, a, ir.Constant(_INDEX, 0)) for a in args)
        product = _product(builder, one, other, _LOW)
        return builder.extract_element(product, ir.Constant(_INDEX, half))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def low_product(typingctx, one, other):
    """Return the low 64 bits of the carry-less product of two words (uint64)."""
    return _multiplying(0)


@intrinsic
def high_product(typingctx, one, other):
    """Return the high 64 bits of the carry-less product of two words (uint64)."""
    return _multiplying(1)


@intrinsic
def word_in(typingctx, buf, at):
    """Return ``buf[at : at + 8]`` (uint8[::1], read-only or not) as a little-endian uint64."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        buf, at = args
        place = _pointer(context, builder, signature.args[0], buf, at, _WORD)
        return builder.load(place, align=1)

    return types.uint64(buf, types.int64), codegen
