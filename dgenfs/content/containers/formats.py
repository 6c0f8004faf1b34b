"""The container formats by their extensions.

A format's module is pure Python, as names are read without a compiler, and has two functions:

    least(record) -> int
        bytes of the smallest file, which holds one byte of payload
    container(size, record, repeats) -> Container
        the file of ``size`` bytes, at least ``least(record)``: ``record`` bytes a record, None for
        the format's default; ``repeats`` says whether units of the content repeat.
        Raises ContainerError where a limit of the format's is passed.
"""

from collections.abc import Callable
from typing import NamedTuple

from dgenfs.content.containers import npy
from dgenfs.content.containers.frames import Container


class Format(NamedTuple):
    """What a format's module has.

    Attributes:
        least: see above.
        container: see above.
    """

    least: Callable[[int | None], int]
    container: Callable[[int, int | None, bool], Container]


FORMATS = {
    "npy": Format(npy.least, npy.container),
}
