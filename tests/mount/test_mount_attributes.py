"""What stat, statfs and extended attributes say, and that nothing can be changed."""

import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
import strategies
from hypothesis import given, settings
from mounting import DGENFS, PLANES, RETUNED, Mount, mounted

LISTED = ["1G_d4_c2.bin", "10K+1_c1.5", "300x5000_d3_f7", "20x1M_c2.dat", "0"]
PATHS = [
    "",
    ".",
    *LISTED,
    "5T_s3.img",  # the rest is not listed
    "1024M_c2_d4.dat",
    "0.bin",
    "1.bin",
    "513.bin",
    "8E-1",
    "20x1M_c2.dat/000000.dat",
    "20x1M_c2.dat/000019.dat",
    "300x5000_d3_f7/0000",
    "300x5000_d3_f7/0042",
    "300x5000_d3_f7/0000/000000.bin",
    "300x5000_d3_f7/0042/000299.bin",
    "1000000000x1_f1000000/0999/999999999.bin",
]
CONTROL_FILES = [".topology", ".stats", ".metrics"]
MTIME_NS = 1_577_836_800 * 10**9


# Where Linux refuses to write, and where dgenfs does.
@pytest.fixture(scope="module", params=[*PLANES, "compiled -o rw"])
def mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    options = ["--data-plane", *request.param.split()]
    with mounted(tmp_path_factory.mktemp("attributes"), *LISTED, *options, limit=120) as mount:
        yield mount


def file_size(path: str) -> int | None:
    """None for a directory."""
    name, _, file = path.partition("/")
    content = oracle.parse(name)
    return content.size if not content.tree or "." in file else None


