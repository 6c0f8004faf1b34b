"""mount(8) of util-linux and of busybox, by lines of an fstab of their own."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from mounting import DGENFS, END_SECONDS
from privileges import NOBODY, folder_of_nobody, give_compiled_code, user_command
from processes import INTERRUPT, Done, daemons_of, eventually, run

import dgenfs
from dgenfs.cli.helper_links import PROGRAMS, installed, link, require_roots, uninstall
from dgenfs.cli.mount_helper import names_of
from dgenfs.kernels import code_cache
from dgenfs.kernels.jit import warm_up
from dgenfs.mount.mountpoint import MountError

LINE = "1G_d4_c2.bin,1000x1M {} fuse.dgenfs cache=8M,allow_other,nofail,_netdev,x-systemd.automount"
OF_A_USER = "1M,5x1K {} fuse.dgenfs user,noauto,x-any=1"

# The file systems of a machine on which dgenfs is installed; others do not see them.
_MACHINE = """
cd "$1"
mkdir usual sbin home
mount --bind /usr/sbin usual
cp -rs "$PWD/usual/." sbin
mount --bind sbin /usr/sbin
mount --bind fstab /etc/fstab
[ -c fuse ] || mknod fuse c 10 229
chmod 666 fuse
mount --bind fuse /dev/fuse
# Python may lie in a folder that is root's only.
if [ -n "$2" ]; then
    mkdir -p "open/$3"
    mount --bind "$2/$3" "open/$3"
    mount --rbind open "$2"
fi
shift 3
exec "$@"
"""


# For another Python than that of the tests.
OUR_PACKAGES = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(dgenfs.__file__).parents[1]), *filter(None, sys.path)]),
}


@dataclass
class Machine:
    """A mount namespace in which dgenfs is installed.

    Attributes:
        path: the mountpoint of LINE.
        of_a_user: that of OF_A_USER.
        inside: what runs a command there.
        mounts: its table of mounts.
    """

    path: Path
    of_a_user: Path
    inside: tuple[str, ...]
    mounts: Path

    def run(self, command: str, code: int | None = 0) -> Done:
        compiled = {**os.environ, "XDG_CACHE_HOME": str(self.path.with_name("cache"))}
        return run(*self.inside, *shlex.split(command), code=code, environment=compiled)

    def options(self, path: Path) -> set[str]:
        """Those of what is mounted at ``path``, nothing if nothing is."""
        for line in self.mounts.read_text().splitlines():
            if line.split()[1] == str(path):
                return set(line.split()[3].split(","))
        return set()


def closed_parent(path: Path) -> tuple[str, str]:
    """The topmost folder above ``path`` that is its owner's only, and the rest; empty if none."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & 0o001:
            return str(parent), str(path.relative_to(parent))
    return "", ""


@pytest.fixture
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="dgenfs-fstab-"))  # where users get to
    folder.chmod(0o755)
    paths = (folder / "mnt", folder / "user")
    for path in paths:
        path.mkdir()
    os.chown(paths[1], NOBODY, NOBODY)
    lines = (LINE.format(paths[0]), OF_A_USER.format(paths[1]))
    (folder / "fstab").write_text("".join(f"{line} 0 0\n" for line in lines))
    closed = closed_parent(Path(sys.base_prefix).resolve())
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-ec", _MACHINE, "sh", str(folder), *closed, "sleep", "120"]
    )
    try:
        command = Path(f"/proc/{holder.pid}/cmdline")
        eventually(lambda: command.read_bytes().startswith(b"sleep") or holder.poll() is not None)
        inside = ("nsenter", "-m", "-t", str(holder.pid))
        found = Machine(*paths, inside, Path(f"/proc/{holder.pid}/mounts"))
        link(folder / "sbin", installed())  # which need not be root's
        # Where ours is kept may not be seen there, and to compile takes long.
        warm_up()
        shutil.copytree(code_cache.folder(), folder / "cache" / "dgenfs")
        yield found
    finally:
        for pid in [pid for path in paths for pid in daemons_of_helper(path)]:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGKILL)
        holder.kill()
        holder.wait(END_SECONDS)
        shutil.rmtree(folder)


def daemons_of_helper(path: Path) -> list[int]:
    return daemons_of(path, program="mount.fuse.dgenfs")


