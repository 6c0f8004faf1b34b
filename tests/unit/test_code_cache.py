"""Compiled code on disk: never stale, never damaged, and not for ever."""

import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from compiling import COMPILED, LOADED, PLACES, PROGRAM, RIGHT, STEP, Copy
from privileges import as_root, file_system, small_disk

from dgenfs.kernels import code_cache


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_where_code_is_kept(tmp_path: Path, place: str) -> None:
    copy = Copy(tmp_path, place)
    assert copy.run() == COMPILED
    assert len(copy.files()) == 2


def test_stale_code_is_not_used(copy: Copy) -> None:
    """A change reaches the kernels that inline what changed, not its own module only."""
    assert copy.run() == COMPILED
    assert copy.run() == LOADED
    copy.edit()
    assert copy.run() == "1056 1084 0"
    copy.undo()
    assert copy.run() == LOADED


def test_nothing_is_written_into_the_installation(copy: Copy) -> None:
    """So that what removes it leaves nothing."""
    copy.run()
    there = [path for path in copy.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in there} <= {".py", ".pyc"}


def test_a_relative_place_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG Base Directory Specification: all paths must be absolute, others are ignored."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "here")
    monkeypatch.setenv("XDG_CACHE_HOME", "there")
    monkeypatch.setenv("HOME", "/home/user")
    assert code_cache.folder() == Path("/home/user/.cache/dgenfs")


def test_settings_of_the_compiler_are_kept_apart(copy: Copy) -> None:
    assert copy.run() == COMPILED
    checked = {"NUMBA_BOUNDSCHECK": "1"}
    assert copy.start(environment=checked) == (COMPILED, "")
    assert copy.start(environment=checked) == (LOADED, "")
    assert copy.start(environment={"NUMBA_NUM_THREADS": "1"}) == (LOADED, "")
    assert copy.run("from numba import config; config.BOUNDSCHECK = 0\n" + PROGRAM) == COMPILED
    assert copy.run() == LOADED


def test_sources_that_change_during_the_start(copy: Copy) -> None:
    """Code is kept under the name of the sources that it was compiled from, or not at all."""
    text = STEP.replace("27", "28")
    edit = f"from pathlib import Path; Path({str(copy.step)!r}).write_text({text!r})\n"
    change = "import dgenfs.kernels.jit\n" + edit + PROGRAM
    assert copy.run(change) == "1056 1084 0"
    assert copy.files() == set()
    copy.undo()
    assert copy.run() == COMPILED
    assert copy.run(change) == "1056 1084 0"


def test_starts_at_the_same_time(copy: Copy) -> None:
    with ThreadPoolExecutor() as pool:
        for out in pool.map(lambda _: copy.run(), range(2)):
            assert out.startswith(RIGHT)
    assert copy.run() == LOADED


