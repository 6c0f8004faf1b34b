"""Names near to one whose dedup ratio suffers from rounding."""

from collections.abc import Iterator
from dataclasses import replace

from dgenfs.content.layout import MIN_UNIT, default_unit, many_files
from dgenfs.content.prediction import is_close
from dgenfs.names.grammar import SpecError
from dgenfs.names.spec import Spec

# A multiple of the ratio is as near, in files or in units, and gives it whole; it is 1000 at most.
_REACH = 1024


def close_names(spec: Spec) -> list[Spec]:
    """Return the specs with the nearest number of files and size that keep the ratio within 2 %.

    Args:
        spec: one that does not, by ``content.prediction.is_close``.

    Returns:
        One of another number of files, if it is a tree of few, and one of another size; without one
        that is not found nearby.
    """
    few = spec.tree and not many_files(spec.files, spec.layout.dedup_milli)
    counts = _around(spec.files, 1) if few else ()
    sizes = (size for step in (MIN_UNIT, spec.unit) for size in _around(spec.layout.size, step))
    others = (
        (_with(spec, files, spec.layout.size) for files in counts),
        (_with(spec, spec.files, size) for size in sizes),
    )
    found = (
        next((other for other in some if is_close(other.layout) and _is_valid(other)), None)
        for some in others
    )
    return [other for other in found if other is not None]


def _around(value: int, step: int) -> Iterator[int]:
    """Yield the multiples of ``step`` above 0 on either side of ``value``, the nearest first."""
    below, above = value // step, value // step + 1
    for _ in range(2 * _REACH):
        if below > 0 and value - below * step <= above * step - value:
            yield below * step
            below -= 1
        else:
            yield above * step
            above += 1


def _is_valid(spec: Spec) -> bool:
    """Return whether there is such a file, as a container has a least size and limits."""
    try:
        Spec.parse(spec.name)
    except SpecError:
        return False
    return True


def _with(spec: Spec, files: int, size: int) -> Spec:
    """Return the spec with other numbers; its unit is the default one if it was."""
    layout = spec.layout
    unit = layout.unit
    if unit == default_unit(layout.files, layout.size, layout.dedup_milli):
        unit = default_unit(files, size, layout.dedup_milli)
    return replace(spec, layout=replace(layout, files=files, size=size, unit=unit))
