"""The dedup ratio that stores of other chunk sizes than the unit will report."""

import math

from dgenfs.layout import Layout, whole_files_repeat


def fixed_dedup(layout: Layout, chunk: int) -> float:
    """Return the dedup ratio of a store that cuts each file into chunks of one size.

    Exact for chunks up to the unit and where whole files repeat; above, exact where a chunk's units
    divide a file's, and else an upper bound on the distinct chunks.

    Args:
        layout: the numbers of the content.
        chunk: bytes, a power of two.
    """
    if chunk <= layout.unit or whole_files_repeat(layout.files, layout.dedup_milli):
        return layout.effective_dedup
    k = chunk // layout.unit
    m, u = layout.units_per_file, layout.content_units
    chunks = layout.files * -(-m // k)
    # A file's chunks start at every k-th unit: they meet the repetition at one phase of this many.
    phases = math.gcd(k, u)
    distinct = u // phases * min(layout.files, phases // math.gcd(m, phases))
    return chunks / min(chunks, distinct)


def content_defined_dedup(layout: Layout, chunk: int) -> float:
    """Return about the dedup ratio of a store whose chunks end where the content says so.

    Such chunks find the repetition at any alignment. What they lose are a file's last chunk and the
    first ones, until their ends are those of the other repetitions: in borg 2 to 4 chunks as a
    rule, up to 20 in content that compresses 4:1 and more.

    Args:
        layout: the numbers of the content.
        chunk: average size, bytes.
    """
    if whole_files_repeat(layout.files, layout.dedup_milli):
        return layout.effective_dedup
    distinct = layout.unique_size + 3 * layout.files * chunk
    return max(1.0, layout.total_size / distinct) if layout.total_size else 1.0
