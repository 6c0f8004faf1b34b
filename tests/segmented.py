"""Files that are more than one range of a content, as containers and faults make them."""

import numpy as np
import oracle
from numpy.typing import NDArray

from dgenfs.content.view import Computed, ContentRange, Literal, View, Zeros
from dgenfs.names.spec import Spec

SEED = 77  # of the names whose files are segmented
HEAD = b"a head of bytes that are given\n" * 33
ZEROS = 5000
COMPUTED = 3001
BEFORE = 100_001  # bytes of content ahead of the zeros

whole_view = Spec.view


def compute(out: NDArray[np.uint8], offset: int) -> None:
    """Bytes that follow from their offset."""
    out[:] = np.arange(offset, offset + out.size) % 251


def view(spec: Spec, file: int | None = None) -> View:
    """In place of ``Spec.view``: names of SEED give segments of all kinds."""
    if spec.seed != SEED or file is None:
        return whole_view(spec, file)
    rest = spec.size - len(HEAD) - ZEROS - COMPUTED - BEFORE
    start = file * spec.size
    return View.of(
        Literal(HEAD),
        ContentRange(spec.layout, start, BEFORE),
        Zeros(ZEROS),
        Computed(COMPUTED, compute),
        ContentRange(spec.layout, start + BEFORE, rest),
    )


def expected(name: str, file: int = 0) -> bytes:
    """What a file of SEED holds."""
    content = oracle.parse(name)
    rest = content.size - len(HEAD) - ZEROS - COMPUTED - BEFORE
    computed = bytes(i % 251 for i in range(COMPUTED))
    before = oracle.read(content, file, 0, BEFORE)
    return HEAD + before + bytes(ZEROS) + computed + oracle.read(content, file, BEFORE, rest)
