"""Commands as people run them."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TAR = ("sh", "-c", 'tar cf - -C "$1" . | cat > /dev/null', "sh", "{tree}")


def timed(
    command: Sequence[str],
    folder: Path,
    trees: Iterator[Path] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Callable[[], float]:
    """Return what times a command, and removes what it made.

    Args:
        command: with places for a tree and for a new copy.
        folder: where the copy goes.
        trees: the tree of each turn.
        before: called ahead of each turn.
    """
    copy = folder / "copy"

    def turn() -> float:
        places = {"copy": copy, "tree": next(trees) if trees is not None else ""}
        arguments = [argument.format(**places) for argument in command]
        before()
        start = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        shutil.rmtree(copy, ignore_errors=True)
        return seconds

    return turn
