import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from clients import KILLED, NAME, Clients, clients_of, right
from mounting import DGENFS, RETUNED, Mount, environment_of, mounted
from processes import eventually, run

from dgenfs.mount.mountpoint import mounted_at

# scripts/soak faults sets it.
KILLS = int(os.environ.get("DGENFS_TEST_KILLS", "10"))
AT_ONCE = 3  # seconds
TREE = "100000x4K_f1000"
OPTIONS = ((), ("--cache=64M",))


def load(mount: Mount, clients: Clients, number: int) -> list["subprocess.Popen[bytes]"]:
    """Clients of every kind, which a mount that goes makes fail; returns those of commands."""
    path = mount.path
    commands = (
        f"while find {path}/{TREE} -type f -exec head -c 1 {{}} + >{os.devnull}; do :; done",
        f"while cat {path}/.stats {path}/.metrics >{os.devnull}; do :; done",
        f"while cp {path}/64M_d1_c1.bin {os.devnull}; do :; done",
        f"while stat {path}/$((n += 1))K >{os.devnull}; do :; done",
        f"""while echo '{{"workers_per_node": 3}}' >{path}/.topology; do :; done""",
    )
    folder = path.with_name("clients")
    return [
        clients.run(folder / f"command-{number}-{i}", "sh", "-c", f"{command} 2>{os.devnull}")
        for i, command in enumerate(commands)
    ]


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """No client hangs, and the next mount at the same place works, every time."""
    source = random.Random()
    killed = -signal.SIGKILL
    with clients_of(tmp_path) as clients:
        for number in range(KILLS):
            options = OPTIONS[number % len(OPTIONS)]
            with mounted(tmp_path, NAME, TREE, *options, *RETUNED, exit_code=killed) as mount:
                commands = load(mount, clients, number)
                readers = clients.start(mount.path / NAME, 4)
                time.sleep(source.uniform(0, 0.5))
                mount.process.kill()
                for reader in readers:
                    reader.failed(within=AT_ONCE, of=KILLED)
                for command in commands:
                    command.wait(AT_ONCE)
        with mounted(tmp_path, NAME) as mount:
            right(mount.path / NAME)


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8, None])
def test_killed_while_it_starts(tmp_path: Path, moment: float | None) -> None:
    """Killed so many seconds after its start, or as soon as it has mounted."""
    path = tmp_path / "mnt"
    path.mkdir()
    process = subprocess.Popen(
        [DGENFS, "mount", "-f", str(path)], stderr=subprocess.DEVNULL, env=environment_of()
    )
    try:
        if moment is None:
            eventually(lambda: mounted_at(path) is not None, 30)
        else:
            time.sleep(moment)
    finally:
        process.kill()
        process.wait(AT_ONCE)
    if mounted_at(path):
        run("ls", path, seconds=AT_ONCE, code=2)
    with mounted(tmp_path, NAME) as mount:
        right(mount.path / NAME)


def test_clients_killed_by_the_thousand(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--cache=8M") as mount:
        right(mount.path / NAME)
        memory, threads = mount.rss(), len(mount.tasks())
        source = random.Random()
        for _ in range(50):
            readers = [
                subprocess.Popen(
                    ["dd", f"if={mount.path / NAME}", f"of={os.devnull}", f"bs={size}"],
                    stderr=subprocess.DEVNULL,
                )
                for size in (512, 4096, 65_536, 1 << 20, 8 << 20) * 4
            ]
            time.sleep(source.uniform(0, 0.02))
            for reader in readers:
                reader.kill()
            for reader in readers:
                assert reader.wait(AT_ONCE) == -signal.SIGKILL
        found = mount.settled()
        assert found["open_handles"] == 0
        assert found["read_errors"] == 0
        assert found["refused_replies"] == 0
        assert len(mount.tasks()) == threads
        assert mount.rss() < memory + (16 << 20)
        right(mount.path / NAME)
