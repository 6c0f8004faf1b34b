"""Objects proved: what another client changed in a store is named, whatever the store is."""

import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oracle
import pytest
import servers
from mounting import DGENFS
from processes import eventually, run
from servers import Server
from writing import ignore, write

from dgenfs.cli.generation import Generation
from dgenfs.cli.verification import Options, Verification
from dgenfs.distributed.writing import write_part
from dgenfs.machine.store_errors import StoreError
from dgenfs.machine.stores import open_store
from dgenfs.names.catalog import Directory, File, find
from dgenfs.names.share import Share
from dgenfs.verifying import objects
from dgenfs.verifying.findings import Kind
from dgenfs.verifying.object_blocks import find_objects, read_objects
from dgenfs.verifying.reports import FileReport, TreeReport, Unreadable
from dgenfs.verifying.verifier import Verifier

# With the commands of this environment: dgenfs, aws.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
BUCKET = "objects"
TREE = "60x100001_d4_c2"

# Of aiohttp, which would have bytes of more than 1 MiB be a file.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")


@pytest.fixture(scope="module")
def s3(seaweedfs: Server) -> Any:
    client = seaweedfs.s3
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def configured(seaweedfs: Server, s3: Any) -> Iterator[None]:  # noqa: ARG001
    with seaweedfs.configured():
        yield


def gen(name: str, url: str) -> None:
    Generation(url, "0", None, force=False).write(name)


def verified(url: str, name: str | None = None, share: Share | None = None) -> Any:
    options = Options(name, (7,), False, (), share=share or Share())
    verification = Verification(options)
    verification.check([url])
    assert not verification.unchecked, verification.unchecked
    return verification.reports[0]


def of(name: str, file: int = 0) -> bytes:
    content = oracle.parse(name)
    return oracle.read(content, file, 0, content.size)


def plant(client: Any, bucket: str, prefix: str) -> None:
    """Change objects of TREE as storage and people do."""

    def put(file: int, data: bytes, **more: Any) -> None:
        client.put_object(Bucket=bucket, Key=f"{prefix}{file:06}.bin", Body=data, **more)

    size = len(of(TREE))
    put(3, of(TREE, 3)[:-1000], Metadata={"size": str(size)})
    put(5, of(TREE, 6))
    put(6, of(TREE, 5))
    put(17, of(f"{TREE}_s7", 17))
    flipped = bytearray(of(TREE, 20))
    flipped[50_000] ^= 8
    put(20, bytes(flipped))
    put(30, of(TREE, 30) + b"more")
    put(31, b"")
    client.delete_object(Bucket=bucket, Key=f"{prefix}000040.bin")
    client.put_object(Bucket=bucket, Key=f"{prefix}extra.bin", Body=b"foreign")


def check_planted(report: TreeReport) -> None:
    found = {one.file: one for one in report.different}
    assert found.keys() == {3, 5, 6, 17, 20, 30, 31}
    assert found[3].size == found[3].expected_size - 1000
    assert found[3].totals.keys() == {Kind.MISSING}
    for one, other in ((5, 6), (6, 5)):
        assert found[one].totals.keys() == {Kind.MISPLACED}
        assert found[one].extents[0].belongs_in == other
        assert found[one].extents[0].belongs_at == found[one].extents[0].start
    assert found[17].totals.keys() == {Kind.OTHER_SEED}
    assert {one.seed for one in found[17].extents} == {7}
    (flip,) = found[20].extents
    assert (flip.kind, flip.start, flip.wrong_bits) == (Kind.BIT_FLIPS, 50_000, 1)
    assert found[30].totals.keys() == {Kind.EXCESS}
    assert found[30].size == found[30].expected_size + 4
    assert found[31].totals.keys() == {Kind.MISSING}
    assert report.missing == ["000040.bin"]
    assert report.unexpected == ["extra.bin"]
    assert report.identical_files == 60 - 7 - 1
    assert not report.identical
    assert report.readable


