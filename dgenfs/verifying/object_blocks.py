"""Objects below URLs, found by listings and read block by block, some of these ahead."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgenfs.machine.requests import read_range
from dgenfs.machine.store_errors import StoreError
from dgenfs.machine.stores import Store, open_store
from dgenfs.machine.threads import in_order
from dgenfs.verifying.objects import Object, Prefix, is_object
from dgenfs.verifying.reading import NotAFileError
from dgenfs.verifying.reports import Unreadable
from dgenfs.verifying.walking import Report, walk

AHEAD = 8  # GETs under way


class FoundObject(NamedTuple):
    """An object.

    Attributes:
        store: where it is.
        size: bytes.
    """

    store: Store
    size: int


class Block(NamedTuple):
    """A part of an object.

    Attributes:
        url: the object's.
        start: offset of the part.
        length: bytes that it should have.
        data: its bytes, uint8[::1], or why there are none.
    """

    url: str
    start: int
    length: int
    data: NDArray[np.uint8] | OSError


def find_objects(url: str, report: Report) -> Iterator[FoundObject]:
    """Yield the object that a URL names, or all whose keys begin with it and a slash.

    Args:
        url: of an object or a prefix.
        report: called with what is neither, and with what cannot be reached or listed.

    Raises:
        MissingLibraryError: its protocol's library is not installed.
    """
    try:
        place = Prefix(open_store(url))
        try:
            for inside, entry in walk(place, lambda _: True):
                if entry.why:
                    report(Unreadable(place.at(inside), entry.why))
                elif entry.size is None:
                    yield from _of_unknown_size(place.below(inside), report)
                else:
                    yield FoundObject(place.below(inside).store, entry.size)
        except OSError:  # each store says in its own way that it is an object
            if url.endswith("/") or not is_object(url):
                raise
            yield from _of_unknown_size(place, report)
    except (OSError, ValueError) as error:
        report(Unreadable.of(url, error))


def _of_unknown_size(place: Prefix, report: Report) -> Iterator[FoundObject]:
    try:
        yield FoundObject(place.store, Object(place.store, 0).size)
    except (OSError, NotAFileError) as error:
        report(Unreadable.of(place.path, error))


def read_objects(objects: Iterable[FoundObject], length: int) -> Iterator[Block]:
    """Yield objects in blocks of ``length`` bytes; one of no bytes has an empty block."""
    blocks = (
        (found.store, start, min(length, found.size - start))
        for found in objects
        for start in range(0, max(1, found.size), length)
    )
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="dgenfs-analyze") as pool:
        yield from in_order(pool, AHEAD, _block, blocks)


def _block(asked: tuple[Store, int, int]) -> Block:
    store, start, length = asked
    data: NDArray[np.uint8] | OSError = np.empty(0, np.uint8)
    try:
        if length:
            data = read_range(store, start, start + length)
    except StoreError as error:
        data = error
    return Block(store.url, start, length, data)
