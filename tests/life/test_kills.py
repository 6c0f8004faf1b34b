import signal
from pathlib import Path

import pytest
from clients import KILLED, NAME, clients_of, right
from mounting import PLANES, is_mounted, mounted
from processes import run

AT_ONCE = 2  # seconds


def test_killed_idle(tmp_path: Path) -> None:
    killed = -signal.SIGKILL
    with mounted(tmp_path, NAME, exit_code=killed) as mount:
        mount.process.kill()
        mount.process.wait(AT_ONCE)
        assert is_mounted(mount.path)
        done = run("ls", mount.path, seconds=AT_ONCE, code=2)
        assert "Transport endpoint is not connected" in done.err
        with mounted(tmp_path, NAME) as again:
            right(again.path / NAME)
        assert not is_mounted(mount.path)


@pytest.mark.parametrize("plane", PLANES)
def test_killed_busy(tmp_path: Path, plane: str) -> None:
    killed = -signal.SIGKILL
    options = (f"--data-plane={plane}", "--cache=64M")
    with (
        clients_of(tmp_path) as clients,
        mounted(tmp_path, NAME, *options, exit_code=killed) as mount,
    ):
        fio = clients.fio(mount)
        readers = clients.start(mount.path / NAME, 8)
        mount.process.kill()
        for reader in readers:
            reader.failed(within=AT_ONCE, of=KILLED)
        assert fio.wait(AT_ONCE) != 0
        with mounted(tmp_path, NAME, *options) as again:
            right(again.path / NAME)