@pytest.mark.usefixtures("configured")
def test_a_bucket_that_others_changed(s3: Any) -> None:
    url = f"s3://{BUCKET}/planted/"
    gen(TREE, url)
    assert verified(url, TREE).identical
    plant(s3, BUCKET, "planted/")
    check_planted(verified(url, TREE))
    write_part(find(TREE), url, Share(), resume=True, progress=ignore)
    s3.delete_object(Bucket=BUCKET, Key="planted/extra.bin")
    assert verified(url, TREE).identical


def test_rclone_serves_s3(rclone_s3: Server) -> None:
    rclone_s3.s3.create_bucket(Bucket="planted")
    with rclone_s3.configured():
        url = "s3://planted/some/where/"
        gen(TREE, url)
        assert verified(url, TREE).identical
        plant(rclone_s3.s3, "planted", "some/where/")
        check_planted(verified(url, TREE))


@pytest.mark.parametrize("kind", ["rclone_sftp", "rclone_http", "local", "memory"])
def test_other_protocols(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tree = "12x30000_d2_f5"
    if kind in ("local", "memory"):
        url = f"file://{tmp_path}/{tree}" if kind == "local" else f"memory://{tmp_path}/{tree}"
        gen(tree, url)
        assert verified(url).identical
    else:
        server: Server = request.getfixturevalue(kind)
        with server.configured():
            url = f"{server.url}{tree}"
            if kind == "rclone_http":
                write(tree, server.folder / tree)
                server.process.send_signal(signal.SIGHUP)  # it knows its folders by heart
                eventually(lambda: bool(open_store(f"{url}/").info()))
            else:
                gen(tree, url)
            report = verified(url)
            assert report.identical
            assert report.identical_files == 12
            (server.folder / tree / "0001/000007.bin").write_bytes(bytes(30_000))
            (server.folder / tree / "0002/more").touch()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("name", ["40M+5_d2_c2", "20M_d2_r700K.npz", "0", "1", "4M", "4M+1"])
def test_an_object(s3: Any, name: str) -> None:
    key = f"single/{find(name).spec.name}"
    url = f"s3://{BUCKET}/{key}"
    gen(name, url)
    report = verified(url)
    assert isinstance(report, FileReport)
    assert report.identical
    assert report.size == find(name).size
    data = bytearray(of(find(name).spec.name))
    if len(data) > 5 << 20:
        data[5 << 20] ^= 1
        data[9 << 20 : (9 << 20) + 4096] = bytes(4096)
        with Verifier() as verifier:
            s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(data[: -(1 << 20)]))
            report = verifier.verify_file(url, File(find(name).spec))
        assert set(report.totals) == {Kind.BIT_FLIPS, Kind.ZEROS, Kind.MISSING}
        assert report.extents[0].start == 5 << 20
    s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(data) + b"x")
    assert verified(url).totals[Kind.EXCESS].wrong_bytes == 1


@pytest.mark.usefixtures("configured")
def test_a_range_of_an_object(s3: Any) -> None:
    data = of("4M_d2")
    s3.put_object(Bucket=BUCKET, Key="ranges/p", Body=b"x" * 4096 + data[1 << 20 : 2 << 20] + b"y")
    with Verifier() as verifier:
        from dgenfs.verifying.windows import Window

        window = Window(1 << 20, 1 << 20, 4096, ends=False)
        spec = find("4M_d2").spec
        assert verifier.verify_file(f"s3://{BUCKET}/ranges/p", File(spec), window=window).identical
        window = Window(1 << 20, 1 << 20, 4096, ends=True)
        report = verifier.verify_file(f"s3://{BUCKET}/ranges/p", File(spec), window=window)
        assert [one.kind for one in report.extents] == [Kind.EXCESS]
        s3.put_object(Bucket=BUCKET, Key="ranges/q", Body=b"x" * 4096 + data)
        window = Window(0, 4 << 20, 4096, ends=True)
        assert verifier.verify_file(f"s3://{BUCKET}/ranges/q", File(spec), window=window).identical


