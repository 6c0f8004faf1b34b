"""A command ends soon after a signal, whatever its threads wait for."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from mounting import DGENFS, Mount, mounted
from privileges import AS_NOBODY
from processes import eventually, run

SECONDS = 10  # a command has 1; the machine may be busy
TREE = "1000000x256K_d1_c1"  # files that Linux keeps no pages of: it reads others without a way out
FILE = "1T_d1_c1"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("hung"), FILE, TREE, limit=120) as mount:
        yield mount


@contextmanager
def hung(mount: Mount) -> Iterator[None]:
    """Storage that answers nobody."""
    mount.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: all_stopped(mount.pid), 60)
        yield
    finally:
        mount.process.send_signal(signal.SIGCONT)


@contextmanager
def running(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [DGENFS, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("name", [FILE, TREE])
def test_verify_of_storage_that_hangs(mount: Mount, name: str, number: signal.Signals) -> None:
    """Requests that the server has taken are waited for by Linux itself, so it has none."""
    before = mount.cpu_seconds()
    with running("verify", str(mount.path / name)) as process:
        eventually(lambda: mount.cpu_seconds() > before + 0.1, 60)
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: all_stopped(process.pid), 60)
        with hung(mount):
            process.send_signal(signal.SIGCONT)
            # The threads that read are in the kernel, and the main one waits for them.
            eventually(lambda: idle(process.pid), 60)
            process.send_signal(number)
            assert process.wait(SECONDS) == 128 + number


@pytest.mark.parametrize("command", ["verify", "analyze"])
def test_storage_that_hangs_from_the_start(mount: Mount, command: str) -> None:
    """The main thread is in a call that no signal ends."""
    with hung(mount), running(command, str(mount.path / FILE)) as process:
        eventually(lambda: idle(process.pid), 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 128 + signal.SIGINT


def all_stopped(pid: int) -> bool:
    """Whether all threads of a process are, and so wait for nothing."""
    stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(") ")[2][0] == "T" for stat in stats)


def idle(pid: int) -> bool:
    """Whether a process has begun to work, and its main thread waits."""
    process = psutil.Process(pid)
    used = process.cpu_times()
    for _ in range(5):
        if process.status() not in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP):
            return False
        time.sleep(0.1)
    return used.user > 0.1 and process.cpu_times()[:2] == used[:2]


@pytest.mark.parametrize("number", SIGNALS)
def test_verify_of_damage_with_seeds(tmp_path: Path, number: signal.Signals) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(os.urandom(1 << 20))
    os.truncate(copy, 1 << 40)
    command = ("verify", str(copy), "--as", FILE, "--seeds", "0-99999")
    with running(*command) as process:
        # Others than the main thread are there once it reads.
        eventually(lambda: psutil.Process(process.pid).num_threads() > 4, 60)
        process.send_signal(number)
        assert process.wait(SECONDS) == 128 + number


def test_gen_to_a_fifo_that_nobody_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1G")
    with running("gen", "1G", "-o", str(tmp_path / "1G")) as process:
        eventually(lambda: idle(process.pid), 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 128 + signal.SIGINT


# A command whose main thread is stuck.
STUCK = """
import signal, sys, time
from dgenfs.cli.interruption import end_when_signaled

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda *_: None)
end_when_signaled(0)
{}
print("stuck", flush=True)
while True:
    time.sleep(1)
"""


@contextmanager
def stuck(
    program: str = "", stderr: int = subprocess.DEVNULL, before: str = ""
) -> Iterator["subprocess.Popen[bytes]"]:
    shell = ("sh", "-c", f'{before} exec "$@"', "sh")
    command = (*shell, sys.executable, "-c", STUCK.format(program))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"stuck\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_that_is_stopped(stopped: bool) -> None:
    """Whoever writes to it waits until somebody has it go on."""
    leader, follower = pty.openpty()
    try:
        with stuck(stderr=follower) as process:
            if stopped:
                termios.tcflow(follower, termios.TCOOFF)
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 128 + signal.SIGINT
        if not stopped:
            assert os.read(leader, 64) == b"\r\x1b[K\x1b[?25h"
    finally:
        termios.tcflow(follower, termios.TCOON)
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("closed", ["sys.stderr.close()", "import os; os.close(2)"])
def test_standard_error_is_closed(closed: str) -> None:
    with stuck(closed) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM


def test_an_ignored_signal_ends_nothing() -> None:
    with stuck(before="trap '' HUP INT;") as process:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM


# Runs a command where no thread can be started.
NO_THREAD = """
import resource
from dgenfs.cli.main import main
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
main()
"""


def test_no_thread_can_be_started() -> None:
    program = (*AS_NOBODY, sys.executable, "-c", NO_THREAD)
    assert b"distinct bytes" in run(*program, "explain", "1M").out
    done = run(*program, "umount", "/", code=1)
    assert done.err == "dgenfs: /: no dgenfs is mounted there\n"


# A program that gets signals.
SIGNALED = """
import os, signal, time
from dgenfs.cli.running import run

def command():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
        time.sleep(0)
    return 7

run(command, 2)
"""


@pytest.mark.parametrize(
    ("ignored", "code"),
    [("INT TERM HUP", 7), ("INT TERM", 129), ("INT HUP", 143), ("TERM HUP", 130)],
)
def test_a_program_leaves_ignored_signals_ignored(ignored: str, code: int) -> None:
    shell = ("sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh")
    done = run(*shell, sys.executable, "-c", SIGNALED, code=code)
    assert (done.out, done.err) == (b"", "")


HUGE = "1P_c2.npz"  # whose CRC takes hours
TAIL = str((1 << 50) - 4096)


def busy(pid: int) -> bool:
    return psutil.Process(pid).cpu_times().user > 2


@pytest.mark.parametrize("number", SIGNALS)
def test_gen_of_what_has_a_crc_of_very_much(tmp_path: Path, number: signal.Signals) -> None:
    """It removes what it wrote itself, so nothing had to end it."""
    with running("gen", HUGE, "--offset", TAIL, "-o", str(tmp_path / "copy")) as process:
        eventually(lambda: busy(process.pid), 60)
        process.send_signal(number)
        assert process.wait(SECONDS) == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["verify", "gen"])
def test_a_crc_of_very_much(tmp_path: Path, command: str) -> None:
    copy = tmp_path / "100G_c2.npz"
    copy.touch()
    os.truncate(copy, 100 << 30)
    stream = ("gen", HUGE, "--offset", TAIL, "-o", "-")
    with running(*(stream if command == "gen" else ("verify", str(copy)))) as process:
        eventually(lambda: busy(process.pid), 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 128 + signal.SIGINT
