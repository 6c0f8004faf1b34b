"""The command line of scripts/bench."""

from typing import Annotated

import typer

from benchmarks.generate import generate as run_generate
from benchmarks.mount import mount as run_mount
from benchmarks.verify import verify as run_verify

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Rounds = Annotated[int, typer.Option(min=3, help="Turns of each case.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command()
def generate(rounds: Rounds = 21, as_json: Json = False) -> None:
    """Generation into a buffer, with dgen-py and memset as peers."""
    run_generate(rounds, as_json=as_json)


@app.command()
def mount(rounds: Rounds = 3, as_json: Json = False) -> None:
    """Reads and copies from a mount, with mock-large-files-fuse and the Python plane as peers."""
    run_mount(rounds, as_json=as_json)


@app.command()
def verify(rounds: Rounds = 7, as_json: Json = False) -> None:
    """Verification of a 4 GiB file in memory, with a plain read as peer."""
    run_verify(rounds, as_json=as_json)


app(prog_name="scripts/bench")