@pytest.mark.usefixtures("configured")
def test_parts_of_a_bucket(s3: Any) -> None:
    url = f"s3://{BUCKET}/parts"
    for number in (3, 1, 2):
        write_part(find(TREE), url, Share(number, 3), resume=False, progress=ignore)
    assert verified(url, TREE).identical
    states = {one["Key"]: one["LastModified"] for one in listed(s3, "parts/")}
    with pytest.raises(FileExistsError, match=r"000020\.bin: is there already; --resume goes on"):
        write_part(find(TREE), url, Share(2, 3), resume=False, progress=ignore)
    s3.delete_object(Bucket=BUCKET, Key="parts/000025.bin")
    done: list[int] = []
    write_part(find(TREE), url, Share(2, 3), resume=True, progress=done.append)
    assert sum(done) == 20 * 100_001
    now = {one["Key"]: one["LastModified"] for one in listed(s3, "parts/")}
    assert {key for key in states if states[key] != now[key]} <= {"parts/000025.bin"}
    assert verified(url, TREE, Share(2, 3)).files == 20
    with pytest.raises(ValueError, match="an object is written whole: part 2/3 is of a tree"):
        write_part(find("1M"), f"{url}/1M", Share(2, 3), resume=False, progress=ignore)


def test_a_server_without_ranges(tmp_path: Path) -> None:
    """What it sends is taken for no other range; the start of an object is all that it has."""
    with servers.python_http(tmp_path) as server:
        for name in ("1000_c2", "6M_d2", "20M_d2"):
            content = of(name)
            (server.folder / name).write_bytes(content)
        for name in ("1000_c2", "6M_d2"):
            assert verified(f"{server.url}{name}").identical
        with (server.folder / "6M_d2").open("ab") as file:
            file.write(b"x" * 1000)
        assert verified(f"{server.url}6M_d2").totals.keys() == {Kind.EXCESS}
        url = f"{server.url}20M_d2"
        verification = Verification(Options(None, (), False, ()))
        verification.check([url])
        assert [one.path for one in verification.unchecked] == [url]
        assert "the server gives no ranges of objects" in verification.unchecked[0].reason
        whole: list[Unreadable] = []
        blocks = list(read_objects(find_objects(url, whole.append), 8 << 20))
        assert not whole
        first = blocks[0].data
        assert not isinstance(first, OSError)
        assert first.tobytes() == of("20M_d2")[: 8 << 20]
        assert [type(block.data) for block in blocks[1:]] == [StoreError, StoreError]


