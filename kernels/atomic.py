"""An atomic step on a number that threads share. Called by fill."""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

if config.DISABLE_JIT:
    # Intrinsics exist only in compiled code. Here two threads may get the same number.
    def fetch_add(number, more):  # noqa: D103
        number[0] += more
        return number[0] - more

else:

    @intrinsic
    def fetch_add(typingctx, number, more):
        """Add ``more`` (int64) to ``number[0]`` (int64[::1]) and return what it was before.

        Only the number is ordered among the threads, no other memory (C11 memory_order_relaxed).
        """

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            return builder.atomic_rmw("add", array.data, args[1], "monotonic")

        return types.int64(types.int64[::1], types.int64), codegen
