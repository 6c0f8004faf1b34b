"""Options of -o: what they mean, and that they do it in a mount."""

import re
from pathlib import Path

import pytest
from clients import NAME, right
from mounting import mounted
from processes import run

from dgenfs.mount.io_mode import Io
from dgenfs.mount.options import escaped, parse


@pytest.mark.parametrize(
    ("option", "shown", "not_shown"),
    [
        ("noexec,sync,dirsync,noatime", "noexec sync dirsync noatime nosuid nodev", "rw"),
        ("suid,dev,rw,default_permissions", "rw default_permissions", "nosuid nodev"),
        ("fsname=x,allow_other,debug", "ro allow_other", "debug"),
    ],
)
def test_options_for_linux(tmp_path: Path, option: str, shown: str, not_shown: str) -> None:
    with mounted(tmp_path, NAME, "-o", option, checked=False) as mount:
        found = run("findmnt", "-n", "-o", "OPTIONS", mount.path).out.decode().strip().split(",")
        assert set(shown.split()) <= set(found)
        assert not set(not_shown.split()) & set(found)
        right(mount.path / NAME)


# Each that libfuse knows and acts on by itself, which the compiled loop would pass by.
@pytest.mark.parametrize(
    "option",
    [
        *(
            "allow_root",
            "auto_unmount",
            "max_read=4096",
            "max_read=1048576",
            "blkdev",
            "blksize=4096",
            "nonempty",
        ),
        *("clone_fd", "max_threads=3", "max_idle_threads=3", "uid=5", "gid=5", "umask=077"),
        *("entry_timeout=1", "attr_timeout=1", "negative_timeout=1", "ac_attr_timeout=1"),
        *("remember=5", "noforget", "no_forget", "noauto_cache", "auto_cache", "kernel_cache"),
        *("direct_io", "fd=3", "rootmode=40000", "user_id=0", "group_id=0", "subtype=x"),
        *("intr", "use_ino", "hard_remove", "modules=subdir", "splice_read", "big_writes"),
    ],
)
def test_options_of_libfuse(option: str) -> None:
    for given in ([option], ["noexec", f"ro,{option}"]):
        with pytest.raises(ValueError, match=f"^-o {option}: "):
            parse(given)


def test_own_options(tmp_path: Path) -> None:
    line = "cache=64M,io=direct,workers_per_node=3,data_plane=pyfuse3,log_file=/a/b"
    assert parse([line]).settings == {
        "cache_bytes": 64 << 20,
        "io": Io.DIRECT,
        "workers_per_node": 3,
        "compiled": False,
        "log_file": Path("/a/b"),
    }
    for option in ("cache=x", "io=x", "workers_per_node=257", "workers_per_node=x", "data_plane=x"):
        with pytest.raises(ValueError, match=rf"^-o {option}: \w+ takes "):
            parse([option])
    options = ("--cache=0", "-o", "noexec,cache=8M", "-o", "workers_per_node=1")
    with mounted(tmp_path, NAME, *options) as mount:
        found = mount.topology()
        assert (found["cache_bytes"], found["workers_per_node"]) == (8 << 20, 1)


def test_the_last_of_two_holds() -> None:
    assert parse(["rw,ro"]).read_only
    assert not parse(["ro", "rw"]).read_only
    assert parse([]).read_only


def test_options_that_mean_nothing_here() -> None:
    line = (
        "defaults,auto,noauto,user,users,user=me,owner,group,nofail,_netdev,comment=any,"
        "x-systemd.automount,x-systemd.requires=/a,X-mount.mkdir,relatime,strictatime,lazytime"
    )
    found = parse([line])
    assert found == parse([])


def test_a_comma_in_a_value() -> None:
    line = r'context="a:b:c0,c1",fsname=one\,two,noexec'
    assert parse([line]).for_libfuse == (r'context="a:b:c0\,c1"', r"fsname=one\,two", "noexec")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("fsname=a\\", "a\\"),
        (r"fsname=a\\", "a\\"),
        (r"fsname=a\b\,c", "ab,c"),
        (escaped('fsname=",\\",\n'), '",\\",\n'),
    ],
)
def test_no_option_is_swallowed(given: str, plain: str) -> None:
    """Each backslash for libfuse has a character behind it."""
    (option,) = parse([given]).for_libfuse
    assert re.fullmatch(r"(\\.|[^\\,])*", option, re.DOTALL)
    assert re.sub(r"\\(.)", r"\1", option) == f"fsname={plain}"


def test_a_backslash_at_the_end(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--allow-other", "-o", "fsname=a\\", checked=False) as mount:
        found = run("findmnt", "-n", "-o", "OPTIONS", mount.path).out.decode().strip().split(",")
        assert "allow_other" in found
        right(mount.path / NAME)


@pytest.mark.parametrize("value", [r"/tmp/a\,b", '"/tmp/a,b"', r'/tmp/"a,"b', r"\/tmp/a\,b"])
def test_a_comma_in_a_value_of_our_own(value: str) -> None:
    assert parse([f"log_file={value},rw"]).settings == {"log_file": Path("/tmp/a,b")}


def test_a_remount_changes_flags_only() -> None:
    line = "remount,rw,noexec,seclabel,cache=x,allow_root,fsname=x,io=direct,user_id=0"
    found = parse([line])
    assert (found.remount, found.read_only, found.settings) == (True, False, {})
    assert found.flags == parse(["rw,noexec"]).flags
    assert set(found.for_libfuse) <= {"rw", "noexec"}
