"""Parts: what a run of dgenfs gen writes beside its target, and who else may touch it meanwhile."""

import errno
import fcntl
import os
import secrets
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import oracle
import pytest
from mounting import DGENFS
from privileges import BY_THE_MODE, as_nobody, as_root, small_disk
from processes import eventually
from writing import is_whole, names_in, remove, write

from dgenfs.api.chunks import Progress

NAMES = {"file": "64M_s1", "tree": "40x100K_f7_s1"}
OTHERS = {"file": "9M+5_s2", "tree": "30x100K_s2"}
KINDS = pytest.mark.parametrize("kind", ["file", "tree"])


def once(action: Callable[[], None]) -> Progress:
    """What does this at the first bytes."""
    actions = iter([action])

    def progress(_: int) -> None:
        for action in actions:
            action()

    return progress


@contextmanager
def paused(name: str, path: Path) -> Iterator[None]:
    """Another run, which stands still in its midst until the block ends, and then ends well."""
    begun, to_go_on = threading.Event(), threading.Event()

    def progress(_: int) -> None:
        begun.set()
        assert to_go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(write, name, path, progress)
        try:
            eventually(lambda: begun.is_set() or run.done(), 30)
            yield
        finally:
            to_go_on.set()
        run.result(60)


@KINDS
@pytest.mark.parametrize("moved", [False, True])
def test_another_run_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, moved: bool
) -> None:
    """Whose part was taken away publishes nothing, and leaves the other run's alone."""
    tmp_path.chmod(0o777)
    monkeypatch.chdir(tmp_path)
    out, part = Path("out"), Path("out.part")
    with as_nobody(), ExitStack() as stack:

        def take_away() -> None:
            if moved:
                part.rename("moved")
            else:
                remove(part)
            stack.enter_context(paused(OTHERS[kind], out))

        with pytest.raises(FileNotFoundError) as failed:
            write(NAMES[kind], out, once(take_away))
        assert str(failed.value.filename).startswith(str(part))
        assert not out.exists()
    assert names_in(tmp_path) == ["moved", "out"][not moved :]
    assert is_whole(out, OTHERS[kind])


@KINDS
def test_another_run_in_its_place_in_the_last_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Between the last look at PATH.part and its renaming."""
    out, part = tmp_path / "out", tmp_path / "out.part"
    with ExitStack() as stack:

        def take_away() -> None:
            remove(part)
            stack.enter_context(paused(OTHERS[kind], out))

        choose, act = secrets.token_hex, once(take_away)

        def choose_late(length: int) -> str:
            act(0)
            return choose(length)

        monkeypatch.setattr(secrets, "token_hex", choose_late)
        with pytest.raises(FileNotFoundError, match=r"out\.part"):
            write(NAMES[kind], out)
        assert names_in(tmp_path) == ["out.part"]
    assert names_in(tmp_path) == ["out"]
    assert is_whole(out, OTHERS[kind])


@contextmanager
def stopped(name: str, out: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of gen that a signal stops in its midst."""
    command = [DGENFS, "gen", name, "-o", out.name]
    child = subprocess.Popen(command, cwd=out.parent, stderr=subprocess.PIPE, text=True)
    try:
        part = out.with_name(f"{out.name}.part")
        eventually(lambda: part.exists() and part.stat().st_size > 0, 30)
        child.send_signal(signal.SIGSTOP)
        yield child
    finally:
        child.kill()
        child.wait(30)
        assert child.stderr is not None
        child.stderr.close()


def gen(*arguments: object, cwd: Path, before: tuple[str, ...] = ()) -> tuple[int, str]:
    command = [*before, DGENFS, "gen", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True, timeout=60)
    return done.returncode, done.stderr


