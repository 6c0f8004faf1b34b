"""What a name means, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from dgenfs.cli.container_rows import container_rows, content_defined_rows, tolerance
from dgenfs.cli.units import size
from dgenfs.content.chunkers import BORG, RESTIC, SMALL, content_defined_dedup
from dgenfs.content.compression import CODECS, compression
from dgenfs.content.layout import FORMAT, Layout
from dgenfs.content.prediction import deviation, fixed_dedup, is_close
from dgenfs.names.nearby import close_names
from dgenfs.names.spec import Spec

_CODEC_CHUNKS = (4 << 10, 128 << 10, 1 << 20)  # bytes


def explanation(spec: Spec) -> RenderableType:
    """Return what a name means and what storage will make of it."""
    layout = spec.layout
    table = Table(box=None, show_header=False)
    rows = [
        ("name", spec.name),
        ("content format", f"v{FORMAT}"),
        ("files", f"{spec.files} of {size(spec.size)}" if spec.tree else size(spec.size)),
        ("dedup unit", size(spec.unit)),
        ("units", f"{layout.units}, of which {layout.content_units} distinct"),
        ("distinct bytes", size(layout.unique_size)),
        ("seed", str(spec.seed)),
        ("key", f"{spec.key:016x}"),
        ("dedup", f"{spec.dedup:g} named, {spec.effective_dedup:.4f} given"),
        *_rounding(spec),
        ("compression", f"{spec.compress:g} named, {spec.effective_compress:.4f} given"),
        *(_plain_stores(spec) if spec.container is None else container_rows(spec)),
    ]
    if spec.tree:
        rows.append(("first and last file", f"{spec.path(0)} {spec.path(spec.files - 1)}"))
    for row in rows:
        table.add_row(*row)
    return table


def _plain_stores(spec: Spec) -> list[tuple[str, str]]:
    """Return what stores and codecs see of content that stands alone."""
    layout = spec.layout
    return [
        ("a store of 4 KiB chunks sees", f"{fixed_dedup(layout, 4 << 10):.3f}:1 dedup"),
        ("a store of 128 KiB chunks sees", f"{fixed_dedup(layout, 128 << 10):.3f}:1 dedup"),
        *content_defined_rows(
            *(content_defined_dedup(layout, one) for one in (SMALL, BORG, RESTIC))
        ),
        ("lz4 and zstd see", f"{spec.effective_compress:.2f}:1 {tolerance(spec.compress)}"),
        *_codecs(layout),
    ]


def _rounding(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield a row if whole units or whole files cannot give the dedup ratio."""
    if not is_close(spec.layout):
        names = " and ".join(other.name for other in close_names(spec)) or "no name nearby"
        off = 100 * deviation(spec.layout)
        yield ("rounding", f"up to {off:.1f} % off; within 2 %: {names}")


def _codecs(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield a row for each codec that finds the repetition within a chunk or a file."""
    for codec in CODECS:
        ratios = [
            f"{ratio:.2f}:1 in {size(chunk)}"
            for chunk in _pieces(layout)
            if (ratio := compression(layout, codec, chunk)) > 1.01 * layout.effective_compress
        ]
        if ratios:
            yield (f"{codec.name} finds repetition", ", ".join(ratios))


def _pieces(layout: Layout) -> list[int]:
    """Return what codecs take at a time, in bytes: chunks, and a whole file."""
    return sorted({layout.size, *(chunk for chunk in _CODEC_CHUNKS if chunk < layout.size)} - {0})
