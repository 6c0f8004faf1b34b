"""Arguments that many functions of dgen-py have."""

import secrets
from typing import SupportsIndex

from dgenfs.names.grammar import MAX_SEED
from dgenfs.names.integers import whole_number

NUMA_MODES = ("auto", "force", "disabled", "disable")


def threads_of(
    numa_mode: str,
    max_threads: SupportsIndex | None,
    numa_node: SupportsIndex | None = None,
    method: str = "parallel",
) -> int | None:
    """Return the most threads to fill a buffer with, None for one a CPU.

    Raises:
        TypeError: an argument is of no type that it can be of.
        ValueError: an argument is outside its range.
    """
    for what, value in (("numa_mode", numa_mode), ("method", method)):
        if not isinstance(value, str):
            raise TypeError(f"{what} {value!r}: must be text, not a {type(value).__name__}")
    if numa_mode.lower() not in NUMA_MODES:
        raise ValueError(f"numa_mode {numa_mode!r}: must be 'auto', 'force' or 'disabled'")
    if numa_node is not None:
        whole_number("numa_node", numa_node, 0)
    return None if max_threads is None else whole_number("max_threads", max_threads, 0) or None


def seed_of(seed: SupportsIndex | None) -> SupportsIndex:
    """Return ``seed``, a random one for None."""
    return secrets.randbelow(MAX_SEED + 1) if seed is None else seed
