"""What kinds of file systems there are here, by another program's word; mounts in mount/."""

import subprocess
from pathlib import Path

import pytest

from dgenfs.machine.file_systems import SERVED, is_served
from dgenfs.machine.system_calls import file_system_type

PATHS = ["/", "/proc", "/sys", "/dev", "/dev/shm", "/sys/fs/cgroup"]


@pytest.mark.parametrize("path", [path for path in PATHS if Path(path).is_dir()])
def test_the_kernels_own(path: str) -> None:
    said = subprocess.run(["stat", "-f", "-c", "%t %T", path], capture_output=True, check=True)
    number, name = said.stdout.decode().split()
    assert file_system_type(Path(path)) == int(number, 16)
    assert is_served(Path(path)) == (int(number, 16) in SERVED), name


def test_numbers() -> None:
    assert not SERVED.keys() & {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010}
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        is_served(Path("/nowhere"))
