"""What must be true of every kernel, whatever it computes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

import dgenfs
from dgenfs.kernels.jit import warm_up

FOLDER = Path(dgenfs.__file__).parent / "kernels"
SOURCES = sorted(FOLDER.glob("*.py"))
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_imports_numba_numpy_and_each_other_only(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package = name.split(".")[0]
            assert (
                package in {"numba", "numpy", "llvmlite"}
                or package in sys.stdlib_module_names
                or name.split(".")[:2] == ["dgenfs", "kernels"]
            ), name


def compiled() -> Iterator[tuple[str, Any]]:
    """Yield every function that Numba compiles, each from the module that defines it."""
    warm_up()
    for source in SOURCES:
        name = f"dgenfs.kernels.{source.stem}".removesuffix(".__init__")
        for value in vars(sys.modules[name]).values():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == name:
                yield f"{source.stem}.{value.py_func.__name__}", value


FUNCTIONS = dict(compiled())
KERNELS = {name: one for name, one in FUNCTIONS.items() if not one.targetoptions.get("inline")}


def test_there_are_kernels() -> None:
    assert {"fill.fill", "compare.compare", "damage.find_damage"} <= KERNELS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_gil_and_no_threads_of_its_own(name: str) -> None:
    options = FUNCTIONS[name].targetoptions
    assert options["nogil"] is True
    assert not options.get("parallel")
    assert not options.get("fastmath")


@pytest.mark.parametrize("name", KERNELS)
def test_one_explicit_signature_and_a_cache_on_disk(name: str) -> None:
    kernel = KERNELS[name]
    assert len(kernel.signatures) == 1
    assert kernel._can_compile is False, "compiles for any types it is called with"
    assert not next(iter(kernel.overloads.values())).library.has_dynamic_globals


PROGRAM = """
import hashlib
import numpy as np
from vectors import VECTORS
from dgenfs import DataGenerator, Spec
from dgenfs.kernels import damage, origins
from dgenfs.kernels.compare import compare
from dgenfs.kernels.crc import combine, crc, masked, repeat, zeros

np.seterr(over="ignore")  # compiled, the arithmetic is modulo 2^64 without a word
for vector in VECTORS:
    generator = DataGenerator(vector.name, threads=1)
    if generator.size > 1 << 19:
        continue
    data = np.zeros(generator.size, np.uint8)
    generator.fill_chunk(data)
    assert hashlib.sha256(data.data).hexdigest() == vector.sha256, vector.name

layout = Spec.parse("64K_d1_c2").layout
data = np.zeros(65536, np.uint8)
DataGenerator("64K_d1_c2").fill_chunk(data)
place = [np.uint64(0), layout.row]
assert compare(data, *place) == (-1, 0, 0)
data[5000] ^= 4
data[8192:12288] = data[32768:36864]
data[20480:24576] = 0
first, wrong, sectors = compare(data, *place)
assert (first, sectors) == (5000, 17)
rows = np.empty((130, damage.COLUMNS), np.int64)
others = origins.others_of(np.zeros(0, np.uint64))
count, sectors = damage.find_damage(data, *place, others, rows)
assert sectors == 17
kinds = rows[:count, damage.KIND].tolist()
assert kinds == [damage.BIT_FLIPS, damage.MISPLACED, damage.ZEROS], kinds
assert rows[1, damage.SHIFT] == 32768 - 8192

digits = np.frombuffer(b"123456789", np.uint8)
for kind, of_digits in ((0, 0xCBF43926), (1, 0xE3069283)):
    start, end = (crc(part, np.uint64(0), kind) for part in (digits[:4], digits[4:]))
    assert crc(digits, np.uint64(0), kind) == of_digits
    assert combine(start, end, np.uint64(5), kind) == of_digits
    again = crc(np.tile(digits, 7), np.uint64(0), kind)
    assert repeat(np.uint64(of_digits), np.uint64(9), np.uint64(7), kind) == again
    none = crc(np.zeros(50, np.uint8), np.uint64(0), kind)
    assert zeros(np.uint64(50), kind) == none
assert masked(np.uint64(0)) == 0xA282EAD8
print("done")
"""


def test_the_same_without_a_compiler() -> None:
    """The kernels are plain Python too: what is true of one is not an accident of the other."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
