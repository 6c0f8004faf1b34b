"""A small package of kernels, compiled and kept on disk as ours are."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import dgenfs
from dgenfs.kernels import code_cache

# For a process with another HOME: where our code is, as to compile it takes long.
COMPILED_CODE = {"XDG_CACHE_HOME": str(code_cache.folder().parent)}

KERNELS = Path(dgenfs.__file__).parent / "kernels"

# Kernels that are compiled in a moment; one inlines from another module, one calls the other.
STEP = """
from dgenfs.kernels.jit import inlined

@inlined
def stepped(number):
    return number + 27
"""
STEPS = """
from dgenfs.kernels.jit import kernel
from dgenfs.kernels.step import stepped

@kernel("int64(int64)")
def two(number):
    return stepped(stepped(number))

@kernel("int64(int64)")
def three(number):
    return stepped(two(number))
"""
PROGRAM = """
from dgenfs.kernels.steps import three, two
hits = sum(sum(kernel.stats.cache_hits.values()) for kernel in (two, three))
print(two(1000), three(1000), hits)
"""
RIGHT = "1054 1081"
COMPILED, LOADED = (f"{RIGHT} {hits}" for hits in (0, 2))

# Where code is kept, and what the environment says of it.
PLACES: dict[str, tuple[str, dict[str, str]]] = {
    "NUMBA_CACHE_DIR": ("numba/dgenfs", {"NUMBA_CACHE_DIR": "numba", "XDG_CACHE_HOME": "user"}),
    "XDG_CACHE_HOME": ("user/dgenfs", {"XDG_CACHE_HOME": "user"}),
    "HOME": (".cache/dgenfs", {"HOME": "."}),
}


class Copy:
    """A package of kernels in a folder of its own, compiled as ours are."""

    def __init__(self, path: Path, place: str = "NUMBA_CACHE_DIR") -> None:
        self.path = path / "dgenfs" / "kernels"
        self.path.mkdir(parents=True)
        (path / "dgenfs" / "__init__.py").touch()
        for source in ("__init__", "code_cache", "jit"):
            shutil.copy(KERNELS / f"{source}.py", self.path)
        self.step = self.path / "step.py"
        self.step.write_text(STEP)
        (self.path / "steps.py").write_text(STEPS)
        folder, environment = PLACES[place]
        self.place = path / folder
        # Sources change within the second by which Python tells whether its own code is stale.
        self.environment = {
            "PYTHONPATH": str(path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": "/dev/null",
        } | {name: str(path / value) for name, value in environment.items()}

    def start(
        self,
        program: str = PROGRAM,
        *,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        umask: int = -1,
        largest: int = resource.RLIM_INFINITY,
    ) -> tuple[str, str]:
        """Return what a program that uses them prints, and its warnings.

        Args:
            program: what to run.
            before: what runs it.
            environment: changes of it.
            umask: to run with, if not ours.
            largest: bytes of a file that it may write.
        """
        done = subprocess.run(
            ["prlimit", f"--fsize={largest}", *before, sys.executable, "-c", program],
            env={**self.environment, **(environment or {}), "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            text=True,
            umask=umask,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr

    def run(self, program: str = PROGRAM) -> str:
        """Return what a program prints; there are no warnings."""
        out, warnings = self.start(program)
        assert warnings == ""
        return out

    def edit(self) -> None:
        """Change what is inlined, as by a copy that keeps an old time."""
        self.step.write_text(STEP.replace("27", "28"))
        os.utime(self.step, (1, 1))

    def undo(self) -> None:
        self.step.write_text(STEP)

    def files(self) -> set[Path]:
        return {path for path in self.place.rglob("*") if path.is_file()}