def listed(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def facts(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return (
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_blocks,
        found.st_blksize,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_atime_ns,
    )


def test_files(mount: Mount) -> None:
    for path in PATHS[2:]:
        size = file_size(path)
        found = (mount.path / path).stat()
        assert found.st_mtime_ns == found.st_ctime_ns == found.st_atime_ns == MTIME_NS
        assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
        if size is None:
            assert found.st_mode == stat.S_IFDIR | 0o755
            continue
        assert found.st_mode == stat.S_IFREG | 0o444
        assert found.st_nlink == 1
        assert found.st_size == size
        assert found.st_blocks == -(-size // 512)
        # Powers of two that hold the file, up to 128 KiB; 512 KiB of large ones.
        block = next(1 << i for i in range(12, 18) if i == 17 or 1 << i >= size)
        assert found.st_blksize == (1 << 19 if size > 1 << 20 else block)


@given(name=strategies.names(sidecars=False))
@settings(max_examples=100, deadline=None)
def test_any_name_has_its_size(mount: Mount, name: str) -> None:
    found = (mount.path / name).stat()
    size = oracle.parse(name).size
    assert (found.st_size, found.st_blocks) == (size, -(-size // 512))
    assert found.st_ino == (mount.path / name).stat().st_ino


@given(name=strategies.hostile_names())
@settings(max_examples=300, deadline=None)
def test_what_is_no_name_is_not_there(mount: Mount, name: str) -> None:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        return
    try:
        exists = oracle.parse(name).sidecar is None
    except oracle.BadName:
        exists = False
    too_long = len(os.fsencode(name)) > 255
    expected = 0 if exists else errno.ENAMETOOLONG if too_long else errno.ENOENT
    found: int | None = 0
    try:
        (mount.path / name).stat()
    except OSError as error:
        found = error.errno
    assert found == expected


@pytest.mark.parametrize(
    "name",
    [
        "1G.bin.sha256",
        "1G.sha256",
        "1G.crc32",
        "x",
        "10G-d4",
        "1G_d0.5",
        "-1",
        "8E",
        "2000000000x1",
        ".topology2",
        "300x5000_d3_f7.sha256",
        "autorun.inf",
        ".Trash-0",
        "1G ",
        "1G_",
        "\udcff",
    ],
)
def test_bad_names(mount: Mount, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        (mount.path / name).stat()
    with pytest.raises(FileNotFoundError):
        (mount.path / name).read_bytes()


def test_files_are_not_directories(mount: Mount) -> None:
    for call in (os.listdir, lambda path: os.open(path, os.O_DIRECTORY)):
        with pytest.raises(NotADirectoryError):
            call(mount.path / "1G_d4_c2.bin")
    with pytest.raises(NotADirectoryError):
        (mount.path / "1G_d4_c2.bin" / "x").stat()
    with pytest.raises(IsADirectoryError):
        (mount.path / "20x1M_c2.dat").read_bytes()


def test_root(mount: Mount) -> None:
    assert listed(mount.path) == sorted(LISTED)
    found = mount.path.stat()
    assert found.st_mode == stat.S_IFDIR | 0o755
    assert found.st_ino == 1
    listing = subprocess.run(
        ["ls", "-lai", mount.path], capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()[1:]
    names = [line.split()[-1] for line in listing]
    assert names == [".", "..", *sorted(LISTED)]
    inodes = {line.split()[-1]: int(line.split()[0]) for line in listing}
    assert inodes["."] == 1
    for name in LISTED:
        assert inodes[name] == (mount.path / name).stat().st_ino


def test_control_files_are_there_but_not_listed(mount: Mount) -> None:
    for name in CONTROL_FILES:
        found = (mount.path / name).stat()
        assert stat.S_IMODE(found.st_mode) == (0o600 if name == ".topology" else 0o444)
        assert not (mount.path / LISTED[2] / name).exists()


def test_inodes_are_distinct(mount: Mount) -> None:
    paths = [mount.path, *(mount.path / name for name in [*CONTROL_FILES, *PATHS[2:]])]
    paths += [
        mount.path / "20x1M_c2.dat" / oracle.tree_path(oracle.parse("20x1M_c2.dat"), i)
        for i in range(1, 19)
    ]
    paths += [mount.path / f"{size}K" for size in range(500)]
    inodes = [path.stat().st_ino for path in paths]
    assert len(set(inodes)) == len(paths)
    assert all(0 < inode < 2**63 for inode in inodes)


def test_the_same_in_every_mount(tmp_path: Path) -> None:
    """Whatever the mount, the data plane, the options and the order of asking."""
    found = []
    for i, plane in enumerate(["compiled", "compiled", "pyfuse3"]):
        options = ["--data-plane", plane, *(["--io", "cached", "--cache", "8M"] if i else [])]
        with mounted(tmp_path / str(i), *LISTED, *options) as mount:
            for path in PATHS[:: -1 if i else 1] if i < 2 else PATHS[3:] + PATHS:
                facts(mount.path / path)
            if i == 1:
                # Attributes that come with a listing are the same as well.
                subprocess.run(
                    ["ls", "-lR", mount.path], check=True, capture_output=True, timeout=60
                )
            found.append([facts(mount.path / path) for path in PATHS])
    assert found[0] == found[1] == found[2]


def test_room_for_everything(mount: Mount) -> None:
    found = os.statvfs(mount.path)
    contents = [oracle.parse(name) for name in LISTED]
    total = sum(content.files * content.size for content in contents)
    assert total <= found.f_blocks * found.f_frsize < total + len(LISTED) * found.f_frsize
    assert (found.f_bfree, found.f_bavail, found.f_ffree) == (0, 0, 0)
    assert found.f_files == sum(content.files for content in contents)
    assert found.f_namemax == 255
    done = subprocess.run(["df", mount.path], capture_output=True, text=True, check=True)
    assert "dgenfs" in done.stdout


def test_access(mount: Mount) -> None:
    for path in ["1G_d4_c2.bin", "20x1M_c2.dat/000007.dat"]:
        assert os.access(mount.path / path, os.R_OK)
        assert not os.access(mount.path / path, os.X_OK)
    assert os.access(mount.path / "20x1M_c2.dat", os.R_OK | os.X_OK)


CHANGES: dict[str, Callable[[Path], object]] = {
    "write": lambda path: os.open(path / "0", os.O_WRONLY),
    "read and write": lambda path: os.open(path / "10K+1_c1.5", os.O_RDWR),
    "append": lambda path: os.open(path / "1G", os.O_WRONLY | os.O_APPEND),
    "truncate at open": lambda path: os.open(path / "0", os.O_RDONLY | os.O_TRUNC),
    "write a file of a tree": lambda path: os.open(
        path / "300x5000_d3_f7/0000/000000.bin", os.O_WRONLY
    ),
    "open to create": lambda path: os.open(path / "1K", os.O_WRONLY | os.O_CREAT),
    "create": lambda path: (path / "new").touch(),
    "create in a tree": lambda path: (path / "20x1M_c2.dat/000020.dat").touch(),
    "create exclusively": lambda path: os.open(path / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL),
    "mkdir": lambda path: (path / "new").mkdir(),
    "mkdir in a tree": lambda path: (path / "300x5000_d3_f7/0043").mkdir(),
    "mkfifo": lambda path: os.mkfifo(path / "new"),
    "mknod": lambda path: os.mknod(path / "new", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "symlink": lambda path: (path / "new").symlink_to("1G"),
    "link": lambda path: os.link(path / "0", path / "new"),
    "unlink": lambda path: (path / "0").unlink(),
    "unlink in a tree": lambda path: (path / "20x1M_c2.dat/000000.dat").unlink(),
    "unlink a control file": lambda path: (path / ".stats").unlink(),
    "rmdir": lambda path: (path / "20x1M_c2.dat").rmdir(),
    "rmdir in a tree": lambda path: (path / "300x5000_d3_f7/0000").rmdir(),
    "rename": lambda path: (path / "0").rename(path / "new"),
    "rename over": lambda path: (path / "0").rename(path / "10K+1_c1.5"),
    "rename a tree": lambda path: (path / "20x1M_c2.dat").rename(path / "new"),
    "truncate": lambda path: os.truncate(path / "10K+1_c1.5", 0),
    "grow": lambda path: os.truncate(path / "0", 1),
    "chmod": lambda path: (path / "0").chmod(0o600),
    "chmod the root": lambda path: path.chmod(0o700),
    "chmod a tree": lambda path: (path / "20x1M_c2.dat").chmod(0o700),
    "chmod a control file": lambda path: (path / ".topology").chmod(0o666),
    "chown": lambda path: os.chown(path / "0", 1, 1),
    "utime": lambda path: os.utime(path / "0"),
    "utime of a tree's file": lambda path: os.utime(path / "20x1M_c2.dat/000003.dat", (0, 0)),
    "utime of a control file": lambda path: os.utime(path / ".topology", (0, 0)),
    "setxattr": lambda path: os.setxattr(path / "0", "user.new", b"1"),
    "setxattr of ours": lambda path: os.setxattr(path / "0", "user.dgenfs.key", b"1"),
    "setxattr on a tree": lambda path: os.setxattr(path / "20x1M_c2.dat", "user.new", b"1"),
    "removexattr": lambda path: os.removexattr(path / "0", "user.dgenfs.key"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_can_be_changed(mount: Mount, change: str) -> None:
    paths = ["", *LISTED, *CONTROL_FILES, "20x1M_c2.dat/000000.dat"]
    before = [facts(mount.path / path) for path in paths]
    with pytest.raises(OSError, match=r".") as failed:
        CHANGES[change](mount.path)
    assert failed.value.errno == errno.EROFS
    assert [facts(mount.path / path) for path in paths] == before
    assert listed(mount.path) == sorted(LISTED)


XATTRS = ("name", "dedup", "compress", "unit", "key", "format")


def xattrs(path: Path) -> dict[str, str]:
    return {name: os.getxattr(path, f"user.dgenfs.{name}").decode() for name in XATTRS}


@pytest.mark.parametrize(
    ("path", "name", "dedup", "compress"),
    [
        ("1024M_c2_d4.dat", "1G_d4_c2.bin", "4", "2"),
        ("10K+1_c1.5", None, "1", "1.5"),
        ("20x1M_c2.dat", None, "1", "2"),
        ("20x1M_c2.dat/000003.dat", None, "1", "2"),
        ("300x5000_d3_f7", None, "3", "1"),
        ("300x5000_d3_f7/0000", None, "3", "1"),
        ("300x5000_d3_f7/0042/000299.bin", None, "3", "1"),
        ("1M_d2.125_c1.001_s18446744073709551615_b8K", None, "2.125", "1.001"),
        ("1M_d999.999_c19.999", None, "999.999", "19.999"),
    ],
)
def test_extended_attributes(
    mount: Mount, path: str, name: str | None, dedup: str, compress: str
) -> None:
    found = xattrs(mount.path / path)
    # Of a tree's files none is listed: who copies all attributes would ask for each of each file.
    of_a_trees_file = "." in path.partition("/")[2]
    listing = [] if of_a_trees_file else [f"user.dgenfs.{name}" for name in XATTRS]
    assert os.listxattr(mount.path / path) == listing
    content = oracle.parse(path.split("/")[0])
    assert {**found, "name": None} == {
        "name": None,
        "dedup": dedup,
        "compress": compress,
        "unit": str(content.unit),
        "key": f"{content.key:016x}",
        "format": "v1",
    }
    if name is not None:
        assert found["name"] == name
    # The name tells the content: dgenfs gen makes the same file of it.
    root, _, within = found["name"].partition("/")
    again = oracle.parse(root)
    assert (again.key, again.content_units) == (content.key, content.content_units)
    asked_for = path.partition("/")[2]
    if "." in asked_for:
        assert within == asked_for


def test_a_name_from_an_attribute_can_be_generated(mount: Mount, tmp_path: Path) -> None:
    path = mount.path / "300x5000_d3_f7/0042/000299.bin"
    name = xattrs(path)["name"]
    done = subprocess.run(
        [DGENFS, "gen", name, "-o", "-"], cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == path.read_bytes()


def test_no_other_attributes(mount: Mount) -> None:
    for path in ("0", "20x1M_c2.dat", "20x1M_c2.dat/000003.dat", "", ".stats"):
        for name in (
            "user.dgenfs.none",
            "user.none",
            "security.selinux",
            "system.posix_acl_access",
        ):
            with pytest.raises(OSError, match=r".") as failed:
                os.getxattr(mount.path / path, name)
            assert failed.value.errno in (errno.ENODATA, errno.EOPNOTSUPP)
    assert os.listxattr(mount.path) == []
    assert os.listxattr(mount.path / ".topology") == []


@pytest.mark.parametrize("options", [(), RETUNED], ids=["ro", "rw"])
def test_other_users(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Data for all with allow_other, .topology for the owner, nothing without it."""
    nobody = 65534

    def read(mount: Mount, path: str) -> int:
        root = os.open(mount.path, os.O_PATH)  # the folders above are the owner's only
        try:
            done = subprocess.run(
                ["head", "-c", "10", f"/proc/self/fd/{root}/{path}"],
                user=nobody,
                group=nobody,
                extra_groups=[],
                pass_fds=[root],
                capture_output=True,
                check=False,
                timeout=30,
            )
        finally:
            os.close(root)
        assert done.returncode or len(done.stdout) == 10
        return done.returncode

    with mounted(tmp_path / "all", "--allow-other", *options) as mount:
        assert read(mount, "1M") == read(mount, "5x1K/000004.bin") == read(mount, ".stats") == 0
        assert read(mount, ".topology") != 0
    with mounted(tmp_path / "mine", *options) as mount:
        assert read(mount, "1M") != 0
        assert read(mount, ".stats") != 0