def damaged(kind: str, content: bytes, other: bytes, source: random.Random) -> bytes:
    """What becomes of a file's content, given another file's."""
    if kind == "emptied":
        return b""
    if kind == "cut":
        return content[: source.randrange(1, len(content))]
    if kind == "swapped":
        return other
    bit = source.randrange(8 * len(content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_damaged_code_is_compiled_anew(copy: Copy) -> None:
    source = random.Random(1)
    assert copy.run() == COMPILED
    for kind in ("emptied", "cut", "swapped", "one bit"):
        files = sorted(copy.files())
        contents = [file.read_bytes() for file in files]
        for file, content, other in zip(files, contents, contents[1:] + contents[:1], strict=True):
            file.write_bytes(damaged(kind, content, other, source))
        assert copy.run() == COMPILED, kind
    assert copy.run() == LOADED


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process keeps code for as long as a test."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path / "dgenfs"


def test_no_damage_is_loaded(place: Path) -> None:
    source = random.Random(1)
    payload, other = source.randbytes(20_000), source.randbytes(20_000)
    code_cache.save("a", "1", payload)
    (file,) = place.iterdir()
    code_cache.save("b", "1", other)
    content, foreign = file.read_bytes(), next(place.glob("b-*")).read_bytes()
    for kind in ["emptied", "swapped"] + ["cut", "one bit"] * 300:
        file.write_bytes(damaged(kind, content, foreign, source))
        assert code_cache.load("a", "1") is None
    for changed in (content + b"\0", bytes(len(content)), content[1:], payload):
        file.write_bytes(changed)
        assert code_cache.load("a", "1") is None
    file.write_bytes(content)
    assert code_cache.load("a", "1") == payload


@pytest.mark.parametrize(("name", "identity"), [("b", "1"), ("a", "2"), ("a", "")])
def test_code_of_another_kernel_or_version_is_not_loaded(
    place: Path, name: str, identity: str
) -> None:
    code_cache.save("a", "1", b"code")
    (file,) = place.iterdir()
    code_cache.save(name, identity, b"other")
    (other,) = set(place.iterdir()) - {file}
    shutil.copy(file, other)
    assert code_cache.load(name, identity) is None
    assert code_cache.load("a", "1") == b"code"


def test_what_is_no_file_of_ours_is_not_loaded(place: Path) -> None:
    code_cache.save("a", "1", b"code")
    (file,) = place.iterdir()
    elsewhere = place / "elsewhere"
    file.rename(elsewhere)
    for kind in ("link", "FIFO", "writable"):
        if kind == "link":
            file.symlink_to(elsewhere)
        elif kind == "FIFO":
            os.mkfifo(file)
        else:
            shutil.copy(elsewhere, file)
            file.chmod(0o620)
        assert code_cache.load("a", "1") is None
        code_cache.save("a", "1", b"code")
        assert code_cache.load("a", "1") == b"code"
        file.unlink()
    file.mkdir()
    assert code_cache.load("a", "1") is None
    code_cache.save("a", "1", b"code")
    assert {path.name for path in place.iterdir()} == {file.name, elsewhere.name}


def test_code_used_long_ago_is_removed(place: Path) -> None:
    """Within the bound nothing goes; past it, what nobody has started with goes first."""
    for name in ("used", "unused", "late"):
        code_cache.save(name, "1", b"code")
    (place / "not ours").write_bytes(b"")
    for days, path in enumerate(place.iterdir(), 1000):
        os.utime(path, (days, days))
    assert code_cache.load("used", "1") == b"code"
    large = place / "0.code"
    large.touch()
    os.truncate(large, code_cache.BOUND - 250)
    code_cache.save("new", "1", b"code")
    assert code_cache.load("unused", "1") == b"code"
    assert code_cache.load("late", "1") == b"code"
    for name in ("unused", "late"):
        (file,) = place.glob(f"{name}-*")
        os.utime(file, (1000 + len(name), 1000 + len(name)))
    code_cache.save("newer", "1", bytes(100))
    assert code_cache.load("late", "1") is None
    for name in ("used", "unused", "new", "newer"):
        assert code_cache.load(name, "1") is not None, name
    assert (place / "not ours").exists()
    os.truncate(large, code_cache.BOUND + 1)
    os.utime(large, (1, 1))
    code_cache.save("newest", "1", b"code")
    assert not large.exists()
    assert code_cache.load("used", "1") == b"code"


def test_code_is_removed_while_others_load_it(place: Path) -> None:
    """What is loaded is right or not there, and nothing of what is written stays behind."""
    payloads = {str(n): random.Random(n).randbytes(1000 * n) for n in range(1, 9)}
    ballast = place / "0.code"
    code_cache.save("first", "1", b"")
    ballast.touch()
    os.truncate(ballast, code_cache.BOUND - 10_000)
    os.utime(ballast, (2**32, 2**32))  # in the future, so it stays
    ends = time.monotonic() + 1
    loaded = []

    def start() -> None:
        while time.monotonic() < ends:
            for name, payload in payloads.items():
                found = code_cache.load(name, "1")
                assert found in (None, payload)
                if found is None:
                    code_cache.save(name, "1", payload)
                else:
                    loaded.append(name)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(start) for _ in range(4)]:
            done.result()
    assert loaded
    ballast.unlink()
    assert all(path.stem[:2] in {f"{name}-" for name in payloads} for path in place.iterdir())


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_cannot_be_written(copy: Copy, tmp_path: Path, large: bool) -> None:
    """The kernels work all the same, one line says why starts take long, and no part is left."""
    if large:
        out, warnings = copy.start(largest=1000)
        why = f"{copy.place}: File too large"
    else:
        with small_disk(tmp_path / "disk", "8k") as disk:
            out, warnings = copy.start(environment={"NUMBA_CACHE_DIR": str(disk)})
            assert not any((disk / "dgenfs").iterdir())
            why = f"{disk}/dgenfs: No space left on device"
    assert out == COMPILED
    assert why in warnings
    assert warnings.count("\n") == 1
    assert copy.files() == set()


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_no_home(copy: Copy, home: str) -> None:
    out, warnings = copy.start(
        environment={"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": home}
    )
    assert out == COMPILED
    assert f"{home}/.cache/dgenfs: " in warnings
    assert warnings.count("\n") == 1


def test_a_disk_that_is_read_only(copy: Copy, tmp_path: Path) -> None:
    """What is there is used, and nothing is said."""
    with file_system("tmpfs", tmp_path / "disk") as disk:
        copy.environment["NUMBA_CACHE_DIR"] = str(disk)
        assert copy.run() == COMPILED
        as_root("mount", "-o", "remount,ro", str(disk))
        assert copy.run() == LOADED
        copy.edit()
        out, warnings = copy.start()
    assert out == "1056 1084 0"
    assert f"{disk}/dgenfs: Read-only file system" in warnings
    assert warnings.count("\n") == 1
