"""Content put into stores: real servers have the bytes that the oracle has."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import oracle
import pytest
import servers
import typer
from mounting import DGENFS
from processes import eventually, run
from profile_sets import SETS
from servers import Server
from writing import ignore

from dgenfs import Spec
from dgenfs.api.multipart import MAX_PARTS
from dgenfs.api.uploading import PART, part_size, upload_directory, upload_file
from dgenfs.cli.generation import Generation
from dgenfs.cli.terminal import USAGE, errors
from dgenfs.content.view import Failing, View, Zeros
from dgenfs.machine.store_errors import MissingObjectError, StoreError
from dgenfs.machine.stores import open_store
from dgenfs.names.catalog import Directory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.profile import read

BUCKET = "uploads"
TREE = "25x100001_d2_c2_f10"

# Of aiohttp, which would have bytes of more than 1 MiB be a file.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")


class StoppedError(Exception):
    pass


def stopping_after(size: int, error: BaseException) -> Callable[[int], None]:
    """Progress that raises once so many bytes are written."""
    left = size

    def progress(written: int) -> None:
        nonlocal left
        left -= written
        if left < 0:
            raise error

    return progress


@pytest.fixture(scope="module")
def s3(seaweedfs: Server) -> Any:
    client = seaweedfs.s3
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def configured(seaweedfs: Server, s3: Any) -> Iterator[None]:  # noqa: ARG001
    with seaweedfs.configured():
        yield


def keys(s3: Any, prefix: str) -> dict[str, int]:
    """Sizes of a prefix's objects."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    listed = (one for page in pages for one in page.get("Contents", ()))
    return {one["Key"]: one["Size"] for one in listed}