def test_all_of_fstab(machine: Machine) -> None:
    for _ in range(2):  # what is there is not mounted again
        machine.run("mount -a")
        assert len(daemons_of_helper(machine.path)) == 1
    assert machine.run(f"ls {machine.path}").out.split() == [b"1000x1M", b"1G_d4_c2.bin"]
    assert {"ro", "nosuid", "nodev", "allow_other"} <= machine.options(machine.path)
    shown = machine.run(f"findmnt -n -o SOURCE,FSTYPE {machine.path}").out.split()
    assert shown == [b"1G_d4_c2.bin,1000x1M", b"fuse.dgenfs"]
    assert b'"cache_bytes": 8388608' in machine.run(f"cat {machine.path}/.topology").out
    assert machine.options(machine.of_a_user) == set()
    for wanted in ("rw", "ro"):
        machine.run(f"mount -o remount,{wanted} {machine.path}")
        assert {wanted, "nosuid", "nodev"} <= machine.options(machine.path)
        code = 0 if wanted == "rw" else 2
        machine.run(f"sh -c 'echo {{\\\"cache_bytes\\\":0}} >{machine.path}/.topology'", code=code)
    machine.run(f"umount {machine.path}")
    eventually(lambda: daemons_of_helper(machine.path) == [])
    assert machine.options(machine.path) == set()


def test_busybox(machine: Machine) -> None:
    for _ in range(2):
        machine.run("busybox mount -a")
    assert len(daemons_of_helper(machine.path)) == 1
    assert "ro" in machine.options(machine.path)
    machine.run(f"busybox mount -o remount,rw {machine.path}")
    assert "rw" in machine.options(machine.path)
    machine.run(f"busybox umount {machine.path}")
    eventually(lambda: daemons_of_helper(machine.path) == [])


def test_a_user_mounts_what_fstab_lets_them(machine: Machine) -> None:
    user = shlex.join(user_command(NOBODY))
    cache = machine.path.with_name("numba")
    give_compiled_code(cache)
    machine.run(f"{user} env NUMBA_CACHE_DIR={cache} mount {machine.of_a_user}")
    assert {"ro", "noexec", f"user_id={NOBODY}"} <= machine.options(machine.of_a_user)
    assert machine.run(f"{user} ls {machine.of_a_user}").out.split() == [b"1M", b"5x1K"]
    machine.run(f"{user} umount {machine.of_a_user}")
    eventually(lambda: daemons_of_helper(machine.of_a_user) == [])
    assert machine.options(machine.of_a_user) == set()


def test_by_hand(machine: Machine) -> None:
    path = machine.path
    machine.run(f"mount -t dgenfs -o noexec,io=direct none {path}")
    assert b"1T_d2_c1.5.bin" in machine.run(f"ls {path}").out
    assert {"ro", "noexec"} <= machine.options(path)
    machine.run(f"umount {path}")
    for arguments, code, message in (
        (
            f"-o cahce=1G none {path}",
            1,
            "-o cahce=1G: is no option of dgenfs; the nearest is cache",
        ),
        (f"1G,10X {path}", 1, "'10X' is not a name"),
        (f"-o allow_root none {path}", 1, "-o allow_root: only libfuse"),
        (f"none {path.parent}", 32, "is not empty"),
    ):
        done = machine.run(f"mount -t fuse.dgenfs {arguments}", code=code)
        assert message in done.err
        assert done.err.count("\n") == 1
    machine.run(f"mount -f {path}")
    assert machine.options(path) == set()
    machine.run(f"mount -s -t fuse.dgenfs -o unheard-of none {path}")
    machine.run(f"umount {path}")


def test_a_namespace_of_another(machine: Machine) -> None:
    """mount(8) -N leaves it to its helpers to go there."""
    helper = f"{Path(DGENFS).with_name('mount.fuse.dgenfs')} none {machine.path}"
    done = machine.run(f"{helper} -N /proc/1/ns/mnt -t fuse.dgenfs", code=1)
    assert done.err.startswith("dgenfs: -N: dgenfs mounts where it runs: say nsenter")


def test_values_in_quotes(machine: Machine) -> None:
    """An option in a value is none: rw of mount(8) goes, that of a value stays."""
    log = machine.path.with_name("a,rw,b")
    command = f"""mount -t dgenfs -o 'log_file="{log}"' none {machine.path.parent}"""
    assert "is not empty" in machine.run(command, code=32).err
    assert log.exists()


def test_interrupted_while_it_loads(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    helper = Path(DGENFS).with_name("mount.fuse.dgenfs")
    for module in ("dgenfs.cli", "typer", "trio"):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "AT": module}
        done = run(helper, "none", tmp_path / "none", environment=environment, code=None)
        assert done.code in (-signal.SIGINT, 128 + signal.SIGINT, 1)
        assert "Traceback" not in done.err
        assert (done.code == 1) == ("none: " in done.err)  # it went so far without


