"""Bytes in memory, compared with what a range of a file should hold."""

from functools import lru_cache
from typing import Any, SupportsIndex

import numpy as np

from dgenfs.names.integers import whole_number
from dgenfs.names.spec import Spec
from dgenfs.verifying.comparing import CHUNK, Comparison, OtherSeeds, Room
from dgenfs.verifying.findings import MAX_EXTENTS, Findings

_ROOM = Room()


def verify_range(
    spec: Spec | str,
    file: SupportsIndex,
    offset: SupportsIndex,
    buffer: Any,
    *,
    seeds: tuple[int, ...] = (),
) -> Findings:
    """Compare bytes, wherever they were read from, with what a range of a file should hold.

    It may be called by any number of threads, which it does not keep from running. Findings of
    other ranges of the same file, in any order and from any process, ``merge``.

    Args:
        spec: what the file should hold, or its name.
        file: number of the file in a tree, 0 for a plain file.
        offset: of the first byte in the file.
        buffer: any C-contiguous object of the buffer protocol. What is behind the file's end is
            in excess.
        seeds: others whose content to recognize.

    Raises:
        SpecError: ``spec`` is not a valid name, or asks for a checksum.
        IndexError: the tree has no such file.
        TypeError: a number is no whole number, or ``buffer`` has no bytes.
        ValueError: ``offset`` is negative or ``buffer`` is not C-contiguous.
    """
    if isinstance(spec, str):
        spec = Spec.parse(spec)
    start = whole_number("offset", offset, 0)
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise ValueError(f"this {type(buffer).__name__} is not C-contiguous: pass one that is")
    data = np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)
    comparison = Comparison(spec.view(file), _others(seeds), _ROOM)
    findings = Findings()
    for at in range(0, data.size, CHUNK):
        comparison.compare(data[at : at + CHUNK], start + at).add_to(findings, MAX_EXTENTS)
    if data.size:
        findings.ranges = [(start, start + data.size)]
    return findings


@lru_cache(maxsize=8)
def _others(seeds: tuple[int, ...]) -> OtherSeeds:
    """Return what recognizes the content of ``seeds``, which takes 1 µs a seed once."""
    return OtherSeeds(seeds)
