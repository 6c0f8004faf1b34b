"""What a container is made of and what storage will make of it, for people."""

from collections.abc import Iterator

from dgenfs.cli.units import count, size
from dgenfs.content.chunkers import BORG, RESTIC, SMALL, Expected
from dgenfs.content.compression import CODECS
from dgenfs.content.containers.frames import PAGE, Container
from dgenfs.names.spec import Spec

_SHOWN_SPREAD = 0.03  # what borg and restic are held to in tests
_CHUNKS = (4 << 10, 128 << 10, 1 << 20)  # bytes
_SOME = 0.07  # of own bytes, all but what a codec's tolerance holds of which compress to nothing
_MORE = 2  # percent that own bytes are compressed to, at the most


def container_rows(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield what the file consists of, and what stores and codecs see of it."""
    container = spec.container
    assert container is not None
    if not container.payload:
        yield ("index", f"of {count(container.records, 'record')}")
        return
    own = container.size - container.payload
    yield ("format", spec.extension)
    yield ("records", _records(container))
    yield ("payload", f"{container.payload} bytes, from byte {container.first} on")
    yield ("format's own", f"{own} bytes, {100 * own / container.size:.2f} %")
    yield ("records start at", _starts(container))
    yield from _stores(spec, container)
    low = spec.effective_compress
    high = low * container.size / container.payload
    if own <= _SOME * container.size:
        yield ("lz4 and zstd see", f"{high:.2f}:1 {tolerance(spec.compress, _MORE)}".rstrip())
    else:
        yield ("lz4 and zstd see", f"{low:.2f}:1 to {high:.2f}:1, as own bytes repeat")


def _records(container: Container) -> str:
    text = f"{container.records} of {container.record} bytes"
    if container.last != container.record:
        text += f", the last of {container.last}"
    if container.rest:
        text += f"; {container.rest} bytes behind them that readers do not see"
    return text


def _starts(container: Container) -> str:
    """Return whether each record's payload starts at a multiple of 4 KiB."""
    runs = zip(container.starts, container.runs, strict=True)
    first = [start + len(run.head) for start, run in runs if run.payload is not None]
    runs_shown = [run for run in container.runs if run.payload is not None]
    strides = [run.stride for run in runs_shown if run.count > 1]
    if len(runs_shown) == 1 and runs_shown[0].count == 1 and container.records > 1:
        strides.append(container.record)
    if all(at % PAGE == 0 for at in (*first, *strides)):
        return "multiples of 4 KiB"
    return "any byte" if first[0] % PAGE else "any byte, the first at a multiple of 4 KiB"


def _stores(spec: Spec, container: Container) -> Iterator[tuple[str, str]]:
    # Here, as it takes NumPy.
    from dgenfs.content.framed_prediction import framed_content_defined, framed_dedup

    layout = spec.layout
    for chunk in _CHUNKS:
        found = framed_dedup(layout, container, chunk)
        spread = f" \u00b1 {100 * found.spread:.1f} %" if found.spread >= 0.0005 else ""
        yield (f"a store of {size(chunk)} chunks sees", f"{found.ratio:.3f}:1 dedup{spread}")
    small, borg, restic = (
        framed_content_defined(layout, container, one) for one in (SMALL, BORG, RESTIC)
    )
    if small is None or borg is None or restic is None:
        yield ("content-defined chunks", "not calculated, as the format's own bytes are in them")
    else:
        yield from content_defined_rows(small, borg, restic)
    if layout.period < min(container.payload, max(codec.window for codec in CODECS)):
        yield ("codecs find repetition", f"in pieces longer than {size(layout.period)}")


def content_defined_rows(
    small: Expected, borg: Expected, restic: Expected
) -> list[tuple[str, str]]:
    """Return what stores see whose chunks end where the content says so."""
    return [
        ("content-defined chunks see", f"{_with_spread(small)} (8 KiB on average)"),
        ("borg and restic see", f"{_with_spread(borg)}, {_with_spread(restic)}"),
    ]


def _with_spread(expected: Expected) -> str:
    spread = f" ± {100 * expected.spread:.0f} %" if expected.spread > _SHOWN_SPREAD else ""
    return f"{expected.ratio:.3f}:1{spread}"


def tolerance(compress: float, more: int = 0) -> str:
    """Return how far codecs are from the ratio, as measured for content format v1."""
    if compress == 1:
        return f"(within {more} %)" if more else ""
    percent = 3.5 if compress <= 4 else 7 if compress <= 10 else 15
    return f"(within {percent + more:g} %, chunks of 4 KiB to 1 MiB)"
