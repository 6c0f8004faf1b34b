"""Control files by clients that believe st_size, and by many at once."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from control_files import write
from mounting import Mount, mounted
from privileges import NOBODY, user_command
from prometheus_client.parser import text_string_to_metric_families
from reading import opened

from dgenfs.mount.control_handles import MOST, MOST_OF_A_USER

NAMES = (".stats", ".metrics", ".topology")


def by_command(*command: str) -> Callable[[Path, Path], None]:
    """Run in a shell with source and target, which it may make by its output."""

    def copy(source: Path, target: Path) -> None:
        subprocess.run(["sh", "-ec", *command, "sh", source, target], check=True, timeout=30)

    return copy


def by_shutil(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def by_sendfile(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as out:
        while os.sendfile(out.fileno(), file.fileno(), None, 1 << 20):
            pass


def by_splice(source: Path, target: Path) -> None:
    """Through a pipe, and in pieces."""
    reading, writing = os.pipe()
    try:
        with source.open("rb") as file, target.open("wb") as out:
            while os.splice(file.fileno(), writing, 1000):
                os.splice(reading, out.fileno(), 1000)
    finally:
        os.close(reading)
        os.close(writing)


COPIES: dict[str, Callable[[Path, Path], None]] = {
    "cp": by_command('cp "$1" "$2"'),
    "cat": by_command('cat "$1" > "$2"'),
    "dd": by_command('dd if="$1" of="$2" bs=100 status=none'),
    "tar": by_command('tar -cf - -C "${1%/*}" "${1##*/}" | tar -xOf - > "$2"'),
    "rsync": by_command('rsync -a "$1" "$2"'),
    "busybox cat": by_command('busybox cat "$1" > "$2"'),
    "busybox cp": by_command('busybox cp "$1" "$2"'),
    "head": by_command('head -c "$(stat -c %s "$1")" "$1" > "$2"'),
    "shutil": by_shutil,
    "sendfile": by_sendfile,
    "splice": by_splice,
}


def is_whole(name: str, data: bytes) -> bool:
    assert data.endswith(b"\n")
    assert b"\0" not in data
    if name == ".metrics":
        families = list(text_string_to_metric_families(data.decode()))
        return any(family.name == "dgenfs_uptime_seconds" for family in families)
    return len(json.loads(data)) > 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("client", COPIES)
def test_copies_are_whole(mount: Mount, tmp_path: Path, name: str, client: str) -> None:
    path, target = mount.path / name, tmp_path / "copy"
    COPIES[client](path, target)
    data = target.read_bytes()
    assert is_whole(name, data)
    assert len(data) == path.stat().st_size


def test_stat_and_ls_and_a_read_agree(mount: Mount) -> None:
    for name in NAMES:
        path = mount.path / name
        size = path.stat().st_size
        listed = subprocess.run(["ls", "-l", path], check=True, capture_output=True, text=True)
        assert int(listed.stdout.split()[4]) == size
        with path.open("rb") as file:
            first = file.read()
            assert len(first) == size == os.fstat(file.fileno()).st_size
            file.seek(0)
            assert file.read() == first


def test_blanks_are_few(mount: Mount) -> None:
    """They go over a terminal's lines."""
    for name in NAMES:
        data = (mount.path / name).read_bytes()
        assert 512 <= len(data) - len(data.rstrip()) <= 2048, name


def test_the_size_follows_the_settings(mount: Mount, tmp_path: Path) -> None:
    """At once: the next copy has all workers."""
    path = mount.path / ".topology"
    for workers in (40, 2, 100):
        write(path, json.dumps({"workers_per_node": workers}).encode())
        by_sendfile(path, tmp_path / "copy")
        data = (tmp_path / "copy").read_bytes()
        assert len(data) == path.stat().st_size
        assert json.loads(data)["workers_per_node"] == workers


HOLD = """
for (1 .. $ARGV[1]) { open(my $file, "<", $ARGV[0]) or $error = $! + 0, next; push(@held, $file) }
$| = 1; printf("%d %d\\n", scalar(@held), $error); <STDIN>
"""


def hold(root: int, name: str, times: int, user: int) -> "subprocess.Popen[str]":
    """Open a file in ``root`` again and again as ``user``, until standard input ends."""
    command = (*user_command(user), "perl", "-e", HOLD, f"/proc/self/fd/{root}/{name}", str(times))
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[root]
    )


def test_what_others_have_open_is_bounded(tmp_path: Path) -> None:
    """In number a user and in memory, and does not keep the owner out."""
    with (
        mounted(tmp_path, "--allow-other", limit=240) as mount,
        opened(mount.path, os.O_PATH) as root,
    ):
        before = mount.rss()
        users: list[subprocess.Popen[str]] = []
        held = []
        try:
            for i in range(12):
                users.append(hold(root, ".metrics", 1000, NOBODY - i))
                told = users[-1].stdout
                assert told is not None
                count, refused = map(int, told.readline().split())
                held.append(count)
                assert refused == (errno.EMFILE if i < MOST // MOST_OF_A_USER else errno.ENFILE)
            assert held == [MOST_OF_A_USER] * (MOST // MOST_OF_A_USER) + [0] * 4
            assert mount.rss() - before < 64 << 20
            assert mount.stats()["open_handles"] >= sum(held)
            assert mount.topology()["nodes"]
        finally:
            for process in users:
                process.communicate()
        mount.settled()
        again = hold(root, ".metrics", 1, NOBODY)
        assert again.communicate()[0].split() == ["1", "0"]
