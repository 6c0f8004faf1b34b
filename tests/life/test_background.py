import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from clients import NAME, right
from mounting import (
    DGENFS,
    END_SECONDS,
    LIMIT,
    PLANES,
    cleaned,
    environment_of,
    is_mounted,
    mounted,
    watched,
)
from processes import daemons_of, eventually, run, session_of

from dgenfs.mount.mountpoint import mounted_at
from life.faults import with_fault


@pytest.mark.parametrize("plane", PLANES)
def test_background(tmp_path: Path, plane: str) -> None:
    path, log = tmp_path / "mnt", tmp_path / "log"
    with cleaned(path):
        done = run(
            *("env", "DGENFS_LOG=debug", DGENFS, "mount", path, NAME, "5x1K"),
            *(f"--data-plane={plane}", f"--log-file={log}"),
        )
        assert run("ls", path).out.split() == [NAME.encode(), b"5x1K"]
        assert (done.out, done.err) == (b"", "")
        (daemon,) = daemons_of(path)
        with watched(daemon, path, LIMIT):
            process = psutil.Process(daemon)
            assert (process.ppid(), os.getsid(daemon), process.cwd()) == (1, daemon, "/")
            # psutil knows only the terminals that it finds in /dev.
            fields = Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()
            assert int(fields[4]) == 0
            for standard in range(3):
                assert Path(f"/proc/{daemon}/fd/{standard}").readlink() == Path(os.devnull)
            right(path / NAME)
            if plane == "compiled":
                done = run(DGENFS, "umount", path)
                assert (done.out, done.err) == (b"", "")
            else:
                os.kill(daemon, signal.SIGTERM)
            eventually(lambda: session_of(daemon) == [], END_SECONDS)
        assert mounted_at(path) is None
        assert " ERROR " not in log.read_text()
        logged = "pump ended" if plane == "compiled" else "ended by SIGTERM"
        assert logged in log.read_text()


def test_relative_paths_and_links(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        (tmp_path / "link").symlink_to("mnt")
        script = 'cd "$1" && "$2" mount link && ls mnt && "$2" umount link'
        run("sh", "-c", script, "sh", tmp_path, DGENFS)
        assert mounted_at(path) is None


def test_foreground_stays(tmp_path: Path) -> None:
    with mounted(tmp_path) as mount:
        with pytest.raises(subprocess.TimeoutExpired):
            mount.process.wait(0.5)
        assert session_of(mount.pid) == [mount.pid]


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_without_standard_descriptors(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        run("sh", "-c", f'exec "$1" mount "$2" "$3" {closed}', "sh", DGENFS, path, NAME)
        right(path / NAME)
        (daemon,) = daemons_of(path)
        os.kill(daemon, signal.SIGTERM)
        eventually(lambda: session_of(daemon) == [], END_SECONDS)
        assert mounted_at(path) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_the_moment_of_mounting(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        process = subprocess.Popen(
            [DGENFS, "mount", "-f", str(path)],
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment_of(),
        )
        while not is_mounted(path):
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=END_SECONDS)
        assert (process.returncode, session_of(process.pid)) == (0, []), err
        assert mounted_at(path) is None


def test_a_launcher_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        launcher = subprocess.Popen(
            [*with_fault("slow_start"), "mount", str(path)],
            stderr=subprocess.DEVNULL,
            env=environment_of(),
        )
        eventually(lambda: len(daemons_of(path)) == 2)
        launcher.kill()
        launcher.wait()
        eventually(lambda: daemons_of(path) == [])
        assert mounted_at(path) is None


def test_a_mount_that_cannot_be_listed_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        done = run(*with_fault("listing"), "mount", path, code=1, environment=environment_of())
        assert f"{path}: cannot be listed, and is unmounted again: Input/output" in done.err
        eventually(lambda: daemons_of(path) == [])
        assert mounted_at(path) is None


def test_a_mount_without_threads_is_none(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        for foreground in ((), ("-f",)):
            command = (*with_fault("threads", 1), "mount", path, *foreground)
            done = run(*command, code=1, environment=environment_of())
            assert "only 1 of" in done.err
            assert "threads started: can't start new thread" in done.err
            assert "Traceback" not in done.err
            eventually(lambda: daemons_of(path) == [])
            assert mounted_at(path) is None


def test_a_name_of_the_users_own_in_the_table_of_mounts(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "-o", "fsname=test data,noexec") as mount:
        (line,) = [
            line
            for line in Path("/proc/mounts").read_text().splitlines()
            if str(mount.path) in line
        ]
        assert line.startswith(r"test\040data ")
        assert "noexec" in line
        right(mount.path / NAME)
