"""What must be true of every kernel, whatever it computes."""

import ast
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    assert kernel._cache.cache_path


FIRST_WORD = """
import numpy as np
from dgenfs.kernels.fill import fill
out = np.empty(8, np.uint8)
fill(out, np.uint64(0), np.array([7, 4096, 1000, 64000, 0, 0, 0, 0], np.uint64))
print(out.tobytes().hex(), fill.stats.cache_path)
"""
# Where code is kept, and what the environment says of it.
PLACES: dict[str, tuple[str, dict[str, str]]] = {
    "in the tree": ("__pycache__", {}),
    "NUMBA_CACHE_DIR": ("numba", {"NUMBA_CACHE_DIR": "numba"}),
    "XDG_CACHE_HOME": ("user/dgenfs", {"XDG_CACHE_HOME": "user"}),
    "HOME": (".cache/dgenfs", {"HOME": "."}),
    "none": ("", {"NUMBA_CACHE_DIR": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}),
}


class Copy:
    """The kernels that ``fill`` is made of, in a folder of their own that a test may change."""

    def __init__(self, path: Path, place: str) -> None:
        self.path = path / "dgenfs" / "kernels"
        self.path.mkdir(parents=True)
        (path / "dgenfs" / "__init__.py").touch()
        for source in ("__init__", "atomic", "jit", "row", "words", "fill"):
            shutil.copy(FOLDER / f"{source}.py", self.path)
        self.words = self.path / "words.py"
        folder, environment = PLACES[place]
        self.place = self.path / folder
        if place != "in the tree":
            (self.path / "__pycache__").touch()  # as in a folder that only root may write to
        self._environment = {"PYTHONPATH": str(path), "HOME": "/dev/null"} | {
            name: str(self.path / value) for name, value in environment.items()
        }

    def run(self, program: str = FIRST_WORD) -> list[str]:
        """Return the words that a program prints, the first word and where its code is kept."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=self._environment,
            cwd=self.path.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def edit(self) -> None:
        """Change the word function, as by a copy that keeps an old time."""
        text = self.words.read_text()
        assert "_S27 = np.uint64(27)" in text
        self.words.write_text(text.replace("_S27 = np.uint64(27)", "_S27 = np.uint64(28)"))
        os.utime(self.words, (1, 1))

    def undo(self) -> None:
        shutil.copy(FOLDER / "words.py", self.words)

    def folders(self) -> set[str]:
        return {path.name for path in self.place.glob("dgenfs-*")}


@pytest.mark.parametrize("place", [name for name in PLACES if name != "none"])
def test_stale_code_is_not_used(tmp_path: Path, place: str) -> None:
    """A changed word function reaches the kernels that inline it, not its own module only."""
    copy = Copy(tmp_path, place)
    word, folder = copy.run()
    assert copy.run() == [word, folder]
    assert Path(folder).parents[1] == copy.place
    copy.edit()
    changed, other_folder = copy.run()
    assert changed != word
    assert Path(other_folder).parents[1] == copy.place
    copy.undo()
    assert copy.run() == [word, folder]


def test_code_that_checks_bounds_is_kept_apart(tmp_path: Path) -> None:
    folders = set()
    for checked in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", "from dgenfs.kernels import jit; print(jit._folder())"],
            env={**os.environ, "NUMBA_BOUNDSCHECK": checked, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        folders.add(done.stdout)
    assert len(folders) == 2


def test_code_of_other_sources_is_removed_when_it_is_not_used(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "in the tree")
    first = copy.run()
    (used,) = copy.folders()
    unused, foreign = f"dgenfs-{'0' * 32}", "dgenfs-of-somebody-else"
    for name in (unused, foreign):
        (copy.place / name / "kernels_0").mkdir(parents=True)
        os.utime(copy.place / name, (1, 1))
    assert copy.run() == first
    assert copy.folders() == {used, unused, foreign}
    copy.edit()
    copy.run()
    assert unused not in copy.folders()
    assert {used, foreign} < copy.folders()
    # A start with it counts as use, else it would be removed in the midst of one.
    os.utime(copy.place / used, (1, 1))
    copy.undo()
    assert copy.run() == first
    assert (copy.place / used).stat().st_mtime > time.time() - 600


def test_sources_that_change_during_the_start(tmp_path: Path) -> None:
    """Code is kept under the name of the sources that it was compiled from, or not at all."""
    copy = Copy(tmp_path, "NUMBA_CACHE_DIR")
    copy.edit()
    changed = copy.words.read_text()
    copy.undo()
    edit = f"from pathlib import Path; Path({str(copy.words)!r}).write_text({changed!r})\n"
    word, folder = copy.run("import dgenfs.kernels.jit\n" + edit + FIRST_WORD)
    assert folder == "None"
    copy.undo()
    assert copy.run()[0] != word


def test_compiled_code_that_is_removed_meanwhile(tmp_path: Path) -> None:
    """Another process removes the folder or fills the disk: the kernels work all the same."""
    copy = Copy(tmp_path, "NUMBA_CACHE_DIR")
    remove = """
import shutil
import numba.core.caching as caching
save = caching.IndexDataCacheFile.save
def removing(cache, key, data):
    shutil.rmtree(cache._cache_path)
    save(cache, key, data)
caching.IndexDataCacheFile.save = removing
"""
    word, folder = copy.run(remove + FIRST_WORD)
    assert folder == "None"
    assert copy.run()[0] == word


def test_starts_at_the_same_time(tmp_path: Path) -> None:
    copy = Copy(tmp_path, "in the tree")
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: copy.run(), range(2))
    assert first == second == copy.run()


def test_no_place_to_keep_compiled_code(tmp_path: Path) -> None:
    """As for a user without a home and with an installation that only root may write to."""
    copy = Copy(tmp_path, "none")
    assert copy.run()[1] == "None"


def test_numba_finds_no_place_to_keep_compiled_code() -> None:
    program = (
        "import numba.core.caching as caching; caching.CacheImpl._locator_classes = []; "
        "from dgenfs.kernels.fill import fill; print(repr(fill.stats.cache_path))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "None\n", done.stderr


PROGRAM = """
import hashlib
import numpy as np
from vectors import VECTORS
from dgenfs import DataGenerator, Spec
from dgenfs.kernels import damage
from dgenfs.kernels.compare import compare

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
count, sectors = damage.find_damage(data, place[0], layout.row[None, :], rows)
assert sectors == 17
kinds = rows[:count, damage.KIND].tolist()
assert kinds == [damage.BIT_FLIPS, damage.MISPLACED, damage.ZEROS], kinds
assert rows[1, damage.SHIFT] == 32768 - 8192
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
