"""Options that several commands take."""

from typing import Annotated

import typer

Profile = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE",
        help="A data set: mlperf-unet3d or another that is shipped, or a file, ./mine.toml.",
    ),
]
Scale = Annotated[
    str, typer.Option(metavar="FACTOR", help="As many times the profile's files, such as 0.01.")
]
Part = Annotated[
    str,
    typer.Option(
        metavar="K/N", help="The part of it for this host, such as 3/8, the third of eight."
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Have a Dask cluster do it: its scheduler's tcp://host:8786, or local for processes "
        "of this host.",
    ),
]
