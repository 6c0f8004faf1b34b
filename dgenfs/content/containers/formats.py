"""The container formats by their extensions.

A format's module is pure Python, as names are read without a compiler, and has

    LEAST
        bytes of the smallest file, whatever its records
    container(size, record, repeats) -> Container
        the file of ``size`` bytes, at least LEAST: ``record`` bytes a record, None for the format's
        default; ``repeats`` says whether units of the content repeat.
        Raises ContainerError where a limit of the format's is passed.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from dgenfs.content.containers import (
    hdf5,
    npy,
    npz,
    parquet,
    safetensors,
    tar,
    tfrecord,
)
from dgenfs.content.containers.frames import Container, ContainerError


class Format(NamedTuple):
    """What a format's module has.

    Attributes:
        least: see above.
        container: see above.
    """

    least: int
    container: Callable[[int, int | None, bool], Container]


FORMATS = {
    "npy": Format(npy.LEAST, npy.container),
    "npz": Format(npz.LEAST, npz.container),
    "tfrecord": Format(tfrecord.LEAST, tfrecord.container),
    "h5": Format(hdf5.LEAST, hdf5.container),
    "hdf5": Format(hdf5.LEAST, hdf5.container),
    "parquet": Format(parquet.LEAST, parquet.container),
    "safetensors": Format(safetensors.LEAST, safetensors.container),
    "tar": Format(tar.LEAST, tar.container),
}


@functools.lru_cache(maxsize=256)
def container(extension: str, size: int, record: int | None, *, repeats: bool) -> Container:
    """Return the file of ``size`` bytes with an extension of FORMATS.

    Args:
        extension: one of them.
        size: bytes.
        record: bytes of a record, None for the format's default.
        repeats: whether units of the content repeat.

    Raises:
        ContainerError: the format has no such file.
    """
    found = FORMATS[extension]
    if size < found.least:
        raise ContainerError(
            f"the least {extension} file has {found.least} bytes; name a larger size"
        )
    return found.container(size, record, repeats)


def index(extension: str, size: int, record: int | None, *, repeats: bool) -> Container:
    """Return the index of the file that ``container`` gives.

    Raises:
        ContainerError: there is no such file.
    """
    container(extension, size, record, repeats=repeats)
    return tfrecord.index(size, record, repeats)