def read_all(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.read()


def test_a_stopped_run_and_another(tmp_path: Path) -> None:
    """It is named, and keeps its name; whoever removes its part gets no mixture."""
    with small_disk(tmp_path / "disk", "2G") as disk:
        out, part = disk / "out", disk / "out.part"
        with stopped("800M_s1", out) as first:
            done = gen("1M_s2", "-o", "out", cwd=disk)
            told = f"dgenfs: out.part: another run is writing it (process {first.pid})\n"
            assert done == (2, told)
            part.unlink()
            assert gen("1M_s2", "-o", "out", cwd=disk) == (0, "")
            first.send_signal(signal.SIGCONT)
            assert first.wait(60) == 2
            told = "dgenfs: out.part: was removed or replaced while it was written\n"
            assert read_all(first.stderr) == told
        assert names_in(disk) == ["out"]
        assert is_whole(out, "1M_s2")


def a_file(part: Path) -> None:
    part.write_bytes(b"precious")


def a_folder(part: Path) -> None:
    part.mkdir(0o755)
    a_file(part / "file")


def a_sticky_folder(part: Path) -> None:
    a_folder(part)
    part.chmod(0o1777)


def a_link(part: Path) -> None:
    a_file(part.with_name("precious"))
    part.symlink_to("precious")


def a_link_to_nothing(part: Path) -> None:
    part.symlink_to("precious")


def a_hard_link(part: Path) -> None:
    a_file(part.with_name("precious"))
    part.hardlink_to(part.with_name("precious"))


def a_fifo(part: Path) -> None:
    os.mkfifo(part, 0o1644)


def somebody_elses_part(part: Path) -> None:
    a_file(part)
    part.chmod(0o1644)
    as_root("chown", "1234:1234", str(part))


def everything(folder: Path) -> list[tuple[str, int, int, bytes]]:
    found = [(path, path.lstat()) for path in sorted(folder.rglob("*"))]
    return [
        (path.name, one.st_ino, one.st_mode, path.read_bytes() if path.is_file() else b"")
        for path, one in found
    ]


@KINDS
@pytest.mark.parametrize(
    "plant",
    [
        a_file,
        a_folder,
        a_sticky_folder,
        a_link,
        a_link_to_nothing,
        a_hard_link,
        a_fifo,
        somebody_elses_part,
    ],
)
def test_what_is_no_part_of_ours_stays(
    tmp_path: Path, kind: str, plant: Callable[[Path], None]
) -> None:
    with small_disk(tmp_path / "disk", "2M") as disk:  # sticky, as /tmp
        plant(disk / "out.part")
        before = everything(disk)
        with pytest.raises(FileExistsError, match=r"out\.part: is in the way"):
            write(NAMES[kind], disk / "out")
        assert everything(disk) == before


def is_full(other: Path) -> None:
    a_file(other / "file")


def is_somebody_elses(other: Path) -> None:
    other.chmod(0o777)
    as_root("chown", "1234:1234", str(other))


@pytest.mark.parametrize("change", [is_full, is_somebody_elses])
def test_another_directory_in_the_instant_of_making_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """As others can do in a folder that they may write to: it is neither filled nor emptied."""
    part, other, mkdir = tmp_path / "out.part", tmp_path / "other", os.mkdir
    other.mkdir()
    change(other)
    before = everything(other)

    def make(name: str, mode: int, *, dir_fd: int) -> None:
        monkeypatch.undo()
        mkdir(name, mode, dir_fd=dir_fd)
        part.rename(tmp_path / "moved")
        other.rename(part)

    monkeypatch.setattr(os, "mkdir", make)
    with pytest.raises(FileNotFoundError, match=r"was removed or replaced.*out\.part"):
        write(NAMES["tree"], tmp_path / "out")
    assert everything(part) == before
    assert names_in(tmp_path) == ["moved", "out.part"]


def test_a_file_system_that_maps_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    write(NAMES["tree"], tmp_path / "out")
    assert is_whole(tmp_path / "out", NAMES["tree"])


@KINDS
def test_the_directory_is_renamed_and_replaced(tmp_path: Path, kind: str) -> None:
    """What was begun in a directory ends in it, wherever it is now."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()

    def replace() -> None:
        here.rename(there)
        here.mkdir()
        (here / "out.part").write_bytes(b"precious")

    write(OTHERS[kind], here / "out", once(replace))
    assert names_in(here) == ["out.part"]
    assert names_in(there) == ["out"]
    assert is_whole(there / "out", OTHERS[kind])


@pytest.mark.parametrize("name", ["2x100K_s2", "2x9M", "5K"])
def test_a_directory_that_may_not_be_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o300)
    try:
        assert gen(name, "-o", "folder/out", cwd=tmp_path, before=BY_THE_MODE) == (0, "")
    finally:
        folder.chmod(0o700)
    assert is_whole(folder / "out", name)


@pytest.mark.parametrize("name", ["40x1K", "40x1K_f7"])
@pytest.mark.parametrize("more", [False, True])
def test_a_tree_that_lost_files_is_not_published(tmp_path: Path, name: str, more: bool) -> None:
    last = tmp_path / "out.part" / oracle.tree_path(oracle.parse(name), 39)

    def change() -> None:
        if more:
            last.with_name("more").touch()
        else:
            last.unlink()

    with pytest.raises(FileNotFoundError, match=f"{40 + (1 if more else -1)} files are there"):
        write(name, tmp_path / "out", once(change))
    assert names_in(tmp_path) == []


@KINDS
def test_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Where no lock can tell whether a run is at work, its part is refused; no byte is wrong."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    out = tmp_path / "out"

    def replace() -> None:
        with pytest.raises(FileExistsError, match=r"out\.part: .*has no locks"):
            write(OTHERS[kind], out)
        remove(tmp_path / "out.part")
        write(OTHERS[kind], out)

    with pytest.raises(FileNotFoundError):
        write(NAMES[kind], out, once(replace))
    assert names_in(tmp_path) == ["out"]
    assert is_whole(out, OTHERS[kind])


@KINDS
def test_its_name_reaches_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The directory is brought to the disk behind the name, and the content before."""
    sync, out = os.fsync, tmp_path / "out"
    synced: list[tuple[Path, bool]] = []

    def noted(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), out.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write(OTHERS[kind], out)
    assert synced[-1] == (tmp_path, True)
    assert (out, True) in synced
    assert ((tmp_path / "out.part", False) in synced) == (kind == "file")


@KINDS
def test_the_mode(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    modes = []

    def note() -> None:
        modes.append(stat.S_IMODE((tmp_path / "out.part").stat().st_mode))

    before = os.umask(0o027)
    try:
        write(NAMES[kind], out, once(note))
    finally:
        os.umask(before)
    assert modes == [0o1640 if kind == "file" else 0o5750]
    assert stat.S_IMODE(out.stat().st_mode) == (0o640 if kind == "file" else 0o750)


@pytest.mark.parametrize(
    ("name", "size", "path"),
    [
        ("30M", "4M", "30M.part"),
        ("3x9M", "4M", "3x9M.part/"),
        ("3x9M", "64M,nr_inodes=3", "3x9M.part/000001.bin"),
        ("9x1K_f1", "4M,nr_inodes=6", "9x1K_f1.part/0004"),
    ],
)
def test_a_full_disk_says_where(tmp_path: Path, name: str, size: str, path: str) -> None:
    with small_disk(tmp_path / "disk", size) as disk:
        with pytest.raises(OSError, match="No space left on device") as failed:
            write(name, disk / name)
        assert names_in(disk) == []
    assert str(failed.value.filename).startswith(f"{disk}/{path}")


def test_a_device_that_is_full_says_so(tmp_path: Path) -> None:
    told = "dgenfs: /dev/full: No space left on device\n"
    assert gen("1K", "-o", "/dev/full", cwd=tmp_path) == (1, told)
