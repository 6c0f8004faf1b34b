"""What the mount is asked for leaves nothing behind."""

import os
from collections.abc import Iterator

import pytest
from mounting import Mount, mounted

MIB = 1 << 20
WARM_UP = 15_000
LEAST = 81  # bytes of a file of each kind
TURNS = 50_000
ENDS = ("", "", "_r9.safetensors", "", "", "_r9.tfrecord.idx")


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("growth"), limit=600) as mount:
        yield mount


def settled_rss(mount: Mount) -> int:
    """Once what the kernel takes its time to forget is forgotten."""
    mount.settled()
    return mount.rss()


def test_lookups_of_distinct_names(mount: Mount) -> None:
    def look_up(first: int, last: int) -> None:
        for size in range(first, last):
            # Path costs more than the lookup.
            os.stat(f"{mount.path}/{size}_c2{ENDS[size % len(ENDS)]}")  # noqa: PTH116

    look_up(LEAST, WARM_UP)
    before = settled_rss(mount)
    look_up(WARM_UP, WARM_UP + TURNS)
    assert settled_rss(mount) - before < 4 * MIB
    found = mount.stats()["requests"]
    assert found["LOOKUP"] >= WARM_UP - LEAST + TURNS
    assert found.get("FORGET", 0) >= TURNS - WARM_UP


def test_lookups_of_what_is_no_name(mount: Mount) -> None:
    def look_up(first: int, last: int) -> None:
        for number in range(first, last):
            assert not os.path.exists(f"{mount.path}/none{number}")  # noqa: PTH110

    look_up(0, WARM_UP // 3)
    before = settled_rss(mount)
    look_up(WARM_UP // 3, WARM_UP)
    assert settled_rss(mount) - before < 4 * MIB


def test_opens(mount: Mount) -> None:
    """Of one name, of a tree's files, of a directory and of a control file."""
    tree = f"{mount.path}/1000000x1K_f1000"

    def open_all(first: int, last: int) -> None:
        for number in range(first, last):
            os.close(os.open(f"{mount.path}/1G", os.O_RDONLY))
            os.close(os.open(f"{tree}/{number // 1000:04}/{number:06}.bin", os.O_RDONLY))
            if number % 50 == 0:
                os.close(os.open(f"{mount.path}/.stats", os.O_RDONLY))
                os.close(os.open(f"{tree}/{number // 1000:04}", os.O_RDONLY))

    open_all(0, WARM_UP)
    before = settled_rss(mount)
    open_all(WARM_UP, WARM_UP + TURNS)
    assert settled_rss(mount) - before < 4 * MIB
    assert mount.stats()["requests"]["OPEN"] >= 2 * (WARM_UP + TURNS)


def test_opened_names_stay_while_thousands_are_looked_up(mount: Mount) -> None:
    """A name in use is not forgotten, however many others come and go."""
    held = [os.open(f"{mount.path}/{size}K_s9", os.O_RDONLY) for size in range(1, 500)]
    try:
        first = [os.pread(fd, 100, 0) for fd in held]
        for size in range(10_000):
            os.stat(f"{mount.path}/{size}_c3")  # noqa: PTH116
        assert [os.pread(fd, 100, 0) for fd in held] == first
        assert [os.fstat(fd).st_size for fd in held] == [size * 1024 for size in range(1, 500)]
    finally:
        for fd in held:
            os.close(fd)