def content(s3: Any, key: str) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def uploads(s3: Any) -> list[Any]:
    return list(s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


def expected_tree(name: str) -> dict[str, bytes]:
    tree = oracle.parse(name)
    return {
        oracle.tree_path(tree, file): oracle.read(tree, file, 0, tree.size)
        for file in range(tree.files)
    }


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_part_sizes() -> None:
    assert part_size(PART + 1) == part_size(MAX_PARTS * PART) == PART
    for size in (MAX_PARTS * PART + 1, 1 << 40, 5 << 40, (5 << 40) - 12345, 50 << 40):
        part = part_size(size)
        assert part % (1 << 20) == 0
        assert -(-size // part) <= MAX_PARTS
        assert part <= 1 << 20 or -(-size // (part - (1 << 20))) > MAX_PARTS


@pytest.mark.usefixtures("configured")
def test_tree(s3: Any) -> None:
    written: list[int] = []
    s3.put_object(Bucket=BUCKET, Key="tree/")  # as consoles do for a directory
    store = open_store(f"s3://{BUCKET}/tree/")
    upload_directory(Directory(Spec.parse(TREE)), store, written.append)
    s3.delete_object(Bucket=BUCKET, Key="tree/")
    expected = expected_tree(TREE)
    assert keys(s3, "tree/") == {f"tree/{path}": len(data) for path, data in expected.items()}
    for path, data in expected.items():
        assert content(s3, f"tree/{path}") == data
    assert sum(written) == 25 * 100_001
    with pytest.raises(FileExistsError, match=f"s3://{BUCKET}/tree/: something is there already"):
        upload_directory(Directory(Spec.parse(TREE)), store, ignore)
    s3.put_object(Bucket=BUCKET, Key=f"tree/{min(expected)}", Body=b"damaged")
    upload_directory(Directory(Spec.parse(TREE)), store, ignore, force=True)
    assert content(s3, f"tree/{min(expected)}") == expected[min(expected)]


@pytest.mark.usefixtures("configured")
def test_some_of_a_tree(s3: Any) -> None:
    tree = Directory(Spec.parse(TREE))
    some = list(tree.members())[8:12]
    upload_directory(tree, open_store(f"s3://{BUCKET}/some"), ignore, members=some)
    expected = list(expected_tree(TREE))[8:12]
    assert list(keys(s3, "some/")) == [f"some/{path}" for path in expected]


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("size", "parts"),
    [(0, 0), (1, 0), (PART, 0), (PART + 1, 2), (2 * PART, 2), (2 * PART + 12345, 3)],
)
def test_parts_of_an_object(s3: Any, size: int, parts: int) -> None:
    name = f"{size}_d2_c2.bin"
    upload_file(Spec.parse(name).view(0), open_store(f"s3://{BUCKET}/parts/{name}"), ignore)
    head = s3.head_object(Bucket=BUCKET, Key=f"parts/{name}")
    assert head["ContentLength"] == size
    assert head["ETag"].strip('"').partition("-")[2] == (str(parts) if parts else "")
    assert content(s3, f"parts/{name}") == oracle.read(oracle.parse(name), 0, 0, size)
    assert uploads(s3) == []


@pytest.mark.usefixtures("configured")
def test_large_objects_of_a_tree_and_a_range(s3: Any) -> None:
    name = f"2x{PART + 4096}_c2"
    upload_directory(Directory(Spec.parse(name)), open_store(f"s3://{BUCKET}/large"), ignore)
    for path, data in expected_tree(name).items():
        assert content(s3, f"large/{path}") == data
    part = Spec.parse("1G_d2").view(0).part((512 << 20) + 1, 5000)
    upload_file(part, open_store(f"s3://{BUCKET}/range"), ignore)
    expected = oracle.read(oracle.parse("1G_d2.bin"), 0, (512 << 20) + 1, 5000)
    assert content(s3, "range") == expected


@pytest.mark.usefixtures("configured")
def test_what_is_there(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="there/one", Body=b"mine")
    view = Spec.parse("1000").view(0)
    store = open_store(f"s3://{BUCKET}/there/one")
    with pytest.raises(FileExistsError, match="is there already; --force writes over it"):
        upload_file(view, store, ignore)
    assert content(s3, "there/one") == b"mine"
    upload_file(view, store, ignore, force=True)
    assert content(s3, "there/one") == view.read(0, 1000)
    upload_file(view, open_store(f"s3://{BUCKET}/there"), ignore)  # no directory, only a prefix
    assert content(s3, "there") == view.read(0, 1000)


@pytest.mark.usefixtures("configured")
def test_no_part_stays_behind(s3: Any) -> None:
    for error in (StoppedError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            upload_file(
                Spec.parse("64M").view(0),
                open_store(f"s3://{BUCKET}/stopped"),
                stopping_after(PART, error),
            )
        assert uploads(s3) == []
        assert keys(s3, "stopped") == {}


@pytest.mark.usefixtures("configured")
def test_content_that_cannot_be_read(s3: Any) -> None:
    view = View.of(Zeros(3 * PART), Failing(PART, 5))
    with pytest.raises(OSError, match="Input/output error"):
        upload_file(view, open_store(f"s3://{BUCKET}/failing"), ignore)
    assert uploads(s3) == []
    assert keys(s3, "failing") == {}


def test_an_interrupt_ends_the_command(seaweedfs: Server, s3: Any) -> None:
    process = subprocess.Popen(
        [DGENFS, "gen", "20G", "-o", f"s3://{BUCKET}/interrupted"],
        env=seaweedfs.whole_environment,
        stderr=subprocess.PIPE,
    )
    eventually(lambda: bool(uploads(s3)), 20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGINT, said
    assert uploads(s3) == []
    assert keys(s3, "interrupted") == {}


@pytest.mark.usefixtures("configured")
def test_no_bucket() -> None:
    store = open_store("s3://no-bucket/x")
    with pytest.raises(MissingObjectError, match="NoSuchBucket"):
        upload_directory(Directory(Spec.parse(TREE)), store, ignore)
    for size in (1000, 3 * PART):
        with pytest.raises(MissingObjectError, match="NoSuchBucket") as raised:
            upload_file(Spec.parse(str(size)).view(0), store, ignore)
        assert raised.value.request_id
    with pytest.raises(typer.Exit) as ended, errors():
        Generation(store.url, "0", None, force=False).write("1K")
    assert ended.value.exit_code == USAGE


def test_wrong_credentials(seaweedfs: Server, s3: Any) -> None:  # noqa: ARG001
    wrong = {"endpoint_url": seaweedfs.endpoint, "key": seaweedfs.key[0], "secret": "wrong"}
    with patch.dict("fsspec.config.conf", {"s3": wrong}):
        store = open_store(f"s3://{BUCKET}/denied")
        with pytest.raises(StoreError, match=r"403: Forbidden \(request ") as raised:
            upload_file(Spec.parse("1000").view(0), store, ignore, force=True)
        assert isinstance(raised.value.request_id, str)


@pytest.mark.parametrize("size", [PART // 4, 2 * PART])
def test_a_server_that_is_killed(tmp_path: Path, size: int) -> None:
    with servers.rclone_s3(tmp_path) as server:
        server.s3.create_bucket(Bucket=BUCKET)

        def kill(_: int) -> None:
            server.process.kill()
            server.process.wait()

        once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
        with patch.dict("fsspec.config.conf", {"s3": {**server.options["s3"], **once}}):
            store = open_store(f"s3://{BUCKET}/")
            with pytest.raises(StoreError, match=r"connect|closed|disconnected") as raised:
                upload_directory(Directory(Spec.parse(f"60x{size}")), store, kill)
    assert str(raised.value.filename).startswith(f"s3://{BUCKET}/0000")


def test_rclone_s3(rclone_s3: Server) -> None:
    rclone_s3.s3.create_bucket(Bucket=BUCKET)
    name = f"3x{PART + 1}_c2"
    with rclone_s3.configured():
        upload_directory(Directory(Spec.parse(name)), open_store(f"s3://{BUCKET}/t"), ignore)
        upload_directory(Directory(Spec.parse(TREE)), open_store(f"s3://{BUCKET}/u"), ignore)
    found = files_in(rclone_s3.folder / BUCKET)
    expected = {f"t/{path}": data for path, data in expected_tree(name).items()}
    expected |= {f"u/{path}": data for path, data in expected_tree(TREE).items()}
    assert found == expected


def file_stores(server: Server, tmp_path: Path) -> list[tuple[str, Path]]:
    folder = server.folder / tmp_path.name
    folder.mkdir()
    local = tmp_path / "local"
    local.mkdir()
    return [(f"{server.url}{tmp_path.name}/", folder), (f"file://{local}/", local)]


def test_servers_of_files(rclone_sftp: Server, tmp_path: Path) -> None:
    with rclone_sftp.configured():
        for url, folder in file_stores(rclone_sftp, tmp_path):
            upload_directory(Directory(Spec.parse(TREE)), open_store(f"{url}tree"), ignore)
            assert files_in(folder / "tree") == expected_tree(TREE)
            with pytest.raises(FileExistsError, match="tree: something is there already"):
                upload_directory(Directory(Spec.parse(TREE)), open_store(f"{url}tree"), ignore)
            upload_directory(
                Directory(Spec.parse(TREE)), open_store(f"{url}tree"), ignore, force=True
            )

            store = open_store(f"{url}one")
            upload_file(Spec.parse(f"{PART + 1}_c2").view(0), store, ignore)
            expected = oracle.read(oracle.parse(f"{PART + 1}_c2.bin"), 0, 0, PART + 1)
            assert (folder / "one").read_bytes() == expected
            empty = Spec.parse("0").view(0)
            with pytest.raises(FileExistsError, match="one: is there already"):
                upload_file(empty, store, ignore)
            upload_file(empty, store, ignore, force=True)
            assert (folder / "one").read_bytes() == b""
            with pytest.raises(FileExistsError, match="tree: is a directory"):
                upload_file(empty, open_store(f"{url}tree"), ignore, force=True)
            with pytest.raises(MissingObjectError, match="none/x"):
                upload_file(empty, open_store(f"{url}none/x"), ignore)

            with pytest.raises(StoppedError):
                upload_file(
                    Spec.parse("32M").view(0),
                    open_store(f"{url}stopped"),
                    stopping_after(PART, StoppedError()),
                )
            assert sorted(path.name for path in folder.iterdir()) == ["one", "tree"]


def test_memory() -> None:
    store = open_store("memory://uploads/tree")
    try:
        upload_directory(Directory(Spec.parse(TREE)), store, ignore)
        found = {
            path.removeprefix(f"{store.path}/"): store.fs.cat_file(path)
            for path in store.fs.find(store.path)
        }
        assert found == expected_tree(TREE)
    finally:
        store.fs.rm(open_store("memory://uploads").path, recursive=True)


def test_http(tmp_path: Path) -> None:
    with servers.rclone_webdav(tmp_path) as server:
        for size in (0, 5000, PART + 1):
            name = f"{size}_c2.bin"
            upload_file(Spec.parse(name).view(0), open_store(server.url).join(name), ignore)
            expected = oracle.read(oracle.parse(name), 0, 0, size)
            assert (server.folder / name).read_bytes() == expected
    with servers.rclone_http(tmp_path) as server:
        for size in (10, PART + 1):
            with pytest.raises(StoreError, match="HTTP 405"):
                upload_file(Spec.parse(f"{size}").view(0), open_store(server.url + "x"), ignore)


@pytest.mark.usefixtures("configured")
def test_a_file_of_a_library(s3: Any) -> None:
    """Stores that have no parts of their own here are written in order; so is S3 by a detour."""
    store = open_store(f"dir://detour::s3://{BUCKET}")
    name = f"{PART * 2 + 1}_c2.bin"
    upload_file(Spec.parse(name).view(0), store, ignore)
    assert content(s3, "detour") == oracle.read(oracle.parse(name), 0, 0, PART * 2 + 1)
    with pytest.raises(StoppedError):
        upload_file(
            Spec.parse("64M").view(0),
            open_store(f"dir://stopped::s3://{BUCKET}"),
            stopping_after(PART * 3, StoppedError()),
        )
    assert uploads(s3) == []
    assert keys(s3, "stopped") == {}


@pytest.mark.usefixtures("configured")
def test_data_set(s3: Any, tmp_path: Path, rclone_sftp: Server) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'seed = 9\n{SETS}\n[[set]]\ndirectory = "empty/below"\nfiles = 0\nsize = 0\n')
    top = read(str(path)).top
    expected = {
        node.path: node.view().read(0, node.size)
        for node in top.walk()
        if isinstance(node, ProfileFile)
    }
    upload_directory(top, open_store(f"s3://{BUCKET}/set/"), ignore)
    assert keys(s3, "set/") == {f"set/{path}": len(data) for path, data in expected.items()}
    assert all(content(s3, f"set/{path}") == data for path, data in expected.items())
    with rclone_sftp.configured():
        upload_directory(top, open_store(f"{rclone_sftp.url}set"), ignore)
    assert files_in(rclone_sftp.folder / "set") == expected
    assert (rclone_sftp.folder / "set/empty/below").is_dir()


def test_the_command(seaweedfs: Server, s3: Any) -> None:
    where = f"s3://{BUCKET}/command/"
    run(DGENFS, "gen", "20x5000_d2", "-o", where, environment=seaweedfs.whole_environment)
    assert keys(s3, "command/") == {f"command/{file:06}.bin": 5000 for file in range(20)}


@pytest.mark.usefixtures("configured")
def test_names_of_files(s3: Any, tmp_path: Path) -> None:
    """As cp gives them: in what is a directory, or stands for one, the name's own."""
    where = f"s3://{BUCKET}/names/"
    Generation(f"{where}one", "0", None, force=False).write("1K_c2")
    for url in (where, where.rstrip("/")):
        Generation(url, "0", None, force=False).write("5000_c2")
        assert content(s3, "names/5000_c2") == oracle.read(oracle.parse("5000_c2"), 0, 0, 5000)
        with pytest.raises(FileExistsError, match="names/5000_c2: is there already"):
            Generation(url, "0", None, force=False).write("5000_c2")
        s3.delete_object(Bucket=BUCKET, Key="names/5000_c2")
    with pytest.raises(ValueError, match=f"^{where}: is a directory, and {where}5000 in it names"):
        Generation(where, "0", "1", force=False).write("5000")
    Generation(f"{where}part", "4096", "1", force=False).write("5000")
    assert content(s3, "names/part") == oracle.read(oracle.parse("5000"), 0, 4096, 1)
    assert list(keys(s3, "names/")) == ["names/one", "names/part"]
    path = tmp_path / "file"
    Generation(f"file://{path}", "0", None, force=False).write("1K")
    assert path.stat().st_size == 1024


def test_trees_are_written_whole() -> None:
    for output, offset, force in (("s3://x/y", "1", False), ("-", "0", False), ("x", "0", True)):
        with pytest.raises(ValueError, match="a tree or a data set is written whole"):
            Generation(output, offset, None, force).write("20x5000")
