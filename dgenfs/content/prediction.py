"""The dedup ratio that stores of other chunk sizes than the unit will report."""

import math

from dgenfs.content.layout import Layout


def fixed_dedup(layout: Layout, chunk: int) -> float:
    """Return the dedup ratio, by bytes, of a store that cuts each file into chunks of one size.

    For chunks above the unit it is exact if each file has all chunks that its phase of the
    repetition can give; else it may be less than the store finds.

    Args:
        layout: the numbers of the content.
        chunk: bytes, a power of two.
    """
    if chunk <= layout.unit or layout.whole_files_repeat or layout.size == 0:
        return layout.effective_dedup
    k = chunk // layout.unit
    m, u = layout.units_per_file, layout.content_units
    chunks, tail = divmod(layout.size, chunk)
    files = min(layout.files, u // math.gcd(m, u))  # that start at different content units
    # A file's chunks start at every k-th unit, so they meet the repetition at one of these phases.
    phases = math.gcd(k, u)
    distinct = u // phases * min(files, phases // math.gcd(m, phases))
    distinct_bytes = min(files * chunks, distinct) * chunk + files * tail
    return layout.total_size / distinct_bytes


def content_defined_dedup(layout: Layout, chunk: int) -> float:
    """Return about the dedup ratio of a store whose chunks end where the content says so.

    Such chunks find the repetition at any alignment. What they lose are a file's last chunk and the
    first ones, until their ends are those of the other repetitions: in borg 2 to 4 chunks as a
    rule, up to 20 in content that compresses 4:1 and more.

    Args:
        layout: the numbers of the content.
        chunk: average size, bytes.
    """
    if layout.whole_files_repeat:
        return layout.effective_dedup
    distinct = layout.unique_size + 3 * layout.files * chunk
    return max(1.0, layout.total_size / distinct) if layout.total_size else 1.0
