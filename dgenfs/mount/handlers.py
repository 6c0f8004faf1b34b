"""What all handlers of requests have: they are counted and traced, and no error ends the mount."""

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pyfuse3 import FUSEError

from dgenfs.kernels import counters as counts
from dgenfs.kernels.fuse import Opcode
from dgenfs.logs import TRACE

if TYPE_CHECKING:
    from dgenfs.mount.operations import Operations

log = logging.getLogger("dgenfs.mount.operations")

P = ParamSpec("P")
R = TypeVar("R")
Handler = Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]]


def handler(opcode: Opcode) -> Callable[[Handler[P, R]], Handler[P, R]]:
    """Count and trace a request, and let nothing but FUSEError out, which would end the mount."""

    def decorate(function: Handler[P, R]) -> Handler[P, R]:
        @functools.wraps(function)
        async def guarded(self: "Operations", /, *arguments: P.args, **keywords: P.kwargs) -> R:
            self.counters[counts.REQUESTS + opcode] += 1
            if log.isEnabledFor(TRACE):
                log.log(TRACE, "%s %s", opcode.name, arguments)
            try:
                return await function(self, *arguments, **keywords)
            except FUSEError:
                self.count_error(opcode)
                raise
            except Exception as error:
                self.count_error(opcode)
                raise self.refusal(f"{opcode.name} {arguments}", error) from error

        return guarded

    return decorate


def read_only(opcode: Opcode) -> Any:
    """Return a handler that refuses what would change the file system."""

    async def refuse(_self: "Operations", *_arguments: Any) -> None:
        raise FUSEError(errno.EROFS)

    return handler(opcode)(refuse)
