"""What needs no compiler and no NumPy does not load them."""

import subprocess
import sys

import pytest

HEAVY = ("numba", "llvmlite", "numpy", "pyfuse3", "trio")
COMMANDS = [
    ["--help"],
    ["--version"],
    ["mount", "--help"],
    ["explain", "10G_d4_c2"],
    ["explain", "1000x1M_d2/000017.bin"],
    ["explain", "no name"],
    ["umount", "/nowhere"],
    ["gen"],
    ["gen", "10X"],
    ["gen", "1G", "-o", "-", "--offset", "2G"],
    ["gen", "5x1K", "-o", "-"],
    ["verify", "/nowhere", "--as", "10X"],
    ["verify", "1G", "--seeds", "x"],
    ["mount", "--cache"],
    ["no-command"],
]


def loaded_by(program: str, *arguments: str) -> set[str]:
    """Which of HEAVY a program has loaded at its end."""
    # Commands leave by os._exit.
    watch = (
        "import atexit, os, sys\n"
        "say = lambda *_: print('loaded', *sys.modules, flush=True)\n"
        "leave = os._exit; os._exit = lambda code: (say(), leave(code))\n"
        f"atexit.register(say)\n{program}"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch, *arguments], capture_output=True, text=True, check=False
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    return set(line.split()) & set(HEAVY)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands(arguments: list[str]) -> None:
    assert loaded_by("from dgenfs.cli.main import main; main()", *arguments) == set()


def test_the_package() -> None:
    assert loaded_by("import dgenfs; dgenfs.__version__; dgenfs.Spec; dir(dgenfs)") == set()
    assert "numba" in loaded_by("import dgenfs; dgenfs.DataGenerator")


def test_what_the_package_has() -> None:
    program = (
        "import dgenfs\n"
        "names = {name: getattr(dgenfs, name) for name in dgenfs.__all__}\n"
        "assert set(dgenfs.__all__) <= set(dir(dgenfs)), dir(dgenfs)\n"
        "try:\n    dgenfs.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "module 'dgenfs' has no attribute 'nothing'\n", done.stderr