def test_it_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('is broken')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    helper = Path(DGENFS).with_name("mount.fuse.dgenfs")
    done = run(helper, "none", tmp_path, environment=environment, code=32)
    assert done.err == "dgenfs: cannot start: ImportError: is broken\n"


def test_install_and_remove(tmp_path: Path) -> None:
    links = [tmp_path / name for name in PROGRAMS]
    assert all(" now" in line for line in link(tmp_path, installed()))
    assert [link.readlink() for link in links] == [Path(DGENFS).with_name(p) for p in PROGRAMS]
    assert all(" already" in line for line in link(tmp_path, installed()))
    links[0].unlink()
    links[0].symlink_to(f"/an/older/{PROGRAMS[0]}")
    assert [line.split()[-1] for line in link(tmp_path, installed())] == ["now", "already"]
    assert uninstall(tmp_path) == [f"{link}: removed" for link in links]
    assert list(tmp_path.iterdir()) == []
    assert uninstall(tmp_path) == []


def test_installed_without_a_venv(tmp_path: Path) -> None:
    """Programs need not be beside Python."""
    python = Path(sys.executable).resolve()
    for name in PROGRAMS:
        (tmp_path / name).touch()
    script = tmp_path / "dgenfs"
    script.write_text(
        "from dgenfs.cli.helper_links import installed\nprint(*installed(), sep='\\n')\n"
    )
    done = run(python, script, environment=OUR_PACKAGES)
    assert done.out.decode().split() == [str(tmp_path / name) for name in PROGRAMS]


@pytest.mark.parametrize("way", ["program", "folder", "link", "group"])
def test_what_others_may_write_to_is_not_linked(way: str) -> None:
    with folder_of_nobody() as folder, tempfile.TemporaryDirectory() as of_root:
        place = folder if way == "folder" else Path(of_root)
        program = place / PROGRAMS[0]
        program.touch()
        wrong = program
        if way == "program":
            os.chown(program, NOBODY, NOBODY)
        elif way == "folder":
            wrong = folder
        elif way == "link":
            (folder / "there").symlink_to(place)  # nobody may lead it elsewhere
            program, wrong = folder / "there" / PROGRAMS[0], folder
        elif way == "group":
            program.chmod(0o775)
        with pytest.raises(MountError, match=rf"^{wrong}: .*only root may own or write to it"):
            require_roots(program)
        program.resolve().chmod(0o755)
        if way == "group":
            require_roots(program)  # below /tmp, which is sticky


def test_a_venv_of_a_user(tmp_path: Path) -> None:
    with folder_of_nobody() as folder:
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
        for name in PROGRAMS:
            (folder / "venv" / "bin" / name).touch()
        code = "import sys; from dgenfs.cli.helper_links import *; install(Path(sys.argv[1]))"
        done = run(
            *(folder / "venv" / "bin" / "python", "-c", code, tmp_path),
            environment=OUR_PACKAGES,
            code=1,
        )
        assert f"MountError: {folder}: belongs to user {NOBODY}" in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_command(machine: Machine) -> None:
    """It takes out what is there, and links it again if this checkout and Python are root's."""
    assert machine.run(f"{DGENFS} install-helper --remove").out.count(b": removed\n") == 2
    done = machine.run(f"{DGENFS} install-helper", code=None)
    if done.code == 0:
        assert done.out.count(b" now\n") == 2
        done = machine.run(f"mount -t dgenfs none {machine.path.parent}", code=32)
        assert "is not empty" in done.err
    else:
        assert (done.code, done.err.count("only root may own")) == (1, 1)
        machine.run(f"mount {machine.path}", code=None)
        assert machine.options(machine.path) == set()


@pytest.mark.parametrize("change", [lambda folder: link(folder, installed()), uninstall])
def test_what_is_not_ours_stays(tmp_path: Path, change: Callable[[Path], object]) -> None:
    there = tmp_path / PROGRAMS[1]
    for make in ("touch", "mkdir", "ln -s /bin/true"):
        run(*make.split(), there)
        with pytest.raises(MountError, match="move it away first"):
            change(tmp_path)
        assert list(tmp_path.iterdir()) == [there]
        run("rm", "-r", there)


def test_sources() -> None:
    assert names_of("1G_d4_c2.bin,1000x1M") == ("1G_d4_c2.bin", "1000x1M")
    assert names_of("1G") == ("1G",)
    assert names_of("none") == names_of("dgenfs") == ()
