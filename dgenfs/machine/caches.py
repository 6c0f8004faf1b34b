"""The processors' caches, as far as this process may use them.

Source: Linux Documentation/ABI/testing/sysfs-devices-system-cpu, cache.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from dgenfs.machine.topology import parse_cpu_list

log = logging.getLogger(__name__)


def last_level_share(cpus: Collection[int], sysfs: Path = Path("/sys")) -> int:
    """Return how many bytes of the last-level caches fall to ``cpus``, 0 if that is unknown.

    Args:
        cpus: which, each with its part of the cache that it shares with others.
        sysfs: where sysfs is mounted.
    """
    share = 0
    for cpu in cpus:
        folders = (sysfs / f"devices/system/cpu/cpu{cpu}/cache").glob("index[0-9]*")
        try:
            last = max(folders, key=lambda folder: int((folder / "level").read_text()))
            kibibytes = int((last / "size").read_text().strip().removesuffix("K"))
            sharers = len(parse_cpu_list((last / "shared_cpu_list").read_text()))
        except (OSError, ValueError) as error:
            # Some virtual machines and containers show none.
            log.debug("CPU %d: last-level cache unknown: %s", cpu, error)
            continue
        share += (kibibytes << 10) // max(1, sharers)
    return share
