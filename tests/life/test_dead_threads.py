"""A mount whose threads are dead, or that nobody answers for, ends: nobody waits for ever."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from clients import NAME, clients_of
from mounting import DGENFS, END_SECONDS, PLANES, cleaned, ended, environment_of, mounted
from processes import Done, daemons_of, eventually, run

from dgenfs.mount import mountpoint
from dgenfs.mount.mountpoint import MountError, mounted_at, prepare
from life.faults import BAD_OFFSET, with_fault

FAILED = "ended: all threads that answer requests failed"
BUILT_IN = ["ERROR .* failed", "ERROR .* ended", "Traceback", "built-in fault"]


def refused(path: Path, done: Done, message: str) -> None:
    """In one line, and nothing is left."""
    assert message in done.err, done
    assert (done.code, done.out, done.err.count("\n")) == (1, b"", 1), done
    eventually(lambda: daemons_of(path) == [])
    assert mounted_at(path) is None


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("where", [(), ("-f",)], ids=["background", "foreground"])
def test_without_compiled_code(tmp_path: Path, plane: str, where: tuple[str, ...]) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        command = ("env", "NUMBA_DISABLE_JIT=1", DGENFS, "mount", path, f"--data-plane={plane}")
        refused(path, run(*command, *where, code=None), "NUMBA_DISABLE_JIT is set")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("workers_that_fail", "at once"), "cannot be listed, and is unmounted again"),
        (("pump",), "cannot be listed, and is unmounted again"),
        (("silence", "workers", "1"), "answers nothing for 1 s, and is unmounted again"),
        (("silence", "libfuse", "1"), "libfuse answers nothing for 1 s"),
    ],
    ids=["workers fail", "pump fails", "silent workers", "silent libfuse"],
)
def test_the_launcher_does_not_wait(tmp_path: Path, fault: tuple[str, ...], message: str) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        quiet = environment_of({"DGENFS_LOG": "off"})
        done = run(*with_fault(*fault), "mount", path, NAME, code=None, environment=quiet)
        if "cannot be listed" in message and "ended at once" in done.err:
            message = "ended at once: dgenfs mount -f says why"  # it was gone before the listing
        refused(path, done, message)


@pytest.mark.parametrize("fault", [("workers_that_fail", "at once"), ("pump",)], ids=" ".join)
def test_in_the_foreground(tmp_path: Path, fault: tuple[str, ...]) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        done = run(*with_fault(*fault), "mount", "-f", path, code=1, environment=environment_of())
        assert "dgenfs: " in done.err.splitlines()[-1]
        assert ": ended: " in done.err.splitlines()[-1]
        assert daemons_of(path) == []
        assert mounted_at(path) is None


def test_all_threads_die_later(tmp_path: Path) -> None:
    command = with_fault("workers_that_fail", "later")
    with (
        clients_of(tmp_path) as clients,
        mounted(
            *(tmp_path, NAME, "--workers-per-node=2"),
            command=command,
            exit_code=1,
            expected_log=[*BUILT_IN, "not replaced any more", FAILED],
        ) as mount,
    ):
        file = mount.path / NAME
        run("head", "-c1000", file)
        read = f"dd if={file} bs=1000 count=1 skip={BAD_OFFSET} iflag=skip_bytes"
        readers = [
            clients.run(tmp_path / f"dd-{i}", "sh", "-c", f"{read}; {read}; {read}")
            for i in range(4)
        ]
        ended(mount, 20)
        for reader in readers:
            assert reader.wait(END_SECONDS) == 1


def test_where_a_daemon_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one to mount there does not wait for ever either."""
    monkeypatch.setattr(mountpoint, "ANSWER_SECONDS", 1)
    with mounted(tmp_path, NAME) as mount:
        os.kill(mount.pid, signal.SIGSTOP)
        try:
            with pytest.raises(MountError, match="answers nothing for 1 s: umount -l"):
                prepare(mount.path)
        finally:
            os.kill(mount.pid, signal.SIGCONT)


def test_a_launcher_that_is_interrupted_while_it_waits(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        launcher = subprocess.Popen(
            [*with_fault("silence", "workers", "60"), "mount", path, NAME],
            env=environment_of({"DGENFS_LOG": "off"}),
        )
        waits = Path(f"/proc/{launcher.pid}/wchan")  # for the daemon it waits in a pipe
        eventually(lambda: mounted_at(path) is not None and "futex" in waits.read_text())
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(20) == 128 + signal.SIGINT
        eventually(lambda: daemons_of(path) == [])
        assert mounted_at(path) is None


def test_what_nohup_has_ignored_ends_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, command=("nohup", DGENFS)) as mount:
        os.kill(mount.pid, signal.SIGHUP)
        assert mount.stats()["open_handles"] == 0
        assert "ended by" not in mount.log
