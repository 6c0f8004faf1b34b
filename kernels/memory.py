"""Words and bytes at addresses, for what rows of the mount's table point to. Called by frames."""

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

if config.DISABLE_JIT:
    # Intrinsics exist only in compiled code.
    def word_at(address):  # noqa: D103
        return np.uint64(ctypes.c_uint64.from_address(int(address)).value)

    def set_word_at(address, word):  # noqa: D103
        ctypes.c_uint64.from_address(int(address)).value = int(word)

    def copy_from(out, at, address, length):  # noqa: D103
        out[at : at + length] = np.frombuffer(ctypes.string_at(int(address), int(length)), np.uint8)

else:

    @intrinsic
    def word_at(typingctx, address):
        """Return the word (uint64) at ``address`` (uint64, a multiple of 8), whole.

        Other threads may write it meanwhile; no other memory is ordered by it (C11
        memory_order_relaxed).
        """

        def codegen(_context: Any, builder: ir.IRBuilder, _signature: Any, args: Any) -> ir.Value:
            pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            return builder.load_atomic(pointer, "monotonic", 8)

        return types.uint64(types.uint64), codegen

    @intrinsic
    def set_word_at(typingctx, address, word):
        """Set the word at ``address`` (uint64, a multiple of 8), whole, to ``word`` (uint64)."""

        def codegen(context: Any, builder: ir.IRBuilder, _signature: Any, args: Any) -> ir.Value:
            pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            builder.store_atomic(args[1], pointer, "monotonic", 8)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), codegen

    @intrinsic
    def copy_from(typingctx, out, at, address, length):
        """Copy ``length`` bytes (int64) at ``address`` (uint64) to ``out[at:]`` (uint8[::1])."""

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            target = builder.gep(array.data, [args[1]])
            source = builder.inttoptr(args[2], ir.IntType(8).as_pointer())
            cgutils.raw_memcpy(builder, target, source, args[3], 1)
            return context.get_dummy_value()

        return types.void(types.uint8[::1], types.int64, types.uint64, types.int64), codegen
