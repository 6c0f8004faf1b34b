"""The programs that people read files with."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import kernel_offer
import oracle
import processes
import pytest
from mounting import DGENFS, Mount, mounted
from processes import eventually
from vectors import VECTORS, Vector

from dgenfs.mount.mountpoint import mounted_at

NAME = "9M+777_d2_c1.5.bin"
TREE = "60x70000_d3_c2_f25.dat"
FILES = [vector for vector in VECTORS if "x" not in vector.name]
TREES = [vector for vector in VECTORS if "x" in vector.name]
MIB = 1 << 20


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("clients"), NAME, TREE, "10x1G", limit=120) as mount:
        yield mount


@pytest.fixture(scope="module")
def data() -> bytes:
    return oracle.read(oracle.parse(NAME), 0, 0, 10 * MIB)


def run(*command: object) -> bytes:
    return processes.run(*command, seconds=60).out


def tree_files() -> dict[str, bytes]:
    content = oracle.parse(TREE)
    return {
        oracle.tree_path(content, file): oracle.read(content, file, 0, content.size)
        for file in range(content.files)
    }


def files_under(path: Path) -> dict[str, bytes]:
    return {
        str(found.relative_to(path)): found.read_bytes()
        for found in path.rglob("*")
        if found.is_file()
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["bs=1M"],
        ["bs=1M", "iflag=direct"],
        ["bs=4k", "iflag=direct"],
        ["bs=777777"],
        ["bs=16M", "iflag=fullblock"],
        ["bs=16M", "iflag=fullblock,direct"],
    ],
)
def test_dd(mount: Mount, data: bytes, arguments: list[str]) -> None:
    assert run("dd", f"if={mount.path / NAME}", *arguments) == data


def test_dd_of_a_part(mount: Mount, data: bytes) -> None:
    whole = ["dd", f"if={mount.path / NAME}", "bs=1M", "skip=3", "count=2"]
    assert run(*whole) == data[3 * MIB : 5 * MIB]
    part = ["dd", f"if={mount.path / NAME}", "bs=100", "skip=4194300", "count=1"]
    assert run(*part, "iflag=skip_bytes") == data[4194300:4194400]
    last = ["dd", f"if={mount.path}/8E-1", "bs=7", "iflag=skip_bytes", "count=1"]
    assert run(*last, "skip=9223372036854775800") == oracle.read(
        oracle.parse("8E-1"), 0, 2**63 - 8, 7
    )


def test_cat_head_tail(mount: Mount, data: bytes) -> None:
    assert run("cat", mount.path / NAME) == data
    assert run("head", "-c", 5 * MIB + 1, mount.path / NAME) == data[: 5 * MIB + 1]
    assert run("tail", "-c", 5 * MIB + 1, mount.path / NAME) == data[-5 * MIB - 1 :]
    assert run("tail", "-c", "+9437185", mount.path / NAME) == data[9437184:]
    assert run("head", "-c", "20", mount.path / "8E-1") == oracle.read(
        oracle.parse("8E-1"), 0, 0, 20
    )
    assert run("wc", "-c", mount.path / NAME).split()[0] == str(len(data)).encode()
    terabytes = oracle.parse("100T_d3")
    assert run("tail", "-c", 100, mount.path / "100T_d3") == oracle.read(
        terabytes, 0, terabytes.size - 100, 100
    )


@pytest.mark.parametrize(
    "options", [[], ["--sparse=always"], ["--reflink=auto"], ["-a"], ["--sparse=never"]]
)
def test_cp(mount: Mount, data: bytes, tmp_path: Path, options: list[str]) -> None:
    run("cp", *options, mount.path / NAME, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


def test_cp_copies_no_holes(mount: Mount, tmp_path: Path) -> None:
    """Blocks that stat counts: else cp takes a file for sparse and looks for its holes."""
    run("cp", mount.path / "4M_c20", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_blocks * 512 >= 4 * MIB


def test_python_copies(mount: Mount, data: bytes, tmp_path: Path) -> None:
    shutil.copyfile(mount.path / NAME, tmp_path / "copyfile")
    assert (tmp_path / "copyfile").read_bytes() == data
    shutil.copytree(mount.path / TREE, tmp_path / "tree")
    assert files_under(tmp_path / "tree") == tree_files()


def test_cmp_with_what_gen_writes(mount: Mount, tmp_path: Path) -> None:
    run(DGENFS, "gen", NAME, "-o", tmp_path / "copy")
    run("cmp", tmp_path / "copy", mount.path / NAME)
    run("cmp", mount.path / "3G_d2.dat", mount.path / "3072M_d2", "-n", 20 * MIB)
    run("diff", "-r", mount.path / TREE, mount.path / TREE)


@pytest.mark.parametrize("vector", FILES, ids=lambda vector: vector.name)
def test_sha256sum_of_the_vectors(mount: Mount, vector: Vector) -> None:
    assert run("sha256sum", mount.path / vector.name).split()[0].decode() == vector.sha256


@pytest.mark.parametrize("vector", TREES, ids=lambda vector: vector.name)
def test_sha256_of_the_vectors_trees(mount: Mount, vector: Vector) -> None:
    paths = run("find", mount.path / vector.name, "-type", "f").decode().splitlines()
    assert len(paths) == oracle.parse(vector.name).files
    digest = hashlib.sha256(run("cat", *sorted(paths))).hexdigest()
    assert digest == vector.sha256


def test_verify_in_the_mount(mount: Mount) -> None:
    run(DGENFS, "verify", mount.path / NAME, mount.path / TREE)
    run(DGENFS, "verify", "--direct", mount.path / NAME)


def test_cp_of_a_tree(mount: Mount, tmp_path: Path) -> None:
    run("cp", "-r", mount.path / TREE, tmp_path / TREE)
    assert files_under(tmp_path / TREE) == tree_files()
    run(DGENFS, "verify", tmp_path / TREE)


def test_rsync_finds_nothing_to_do_the_second_time(mount: Mount, tmp_path: Path) -> None:
    command = ["rsync", "-a", "--itemize-changes", "--stats", f"{mount.path}/{TREE}", tmp_path]
    first = run(*command).decode()
    assert re.search("Number of regular files transferred: 60\n", first)
    assert files_under(tmp_path / TREE) == tree_files()
    second = run(*command).decode()
    assert re.search("Number of regular files transferred: 0\n", second)
    assert not re.search("^[<>ch.*][fdLDS][^ ]* ", second, re.MULTILINE), second
    with_xattrs = run("rsync", "-aXn", "--checksum", "--itemize-changes", *command[4:]).decode()
    assert not re.search("^>f", with_xattrs, re.MULTILINE), with_xattrs


def test_tar(mount: Mount, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    run("tar", "-C", mount.path, "-cf", archive, TREE, NAME)
    run("tar", "-C", mount.path, "-df", archive)
    run("tar", "-C", tmp_path, "-xf", archive)
    assert files_under(tmp_path / TREE) == tree_files()
    assert (tmp_path / NAME).stat().st_mtime == (mount.path / NAME).stat().st_mtime


def test_find_and_du(mount: Mount) -> None:
    found = run("find", mount.path / TREE, "-printf", "%P %s %y\n").decode().splitlines()
    assert sorted(found) == sorted(
        [" 0 d", "0000 0 d", "0001 0 d", "0002 0 d"] + [f"{path} 70000 f" for path in tree_files()]
    )
    apparent = run("du", "-sB1", "--apparent-size", mount.path / TREE).split()[0]
    assert int(apparent) == 60 * 70000
    allocated = run("du", "-sB1", mount.path / TREE).split()[0]
    assert int(allocated) == 60 * 137 * 512
    assert int(run("du", "-sB1G", "--apparent-size", mount.path / "10x1G").split()[0]) == 10


@pytest.mark.parametrize("io_mode", ["auto", "direct", "cached"])
def test_fio(tmp_path: Path, io_mode: str) -> None:
    """All engines that clients use, several at once, with reads of every size."""
    engines = ["psync", "pvsync2", "mmap", "libaio", "io_uring", "sync", "posixaio"]
    maps = io_mode != "direct" or kernel_offer.direct_mmap()
    jobs = ["[global]", "size=64M", "runtime=1", "time_based", "iodepth=8", "group_reporting=0"]
    jobs += ["fallocate=none", "invalidate=0", "filename=FILE"]
    for engine in engines:
        for direct in (0, 1):
            if engine == "mmap" and (direct or not maps):
                continue
            jobs += [f"[{engine}-{direct}]", f"ioengine={engine}", f"direct={direct}"]
            jobs += ["rw=randread", "bsrange=4k-1m", "blockalign=512"]
    with mounted(tmp_path, "--io", io_mode, "--cache", "8M") as mount:
        found = mounted_at(mount.path)
        assert found is not None
        keeps = io_mode == "cached" or (io_mode == "auto" and not kernel_offer.direct_mmap())
        read_ahead = Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").read_text()
        assert (int(read_ahead) == 4096) == keeps
        job_file = tmp_path / "jobs"
        job_file.write_text("\n".join(jobs).replace("FILE", f"{mount.path}/1T_d2_c1.5.bin"))
        report = tmp_path / "report"
        run("fio", "--readonly", "--output-format=json", f"--output={report}", job_file)
        text = report.read_text()
        found = json.loads(text[text.index("{") :])  # notes come first
        assert len(found["jobs"]) == 2 * len(engines) - 1 - (not maps)
        for job in found["jobs"]:
            assert job["error"] == 0, job["jobname"]
            assert job["read"]["total_ios"] > 0, job["jobname"]
        eventually(lambda: mount.stats()["open_handles"] == 0)
        stats = mount.stats()
        assert (stats["read_errors"], stats["refused_replies"]) == (0, 0)
