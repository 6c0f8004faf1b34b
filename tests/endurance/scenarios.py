"""What the clients of a soak do; each is run again and again until its time is over."""

import sys
from dataclasses import dataclass

from endurance.clients import LISTED

_FIO = (
    "fio --name=soak --readonly --allow_file_create=0 --norandommap --time_based"
    " --runtime={seconds} --eta=never --output={memory}/fio"
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of client.

    Attributes:
        name: what the table calls it.
        command: for sh; ``{mountpoint}``, ``{memory}`` (a directory in memory, its own) and
            ``{seconds}`` (what is left of the time) are filled in.
        clients: how many at once.
    """

    name: str
    command: str
    clients: int = 1


def _fio(name: str, options: str) -> Scenario:
    return Scenario(f"fio {name}", f"{_FIO} {options} --filename={{mountpoint}}/1T_d2_c1.5.bin")


def _checked(kind: str, clients: int = 1) -> Scenario:
    command = f"exec {sys.executable} -m endurance.clients {kind} {{mountpoint}} {{seconds}}"
    return Scenario(kind, command, clients)


SCENARIOS = (
    _fio("in order", "--rw=read --bs=1M"),
    _fio("random", "--rw=randread --bs=4k --numjobs=2 --thread"),
    _fio("mmap", "--rw=randread --bs=64k --ioengine=mmap --size=256M"),
    _fio("io_uring", "--rw=randread --bs=128k --ioengine=io_uring --iodepth=16"),
    _checked("pread", clients=2),
    _checked("direct"),
    _checked("readv"),
    _checked("largest"),
    _checked("unlisted"),
    _checked("trees"),
    _checked("maps"),
    _checked("mixed"),
    _checked("opens"),
    _checked("stats"),
    _checked("tunes"),
    _checked("counters"),
    Scenario(
        "cp, then verify",
        "cp {mountpoint}/300M_d2_c1.5.bin {memory}/ && dgenfs verify {memory}/300M_d2_c1.5.bin",
    ),
    Scenario(
        "find",
        "test $(find {mountpoint}/20000x4K_c2_f100 -type f -size 8 | wc -l) = 20000",
    ),
    Scenario("ls", f"sleep 0.1; test $(ls {{mountpoint}} | wc -l) = {len(LISTED)}"),
)
