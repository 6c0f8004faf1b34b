"""The command line of scripts/soak."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from endurance.soak import soak as run_soak

app = typer.Typer(pretty_exceptions_enable=False, help=__doc__)


@app.callback(invoke_without_command=True)
def soak(
    context: typer.Context,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long in all.")] = 5,
) -> None:
    """Many clients at once on one mount; exit code 1 if an invariant is broken."""
    if context.invoked_subcommand is None and not run_soak(minutes):
        raise typer.Exit(1)


@app.command()
def faults(
    kills: Annotated[int, typer.Option(min=1, help="Times that the daemon is killed.")] = 50,
) -> None:
    """Kill the daemon at random moments under load, and mount again."""
    command = [sys.executable, "-m", "pytest", "tests/faults", "-k", "killed_at_random", "-q"]
    options = ["-o", "faulthandler_timeout=0"]  # it takes as long as it was asked to
    environment = {**os.environ, "DGENFS_TEST_KILLS": str(kills)}
    done = subprocess.run([*command, *options], env=environment, check=False)
    raise typer.Exit(done.returncode)


app(prog_name="scripts/soak")
