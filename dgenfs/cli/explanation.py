"""What a name means, for people."""

from rich.console import RenderableType
from rich.table import Table

from dgenfs.cli.units import size
from dgenfs.content.layout import FORMAT
from dgenfs.content.prediction import content_defined_dedup, fixed_dedup
from dgenfs.names.spec import Spec


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
        ("compression", f"{spec.compress:g} named, {spec.effective_compress:.4f} given"),
        ("a store of 4 KiB chunks sees", f"{fixed_dedup(layout, 4 << 10):.3f}:1 dedup"),
        ("a store of 128 KiB chunks sees", f"{fixed_dedup(layout, 128 << 10):.3f}:1 dedup"),
        (
            "content-defined chunks see",
            f"{content_defined_dedup(layout, 8 << 10):.3f}:1 (8 KiB on average), "
            f"{content_defined_dedup(layout, 2 << 20):.3f}:1 (2 MiB)",
        ),
        ("lz4 and zstd see", f"{spec.effective_compress:.2f}:1 {_tolerance(spec.compress)}"),
    ]
    if spec.tree:
        rows.append(("first and last file", f"{spec.path(0)} {spec.path(spec.files - 1)}"))
    for row in rows:
        table.add_row(*row)
    return table


def _tolerance(compress: float) -> str:
    """Return how far codecs are from the ratio, as measured for content format v1."""
    if compress == 1:
        return ""
    percent = 3.5 if compress <= 4 else 7 if compress <= 10 else 15
    return f"(within {percent:g} %, chunks of 4 KiB to 1 MiB)"
