"""The processors' caches as sysfs shows them."""

from pathlib import Path

import pytest

from dgenfs.machine.caches import last_level_share

MIB = 1 << 20


def cpu(root: Path, number: int, *caches: tuple[int, str, str]) -> None:
    """Write the caches of a CPU: level, size and who shares it."""
    for index, (level, size, shared) in enumerate(caches):
        folder = root / f"devices/system/cpu/cpu{number}/cache/index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
            (folder / name).write_text(f"{text}\n")


def test_the_last_level_is_shared(tmp_path: Path) -> None:
    for number in range(4):
        last = (3, "32768K", "0-1" if number < 2 else "2-3")
        cpu(tmp_path, number, (1, "32K", str(number)), last, (2, "1024K", str(number)))
    assert last_level_share(range(4), tmp_path) == 64 * MIB
    assert last_level_share([0, 2], tmp_path) == 32 * MIB
    assert last_level_share([3], tmp_path) == 16 * MIB


def test_two_levels_only(tmp_path: Path) -> None:
    cpu(tmp_path, 0, (1, "32K", "0"), (2, "512K", "0"))
    assert last_level_share([0], tmp_path) == MIB // 2


@pytest.mark.parametrize("text", ["", "large", "1M"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, text: str) -> None:
    cpu(tmp_path, 0, (3, text, "0"))
    assert last_level_share([0, 1], tmp_path) == 0
