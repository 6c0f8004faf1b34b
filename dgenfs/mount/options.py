"""Options as mount(8) and fstab(5) have them: for Linux, for dgenfs, or for whoever mounts.

libfuse knows more than work here: it enforces some of them on each request, and the compiled loop
answers most requests without it.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgenfs.mount.io_mode import Io
from dgenfs.names.grammar import parse_size

MAX_WORKERS = 256  # of one node

# mount(2), Linux include/uapi/linux/mount.h: what to set or, where there is none, what to clear.
_FLAGS = {
    "ro": (1, 0),
    "rw": (0, 1),
    "nosuid": (2, 0),
    "suid": (0, 2),
    "nodev": (4, 0),
    "dev": (0, 4),
    "noexec": (8, 0),
    "exec": (0, 8),
    "sync": (16, 0),
    "async": (0, 16),
    "dirsync": (128, 0),
    "noatime": (1024, 0),
    "atime": (0, 1024),
}
_USUAL_FLAGS = 2 | 4  # nosuid and nodev, which libfuse always sets

_OF_LIBFUSE = ("allow_other", "debug", "default_permissions")
_OF_LIBFUSE_WITH_VALUES = ("fsname", "context", "fscontext", "defcontext", "rootcontext")
_OF_FSTAB = ("defaults", "auto", "noauto", "user", "users", "nouser", "owner", "group", "nofail")
# Of access times, versions, locks and links: nothing changes, and there are none.
_WITHOUT_EFFECT = (
    *("relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime"),
    *("diratime", "nodiratime", "iversion", "noiversion", "mand", "nomand"),
    *("symfollow", "nosymfollow", "silent", "loud"),
)
_NOT_FOR_LINUX = ("_netdev", "user=", "comment=", "x-", "X-")  # as they start
_OWN = ("cache", "io", "workers_per_node", "data_plane", "log_file")

_KEPT = "nothing here ever changes, so the kernel keeps it for ever: leave it out"
_THREADS = "say workers_per_node=N"
_OWNER = "files belong to who mounts, with mode 0444: leave it out"
_DEVICE = "there is no block device: leave it out"
_BY_DGENFS = "dgenfs says this itself: leave it out"
_REFUSED = {
    "allow_root": "only libfuse would enforce it, which most reads do not pass: say allow_other, "
    "or let root mount",
    "auto_unmount": "libfuse may look before the connection of a killed daemon is down, and leave "
    "it: the next dgenfs mount cleans up",
    "max_read": "requests have up to 1 MiB, and clients may read less: leave it out",
    "subtype": "dgenfs knows its mounts by subtype=dgenfs: leave it out",
    "nonempty": "the mountpoint must be an empty directory",
    "blkdev": _DEVICE,
    "blksize": _DEVICE,
    "clone_fd": _THREADS,
    "max_threads": _THREADS,
    "max_idle_threads": _THREADS,
    "uid": _OWNER,
    "gid": _OWNER,
    "umask": _OWNER,
    **dict.fromkeys(("fd", "rootmode", "user_id", "group_id"), _BY_DGENFS),
    **dict.fromkeys(
        ("entry_timeout", "attr_timeout", "ac_attr_timeout", "negative_timeout"), _KEPT
    ),
    **dict.fromkeys(("remember", "noforget", "no_forget", "noauto_cache", "auto_cache"), _KEPT),
    "kernel_cache": "say io=cached",
    "direct_io": "say io=direct",
}

_PART = re.compile(r'(?:\\.|"[^"]*"|[^,])+', re.DOTALL)
_QUOTED = re.compile(r'\\(.)|"([^"]*)"', re.DOTALL)


@dataclass(frozen=True)
class Options:
    """What the values of -o ask for.

    Attributes:
        flags: of mount(2).
        for_libfuse: what it is to get, beside dgenfs's own.
        settings: fields of MountConfig, and ``log_file``.
        remount: whether to change a mount that is there.
    """

    flags: int
    for_libfuse: tuple[str, ...]
    settings: dict[str, Any]
    remount: bool

    @property
    def read_only(self) -> bool:
        """Whether Linux itself refuses whatever would write."""
        return bool(self.flags & _FLAGS["ro"][0])


def split(given: Iterable[str]) -> list[str]:
    """Return the options of lists; a comma behind a backslash or in quotes is one of a value."""
    return [part for one in given for part in _PART.findall(one)]


def escaped(text: str) -> str:
    """Return what is one option, and of just this text, to ``split`` and to libfuse."""
    return re.sub(r"[\\,]", r"\\\g<0>", text)


def parse(given: Iterable[str], *, unknown_too: bool = False) -> Options:
    """Read lists such as ``noexec,cache=1G``; the last of two that contradict each other holds.

    Args:
        given: lists, as behind -o.
        unknown_too: pass over unknown ones, as mount(8) wants with -s.

    Raises:
        ValueError: an option is unknown, has no such value, or cannot work here.
    """
    parts = split(given)
    remount = "remount" in parts
    flags = _USUAL_FLAGS | _FLAGS["ro"][0]
    for_libfuse = []
    settings: dict[str, Any] = {}
    for part in parts:
        name, has_value, value = part.partition("=")
        if part in _FLAGS:
            to_set, to_clear = _FLAGS[part]
            flags = flags & ~to_clear | to_set
            for_libfuse.append(part)
        elif remount:
            continue
        elif part in _OF_LIBFUSE or (name in _OF_LIBFUSE_WITH_VALUES and value):
            # Quotes stay: Linux takes them off.
            for_libfuse.append(escaped(re.sub(r"(?s)\\(.)", r"\1", part)))
        elif name in _OWN and has_value:
            settings |= _setting(part, name, value)
        elif not _means_nothing(part):
            if name in _REFUSED:
                raise ValueError(f"-o {part}: {_REFUSED[name]}")
            if not unknown_too:
                raise ValueError(_unknown(part, name))
    return Options(flags, tuple(for_libfuse), settings, remount)


def _means_nothing(part: str) -> bool:
    """Return whether it is for mount(8), systemd(1) or file systems that change."""
    known = part in (*_OF_FSTAB, *_WITHOUT_EFFECT, "remount")
    return known or part.startswith(_NOT_FOR_LINUX)


def _setting(part: str, name: str, value: str) -> dict[str, Any]:
    value = _QUOTED.sub(lambda found: found[1] or found[2] or "", value)
    try:
        if name == "cache":
            return {"cache_bytes": parse_size(value)}
        if name == "io":
            return {"io": Io(value)}
        if name == "log_file":
            return {"log_file": Path(value).absolute()}
        if name == "data_plane":
            return {"compiled": {"compiled": True, "pyfuse3": False}[value]}
        if 0 <= int(value) <= MAX_WORKERS:
            return {"workers_per_node": int(value)}
    except (ValueError, KeyError):
        pass
    takes = {
        "cache": "a size such as 64M",
        "io": f"one of {', '.join(Io)}",
        "data_plane": "compiled or pyfuse3",
        "workers_per_node": f"0 to {MAX_WORKERS}",
    }
    raise ValueError(f"-o {part}: {name} takes {takes[name]}")


def _unknown(part: str, name: str) -> str:
    with_value = (*_OWN, *_OF_LIBFUSE_WITH_VALUES)
    if name in with_value:
        return f"-o {part}: say {name}=VALUE"
    if part != name and (name in _FLAGS or name in _OF_LIBFUSE or _means_nothing(name)):
        return f"-o {part}: {name} takes no value"
    known = (*_FLAGS, *_OF_LIBFUSE, *with_value, *_OF_FSTAB, *_WITHOUT_EFFECT, "_netdev")
    near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
    return f"-o {part}: is no option of dgenfs" + (f"; the nearest is {near[0]}" if near else "")
