"""The command verify."""

from typing import Annotated

import typer

from dgenfs.cli.interruption import TO_CLEAN_UP, allow
from dgenfs.cli.options import Dask, Part, Profile, Scale
from dgenfs.cli.terminal import UNREAD, errors

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Copies to check: files, devices, directories, URLs such as s3://bucket/key; "
        "- is standard input, what --as says or a tar archive.",
    ),
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="What they hold. Default: their name."),
]
Offset = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="First byte of NAME that they hold, such as 1M."),
]
Length = Annotated[str | None, typer.Option(metavar="SIZE", help="Bytes of NAME that they hold.")]
At = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Where in PATH these begin; what is behind them is no matter then."
    ),
]
Seeds = Annotated[str, typer.Option(help="Other seeds whose bytes to recognize, as 0,7,100-199.")]
Direct = Annotated[
    bool, typer.Option("--direct", help="Never read through the page cache, or fail.")
]
Buffered = Annotated[
    bool, typer.Option("--buffered", help="Read through the page cache, and what it holds.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Reads in flight. Default: one a CPU, and at least 16."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Names to pass over in a directory, besides those that systems leave behind, such as "
        "lost+found; '' takes back all before it, these too.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Report in JSON.")]


def verify(
    paths: Paths,
    as_name: As = None,
    offset: Offset = None,
    length: Length = None,
    at: At = None,
    part: Part = "1/1",
    seeds: Seeds = "",
    direct: Direct = False,
    buffered: Buffered = False,
    threads: Threads = None,
    exclude: Exclude = None,
    as_json: Json = False,
    profile: Profile = None,
    scale: Scale = "1",
    dask: Dask = None,
) -> None:
    """Compare copies with what their names say, or a profile.

    A directory that is called as a tree is compared with it, any other by the names in it; what has
    none is not checked.

    Exit code 0 if all are identical, 1 if one is different, 2 if one cannot be read or checked, the
    report cannot be written or the usage is wrong.
    """
    from dgenfs.cli.arguments import Range, data_set_of, excluded, parse_seeds, require_name
    from dgenfs.cli.verification import Options, Verification
    from dgenfs.names.share import Share

    if dask is not None:
        allow(TO_CLEAN_UP)
    with errors(failed=UNREAD):
        data_set = data_set_of(profile, scale)
        if as_name is not None:
            require_name(as_name, data_set)
        options = Options(
            as_name,
            parse_seeds(seeds),
            direct,
            excluded(exclude or ()),
            data_set,
            Share.parse(part),
            Range.parse(offset, length, at),
            buffered=buffered,
            threads=threads,
            dask=dask,
        )
        verification = Verification(options)
        verification.check(paths)
        verification.print(as_json=as_json)
    raise typer.Exit(verification.code)