def test_a_server_whose_password_is_in_the_url(rclone_sftp: Server) -> None:
    """What is right is left there; one thread at a time tells what is done."""
    told: list[int] = []
    telling = threading.Lock()

    def progress(length: int) -> None:
        assert telling.acquire(blocking=False), "another thread tells, too"
        time.sleep(0.002)
        told.append(length)
        telling.release()

    given = rclone_sftp.options["sftp"]
    login = f"{given['username']}:{given['password']}@127.0.0.1:{given['port']}"
    folder = rclone_sftp.folder / "resumed"
    name = "100x5000_c2"
    for target in (f"sftp://{login}/resumed/tree", f"sftp://{login}/resumed/one"):
        node = find(name if target.endswith("tree") else "5000_c2")
        if not folder.is_dir():
            open_store(f"sftp://{login}/").fs.makedirs("/resumed")
        write_part(node, target, Share(), resume=False, progress=ignore)
        times = {path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        if target.endswith("tree"):
            for path in sorted((folder / "tree").iterdir())[::2]:
                path.unlink()
        write_part(node, target, Share(), resume=True, progress=progress)
        now = {path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert len(now & times) == (50 if target.endswith("tree") else 101)
    assert sum(told) == 101 * 5000


def listed(s3: Any, prefix: str) -> list[Any]:
    return list(s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"])


@pytest.mark.usefixtures("configured")
def test_listings_go_on_page_by_page(s3: Any) -> None:
    name = "1050x3_f1040"
    gen(name, f"s3://{BUCKET}/{name}")
    s3.put_object(Bucket=BUCKET, Key=f"{name}/0000/zzz", Body=b"")
    report = verified(f"s3://{BUCKET}/{name}")
    assert report.identical_files == 1050
    assert report.unexpected == ["0000/zzz"]


@pytest.mark.usefixtures("configured")
def test_what_is_not_there(seaweedfs: Server) -> None:
    options = Options(None, (), False, ())
    verification = Verification(options)
    urls = [
        f"s3://{BUCKET}/none/{TREE}",
        f"s3://{BUCKET}/none/1M",
        f"s3://no-such-bucket/{TREE}",
        f"s3://{BUCKET}/notes.txt",
        "nothing://at/all/1M",
    ]
    verification.check(urls)
    assert [one.path for one in sorted(verification.unchecked, key=lambda one: one.path)] == sorted(
        urls
    )
    reasons = {one.path: one.reason for one in verification.unchecked}
    assert "no object has this prefix" in reasons[urls[0]]
    assert "NoSuchKey" in reasons[urls[1]]
    assert reasons[urls[3]] == "no object has this prefix"
    assert "fsspec knows no" in reasons[urls[4]]
    assert verification.code == 2
    with Verifier(direct=True) as verifier, pytest.raises(ValueError, match="no object has O_DIR"):
        verifier.verify_file(urls[1], File(find("1M").spec))
    del seaweedfs


@pytest.mark.usefixtures("configured")
def test_a_request_that_fails_is_told_with_its_id(
    seaweedfs: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{BUCKET}/denied/"
    gen("3x5000", url)
    options = {"s3": {**seaweedfs.options["s3"], "secret": "wrong"}}
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", options["s3"])
    verification = Verification(Options("3x5000", (), False, ()))
    verification.check([url])
    (one,) = verification.unchecked
    assert "(request " in one.reason


@pytest.mark.usefixtures("configured")
def test_a_verifier_pickles() -> None:
    gen("5x5000", f"s3://{BUCKET}/pickled/5x5000")
    with Verifier(seeds=(7,)) as verifier:
        again = pickle.loads(pickle.dumps(verifier))
    with again:
        spec = find("5x5000").spec
        assert again.verify_tree(f"s3://{BUCKET}/pickled/5x5000", Directory(spec)).identical


def test_the_commands(seaweedfs: Server, s3: Any, tmp_path: Path) -> None:
    """As a user: environment, JSON, streams from another client."""
    del s3
    environment = {**os.environ, **seaweedfs.environment}
    url = f"s3://{BUCKET}/commands/"
    run(DGENFS, "gen", "20x50000_d2_c2", "-o", url, environment=environment)
    done = run(DGENFS, "verify", url, "--as", "20x50000_d2_c2", environment=environment)
    assert done.out.decode() == (
        f"{url}: 20 of 20 files identical, 0 different, 0 missing, 0 unexpected\n"
    )
    reports = []
    for number in (1, 2):
        report = tmp_path / f"report-{number}.json"
        part = ("--part", f"{number}/2", "--json")
        done = run(DGENFS, "verify", url, "--as", "20x50000_d2_c2", *part, environment=environment)
        report.write_bytes(done.out)
        reports.append(report)
    merged = json.loads(run(DGENFS, "merge", *reports, "--json").out)
    assert merged["identical"] is True
    assert merged["reports"][0]["identical_files"] == 20
    aws = f"aws s3 cp {url}000003.bin - | {DGENFS} verify - --as 20x50000_d2_c2/000003.bin"
    done = run("sh", "-c", aws, environment={**environment, "PATH": PATH})
    assert done.out.decode() == "-: identical, 48.83 KiB\n"


@pytest.mark.usefixtures("configured")
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, s3: Any) -> None:
    """As many ranges as there are threads, and no more, whatever an object's size."""
    name = "150M_d2"
    gen(name, f"s3://{BUCKET}/bounded/{name}")
    under_way = most = 0
    plain = objects.Object.read

    def read(self: objects.Object, start: int, length: int) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        assert length <= objects.GET
        try:
            yield from plain(self, start, length)
        finally:
            under_way -= 1

    monkeypatch.setattr(objects.Object, "read", read)
    with Verifier(threads=5) as verifier:
        report = verifier.verify_file(f"s3://{BUCKET}/bounded/{name}", File(find(name).spec))
    assert report.identical
    assert 2 <= most <= 5
    s3.delete_object(Bucket=BUCKET, Key=f"bounded/{name}")
    assert open_store(f"s3://{BUCKET}/bounded/{name}").info() is None
