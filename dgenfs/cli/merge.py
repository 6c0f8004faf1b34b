"""The command merge."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dgenfs.cli.terminal import UNREAD, errors, print_error, print_json, print_text

SHOWN = 20  # parts that are named in a text; JSON names all


def merge(
    reports: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORT...", readable=False, help="What `verify --json --part K/N` printed."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Make one verdict of the reports of all parts, and name the parts that have not reported.

    Exit code 0 if all is identical, 1 if something is different, 2 if a part has not reported or
    could not read or check something, or the usage is wrong.
    """
    from dgenfs.cli import render
    from dgenfs.verifying.merging import PartReport, merged

    with errors(failed=UNREAD):
        parts = (PartReport.parse(path.read_bytes(), str(path)) for path in reports)
        result = merged(parts)
        code = render.code(result.reports, [*result.unchecked, *result.missing])
        for one in result.unchecked:
            print_error(f"{one.path}: {one.reason}")
        if as_json:
            print_json(
                {
                    "identical": code == 0,
                    "parts": {"count": result.count, "missing": result.missing},
                    "reports": [render.as_json(report) for report in result.reports],
                    "unchecked": [render.unreadable_as_json(one) for one in result.unchecked],
                }
            )
        else:
            print_text(
                *map(render.as_text, result.reports), *_silence(result.missing, result.count)
            )
    raise typer.Exit(code)


def _silence(missing: list[int], count: int) -> list[Text]:
    """Return a line on the parts that have not reported, none if all have."""
    if not missing:
        return []
    named = ", ".join(map(str, missing[:SHOWN])) + ", ..." * (len(missing) > SHOWN)
    return [Text(f"{len(missing)} of {count} parts have not reported: {named}", "red")]
