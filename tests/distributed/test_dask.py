"""Names written and proved by the workers of a Dask cluster: as one host does, whoever dies."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dask_cluster
import psutil
import pytest
from dask_cluster import Cluster
from mounting import DGENFS
from processes import eventually, run, session_of
from profile_sets import SETS
from servers import Server
from writing import ignore, is_whole, write

from dgenfs import Spec
from dgenfs.api.publishing import write_data_set
from dgenfs.cli import render
from dgenfs.cli.generation import Generation
from dgenfs.cli.verification import Options, Verification
from dgenfs.distributed import gen, verify
from dgenfs.distributed.cluster import connected
from dgenfs.distributed.parts import ClusterError, done, shares
from dgenfs.distributed.verifying import DistributedVerifier
from dgenfs.machine.libraries import MissingLibraryError
from dgenfs.names.catalog import Directory, File, find
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.profile import read
from dgenfs.names.share import RANGE, Share
from dgenfs.verifying.findings import Kind
from dgenfs.verifying.reports import FileReport, TreeReport
from dgenfs.verifying.verifier import Verifier

FILE = "140M_d4_c2"  # of three ranges
TREE = "60x300001_d2_f7"
BUCKET = "dask"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, seaweedfs: Server) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    with dask_cluster.dask_cluster(folder, seaweedfs.environment) as cluster:
        yield cluster


def on_one_host(path: Path | str, node: File | Directory | ProfileDirectory) -> Any:
    with Verifier() as verifier:
        if isinstance(node, File):
            return verifier.verify_file(path, node)
        return verifier.verify_tree(path, node)


def damage(path: Path, at: int, length: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(length)
        file.seek(at)
        file.write(bytes(byte ^ 8 for byte in before))


def test_a_tree_is_compared_as_by_one_host(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / TREE
    write(TREE, path)
    damage(path / "0000/000003.bin", 5000)
    damage(path / "0008/000059.bin", 300_000)
    os.truncate(path / "0001/000010.bin", 12345)
    (path / "0001/000011.bin").unlink()
    (path / "0001/more").touch()
    (path / "0002/000017.bin").unlink()
    (path / "0002/000017.bin").symlink_to("000017.bin")  # which nobody can read
    monkeypatch.chdir(tmp_path)
    copy = Path(TREE)
    seen: list[int] = []
    found = verify(cluster.client, copy, TREE, progress=seen.append)
    assert isinstance(found, TreeReport)
    assert render.as_json(found) == render.as_json(on_one_host(copy, find(TREE)))
    assert [str(one.path) for one in found.different] == [
        f"{TREE}/{inside}" for inside in ("0000/000003.bin", "0001/000010.bin", "0008/000059.bin")
    ]
    assert (found.missing, found.unexpected) == (["0001/000011.bin"], ["0001/more"])
    assert [one.path for one in found.unreadable] == ["0002/000017.bin"]
    assert sum(seen) == pytest.approx(find(TREE).size, rel=0.02)


def test_a_file_is_compared_as_by_one_host(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / FILE
    write(FILE, path)
    seen: list[int] = []
    found = verify(cluster.client, path, FILE, progress=seen.append)
    assert found.identical
    assert sum(seen) == find(FILE).size
    damage(path, RANGE - 1000, 2000)  # in two parts
    damage(path, 3)
    os.truncate(path, find(FILE).size - 100)
    found = verify(cluster.client, path, FILE)
    assert render.as_json(found) == render.as_json(on_one_host(path, find(FILE)))
    assert isinstance(found, FileReport)
    assert [extent.start for extent in found.extents] == [3, RANGE - 1000, find(FILE).size - 100]


def test_a_directory_of_names(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "restored"
    for name in ("10x1000_d2", "sub/70M_d2.bin", "sub/3K.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(Path(name).name, folder / name)
    damage(folder / "sub/70M_d2.bin", RANGE - 3, 6)  # in two parts
    (folder / "10x1000_d2/000003.bin").unlink()
    (folder / "sub/README").touch()
    (folder / "lost+found").mkdir()
    monkeypatch.chdir(tmp_path)
    with (
        DistributedVerifier(cluster.client, exclude=["lost+found"]) as verifier,
        Verifier(exclude=["lost+found"]) as alone,
    ):
        found = verifier.verify_directory(Path("restored"))
        expected = alone.verify_directory(Path("restored"))
    assert list(map(render.as_json, found.reports)) == list(map(render.as_json, expected.reports))
    assert (found.unchecked, found.excluded) == (expected.unchecked, expected.excluded)
    assert (found.unchecked_paths, found.excluded_paths) == (1, 1)
    assert str(found.path) == "restored"


def test_a_data_set(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f"seed = 9\n{SETS}")
    top = read(str(tmp_path / "mine.toml")).top
    gen(cluster.client, top, tmp_path / "copy")
    whole = verify(cluster.client, tmp_path / "copy", top)
    assert whole.identical
    write_data_set(top, tmp_path / "again", ignore)
    for path in (tmp_path / "again").rglob("*.*"):
        assert (
            tmp_path / "copy" / path.relative_to(tmp_path / "again")
        ).read_bytes() == path.read_bytes()
    file = next(
        path for path in (tmp_path / "copy/train").rglob("*.npy") if path.stat().st_size > 9
    )
    damage(file, 9)
    found = verify(cluster.client, tmp_path / "copy", top)
    assert render.as_json(found) == render.as_json(on_one_host(tmp_path / "copy", top))
    assert [one.path for one in found.different] == [file]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [FILE, TREE, "0"])
def test_what_is_written(cluster: Cluster, tmp_path: Path, name: str) -> None:
    path = tmp_path / "copy"
    seen: list[int] = []
    gen(cluster.client, name, path, progress=seen.append)
    assert on_one_host(path, find(name)).identical
    assert sum(seen) == find(name).size
    with pytest.raises(FileExistsError, match="copy: is there already; --resume goes on with it"):
        gen(cluster.client, name, path)
    if name == TREE:
        stays, broken = path / "0000/000000.bin", path / "0000/000001.bin"
        before = stays.stat()
        damage(broken, 7)
        gen(cluster.client, name, path, resume=True)
        assert is_whole(path, name)
        assert stays.stat().st_mtime_ns == before.st_mtime_ns


def test_a_worker_that_dies_while_it_compares(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / TREE
    write(TREE, path)
    damage(path / "0004/000030.bin", 100)
    where = cluster.addresses()[0]
    victim = cluster.process(where)
    victim.suspend()  # with what it is given
    held: list[int] = []

    def progress(_: int) -> None:
        if not held and threading.current_thread() is threading.main_thread():
            eventually(lambda: bool(cluster.client.processing()[where]))
            held.append(len(cluster.client.processing()[where]))
            victim.kill()

    found = verify(cluster.client, path, TREE, progress=progress)
    assert held[0] > 0
    assert render.as_json(found) == render.as_json(on_one_host(path, find(TREE)))
    assert where not in cluster.addresses()


@pytest.mark.parametrize("name", ["50x9M_d2", "400M_d2"])
def test_a_worker_that_dies_while_it_writes(cluster: Cluster, name: str) -> None:
    path = Path(f"/dev/shm/dgenfs-dask-{os.getpid()}")
    where = cluster.addresses()[0]
    victim = cluster.process(where)

    def written() -> int:
        return int(victim.io_counters().write_chars)

    before = written()
    command = [DGENFS, "gen", name, "-o", str(path), "--dask", cluster.address]
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            eventually(lambda: written() > before + (4 << 20), 30)
            victim.kill()
            _, error = process.communicate()
        assert (process.returncode, error) == (0, b"")
        assert where not in cluster.addresses()
        assert on_one_host(path, find(name)).identical
    finally:
        run("rm", "-rf", path)


def test_objects(cluster: Cluster, seaweedfs: Server) -> None:
    seaweedfs.s3.create_bucket(Bucket=BUCKET)
    url = f"s3://{BUCKET}/copy/"
    name = "24x100001_d4_c2"
    with seaweedfs.configured():
        gen(cluster.client, name, url)
        with pytest.raises(FileExistsError, match="is there already"):
            gen(cluster.client, name, url)
        seaweedfs.s3.delete_object(Bucket=BUCKET, Key="copy/000010.bin")
        seaweedfs.s3.put_object(Bucket=BUCKET, Key="copy/000020.bin", Body=b"short")
        found = verify(cluster.client, url, name)
        assert render.as_json(found) == render.as_json(on_one_host(url, find(name)))
        assert isinstance(found, TreeReport)
        assert found.missing == ["000010.bin"]
        assert [one.path for one in found.different] == [f"{url}000020.bin"]
        gen(cluster.client, name, url, resume=True)
        assert verify(cluster.client, url, name).identical
        gen(cluster.client, "9M_d2", f"s3://{BUCKET}/9M_d2")
        assert verify(cluster.client, f"s3://{BUCKET}/9M_d2", "9M_d2").identical


def test_the_command_reports_as_without_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    write(FILE, tmp_path / FILE)
    damage(tmp_path / FILE, 10**8)
    paths = [str(tmp_path / "10x1K"), str(tmp_path / FILE)]
    options = Options(None, (), False, ())
    alone = Verification(options)
    alone.check(paths)
    command = [DGENFS, "verify", *paths, "--json", "--dask", cluster.address]
    ended = run(*command, code=2)
    told = json.loads(ended.out)
    expected = json.loads(json.dumps([render.as_json(report) for report in alone.reports]))
    assert told["reports"] == expected
    assert told["unchecked"] == [render.unreadable_as_json(one) for one in alone.unchecked]


@contextmanager
def running(*command: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A run of much more than is ever read or written."""
    with subprocess.Popen(
        [DGENFS, *map(str, command)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_an_interrupt_cancels_what_runs(cluster: Cluster, tmp_path: Path) -> None:
    def busy(dask_worker: Any) -> int:
        return len(dask_worker.state.executing)

    path = tmp_path / "900G_d2"
    path.touch()
    os.truncate(path, find(path.name).size)
    with running("verify", path, "--dask", cluster.address) as process:
        eventually(lambda: all(map(len, cluster.client.processing().values())), 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 128 + signal.SIGINT
        eventually(lambda: not any(cluster.client.run(busy).values()))


def test_a_cluster_of_its_own() -> None:
    """It writes, its processes end with it, and what they wrote is right."""
    path = Path(f"/dev/shm/dgenfs-dask-own-{os.getpid()}")
    name = "30000x500001_d2_f100"

    def writers() -> int:
        found = 0
        for pid in session_of(process.pid):
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(pid).io_counters().write_chars > 20 << 20
        return found

    try:
        with running("gen", name, "-o", path, "--dask", "local") as process:
            eventually(lambda: writers() > 1, 60)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            said, _ = process.communicate(timeout=20)
            assert (process.returncode, said) == (128 + signal.SIGINT, b"")
            eventually(lambda: not session_of(process.pid))
        found = on_one_host(path, find(name))
        assert found.identical_files > 60
        assert found.different_files <= len(os.sched_getaffinity(0))  # those under way
        assert (found.unexpected, found.readable) == ([], True)
    finally:
        run("rm", "-rf", path)


def test_a_copy_is_compared_by_a_cluster_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "6x1M_d2"
    run(DGENFS, "gen", path.name, "-o", path)
    wrong = path / Spec.parse(path.name).path(3)
    damage(wrong, 5000)
    done = run(DGENFS, "verify", path, "--dask", "local", "--json", seconds=60, code=1)
    (report,) = json.loads(done.out)["reports"]
    assert (report["identical_files"], report["different_files"]) == (5, 1)
    (different,) = report["different"]
    assert different["path"] == str(wrong)
    assert [extent["start"] for extent in different["extents"]] == [5000]


def test_another_version_is_named(cluster: Cluster) -> None:
    with cluster.stranger() as where:
        rule = f"{where}: has dgenfs 0.0.9, and this host .*: install the same on both"
        parts = shares(cluster.client, 0, 100)
        with pytest.raises(ClusterError, match=rule):
            list(done(cluster.client, "test", dask_cluster.waits, parts, ignore))


def test_parts_that_fail_do_not_end_the_run(cluster: Cluster) -> None:
    """A mistake in one and the end of all workers that have another: both are told."""
    seen: list[int] = []
    parts = [Share(number, 9) for number in range(1, 10)]
    found = dict(done(cluster.client, "test", dask_cluster.fails, parts, seen.append))
    errors = {share.number: str(found.pop(share)) for share in (parts[1], parts[8])}
    assert found == {share: share.number for share in parts if share.number not in (2, 9)}
    assert list(found) == sorted(found, key=lambda share: share.number)
    assert "ZeroDivisionError: a mistake, says tcp://127.0.0.1:" in errors[2]
    assert "2 workers died of it, tcp://127.0.0.1:" in errors[9]


def test_parts_that_fail_are_in_the_report(cluster: Cluster, tmp_path: Path) -> None:
    gen(cluster.client, FILE, tmp_path / FILE)
    gen(cluster.client, TREE, tmp_path / TREE)

    def some_fail(client: Any, what: str, task: Any, parts: Any, progress: Any) -> Any:
        for share, report in done(client, what, task, parts, progress):
            yield share, OSError(errno.EIO, "it broke") if share.number == 2 else report

    with patch("dgenfs.distributed.verifying.done", some_fail):
        file = verify(cluster.client, tmp_path / FILE, FILE)
        tree = verify(cluster.client, tmp_path / TREE, TREE)
    assert isinstance(file, FileReport)
    found = [(extent.start, extent.end, extent.kind) for extent in file.extents]
    assert found == [(RANGE, 2 * RANGE, Kind.UNREADABLE)]
    assert file.ranges == [(0, file.size)]
    assert isinstance(tree, TreeReport)
    assert tree.files == find(TREE).spec.files
    assert 0 < tree.identical_files < tree.files
    assert tree.unreadable[0].path == "."
    assert tree.unreadable[0].reason.endswith(": it broke")


def test_what_cannot_be_reached_is_told(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory, says tcp://127"):
        verify(cluster.client, tmp_path / FILE, FILE)
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        verify(cluster.client, tmp_path / TREE, TREE)
    with pytest.raises(
        FileNotFoundError, match="3 of 3 parts are not written; of part 1/3: No such"
    ):
        gen(cluster.client, FILE, tmp_path / "none" / FILE)


@pytest.mark.parametrize(
    ("address", "rule"),
    [("10.0.0.1", "is neither local nor an address such as tcp://"), ("x://y", "unknown address")],
)
def test_what_is_no_address(address: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule), connected(address):
        pass


def test_usage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--dask: checks all of a copy, without --part"):
        Options(None, (), False, (), share=Share(1, 2), dask="local")
    with pytest.raises(ValueError, match="--dask local: writes all parts, so leave out --part"):
        Generation(str(tmp_path), "0", None, False, share=Share(1, 2), dask="local").write("1M")
    with pytest.raises(ValueError, match="--dask local: goes without --offset"):
        Generation("-", "0", None, False, dask="local").write("1M")
    with (
        patch.dict(sys.modules, {"distributed": None}),
        pytest.raises(MissingLibraryError, match=r"pip install 'dgenfs\[dask\]'"),
        connected("local"),
    ):
        pass
