"""A daemon that is short of descriptors, memory or disk."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import NAME, advance, clients_of, right
from mounting import DGENFS, RETUNED, Mount, cleaned, environment_of, is_mounted, mounted
from privileges import small_disk
from processes import eventually, run

from dgenfs.mount.mountpoint import mounted_at

MIB = 1 << 20
BESIDE_THE_CACHE = 300 * MIB


@pytest.mark.parametrize("limit", [3, 8, 12, 16, 19])
def test_too_few_descriptors_to_start(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "mnt"
    path.mkdir()
    done = run("prlimit", f"--nofile={limit}", DGENFS, "mount", path, code=None)
    assert done.code != 0
    assert done.err
    if limit > 12:  # with less there is no Python
        assert done.err.startswith("dgenfs: Too many open files: a mount needs 16")
        assert done.err.count("\n") == 1
    assert mounted_at(path) is None


def test_just_enough_descriptors(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, *RETUNED, command=("prlimit", "--nofile=20", DGENFS)) as mount:
        _used(mount)
        (mount.path / ".topology").write_text('{"workers_per_node": 5}')
        _used(mount)


def test_out_of_descriptors(tmp_path: Path) -> None:
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, "5x4K", *RETUNED) as mount,
    ):
        readers = clients.start(mount.path / NAME, 2)
        run("prlimit", "--pid", mount.pid, "--nofile=4:20000")
        right(mount.path / NAME)
        assert run("ls", mount.path / "5x4K").out.count(b"\n") == 5
        assert mount.stats()["open_handles"] >= 2
        (mount.path / ".topology").write_text('{"workers_per_node": 3, "cache_bytes": 8388608}')
        right(mount.path / NAME)
        advance(readers)
        run("prlimit", "--pid", mount.pid, "--nofile=1024:20000")
        clients.end()


def test_clients_out_of_descriptors(tmp_path: Path) -> None:
    opening = (
        "import os, sys\n"
        "try:\n"
        "    while True: os.open(sys.argv[1], os.O_RDONLY)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    with mounted(tmp_path, NAME) as mount:
        done = run("prlimit", "--nofile=500", "python3", "-c", opening, mount.path / NAME)
        assert done.out == b"Too many open files\n"
        assert mount.settled()["open_handles"] == 0
        right(mount.path / NAME)


@contextmanager
def memory_cgroup(limit: int) -> Iterator[Path]:
    """A cgroup with so many bytes of memory, in version 2 or 1 of the interface."""
    for root, setting in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        group = Path("/sys/fs/cgroup", root, f"dgenfs-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / setting).exists():
                (group / setting).write_text(str(limit))
                yield group
                return
        finally:
            eventually(lambda group=group: _removed(group))  # type: ignore[misc]
    pytest.skip("no memory cgroup can be made here")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # a process of it is still there
        return False
    return True


def within(group: Path) -> tuple[str, ...]:
    """The command that runs dgenfs in a cgroup."""
    return ("sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh", DGENFS)


def test_memory_for_the_cache_and_300_mib_is_enough(tmp_path: Path) -> None:
    cache = 64 * MIB
    with (
        memory_cgroup(cache + BESIDE_THE_CACHE) as group,
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, f"--cache={cache}", *RETUNED, command=within(group)) as mount,
    ):
        fio = clients.fio(mount)
        readers = clients.start(mount.path / NAME, 8)
        for count in (8, 1, 4):
            (mount.path / ".topology").write_text(json.dumps({"workers_per_node": count}))
            advance(readers)
            time.sleep(0.3)
        assert fio.poll() is None
        assert mount.peak_rss() <= cache + BESIDE_THE_CACHE
        clients.end()


def test_killed_for_want_of_memory(tmp_path: Path) -> None:
    """Whoever kills, clients get an error and the next mount works."""
    killed = -signal.SIGKILL
    with (
        memory_cgroup(250 * MIB) as group,
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, "--cache=1G", command=within(group), exit_code=killed) as mount,
    ):
        once = f"dd if={mount.path / NAME} of={os.devnull} bs=1M count=900"
        # Twice, as only what is asked for again is kept.
        reader = clients.run(tmp_path / "dd", "sh", "-c", f"{once} && {once}")
        assert reader.wait(30) == 1
        mount.process.wait(5)
    with mounted(tmp_path, NAME) as mount:
        right(mount.path / NAME)


def test_full_log_disk(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with small_disk(tmp_path / "disk", "64k") as disk, cleaned(path):
        log, filler = disk / "log", disk / "filler"
        filler.write_bytes(bytes(60 << 10))
        run("env", "DGENFS_LOG=trace", DGENFS, "mount", path, NAME, f"--log-file={log}")
        for _ in range(10):
            run("ls", "-l", path)
            right(path / NAME)
        assert log.stat().st_size == 4096
        filler.unlink()
        run("ls", "-l", path)
        assert log.stat().st_size > 4096
        run(DGENFS, "umount", path)
        assert mounted_at(path) is None


def test_full_disk_of_standard_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "log").write_bytes(bytes(64 << 10))
        shell = f'exec "$@" 2>>{disk / "log"}'
        command = ("env", "DGENFS_LOG=trace", "sh", "-c", shell, "sh", DGENFS)
        with mounted(tmp_path, NAME, command=command) as mount:
            _used(mount)


def test_standard_error_that_nobody_reads(tmp_path: Path) -> None:
    command = ("env", "DGENFS_LOG=trace", "sh", "-c", '"$@" 2>&1 | true', "sh", DGENFS)
    path = tmp_path / "mnt"
    with cleaned(path):
        process = subprocess.Popen([*command, "mount", "-f", str(path), NAME], env=environment_of())
        eventually(lambda: is_mounted(path))
        right(path / NAME)
        run(DGENFS, "umount", path)
        process.wait(5)


def _used(mount: Mount) -> None:
    for _ in range(5):
        run("ls", "-l", mount.path)
        right(mount.path / NAME)


def test_full_tmp(tmp_path: Path) -> None:
    """Nothing is kept in a temporary folder."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "full").write_bytes(bytes(64 << 10))
        environment = {"TMPDIR": str(disk)}
        with mounted(tmp_path, NAME, environment=environment) as mount:
            _used(mount)
