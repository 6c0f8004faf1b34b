"""What reads through fsspec reads names, and gets out of them what their containers hold."""

import asyncio
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import fsspec.generic
import h5py
import numpy as np
import oracle
import pandas
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest
import zarr
import zarr.abc.store
import zarr.errors
import zarr.storage
from dask.base import compute
from dask.bytes.core import read_bytes
from servers import Server
from zarr.core.buffer import default_buffer_prototype

from dgenfs.names.catalog import MTIME

FS = fsspec.filesystem("dgen")
TABLES = "5x70K_d2_r999_f2.parquet"


def payload(tree: str, file: int = 0) -> bytes:
    content = oracle.parse(tree)
    return oracle.read_content(content, file, 0, content.size)


def test_pandas() -> None:
    rows = pandas.read_parquet("dgen://300K_d2_r999.parquet")["data"].to_list()
    assert len(rows) > 300
    assert b"".join(rows) == payload("300K_d2_r999.parquet")[: 999 * len(rows)]


def test_pyarrow() -> None:
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(FS))
    table = pyarrow.dataset.dataset(TABLES, filesystem=files)
    rows = table.to_table()["data"].to_pylist()
    per_file = len(rows) // 5
    assert table.count_rows() == len(rows) == 5 * per_file
    assert per_file >= 60
    for file in range(5):
        data = payload(TABLES, file)[: 999 * per_file]
        assert b"".join(rows[file * per_file : (file + 1) * per_file]) == data
    (there, missing, folder) = files.get_file_info(["1M", "nope", TABLES])
    assert (there.size, there.mtime.timestamp()) == (1 << 20, MTIME)
    assert missing.type == pyarrow.fs.FileType.NotFound
    assert folder.type == pyarrow.fs.FileType.Directory
    selected = files.get_file_info(pyarrow.fs.FileSelector(TABLES, recursive=True))
    assert sorted(info.path for info in selected if info.is_file) == FS.find(TABLES)
    with files.open_input_file("70001_d2.bin") as opened:
        assert opened.read_at(1000, 50_000) == oracle.read(
            oracle.parse("70001_d2"), 0, 50_000, 1000
        )
    rows = pyarrow.parquet.ParquetFile("100T_r1M.parquet", filesystem=FS).metadata.num_rows
    assert rows == 104_857_193


def test_duckdb() -> None:
    with duckdb.connect() as connection:
        connection.register_filesystem(FS)
        query = f"SELECT count(*) FROM read_parquet('dgen://{TABLES}/*/*.parquet')"
        (count,) = connection.execute(query).fetchall()[0]
    per_file = pyarrow.parquet.ParquetFile(FS.find(TABLES)[0], filesystem=FS).metadata.num_rows
    assert count == 5 * per_file


def test_dask() -> None:
    sample, blocks = read_bytes("dgen://3x100K_d2/*.bin", blocksize=30_000)  # type: ignore[no-untyped-call]
    (files,) = compute(blocks, scheduler="threads")  # type: ignore[no-untyped-call]
    content = oracle.parse("3x100K_d2")
    expected = [oracle.read(content, file, 0, content.size) for file in range(3)]
    assert [b"".join(file) for file in files] == expected
    assert sample == expected[0][: len(sample)]


def test_zarr() -> None:
    prototype = default_buffer_prototype()
    request = zarr.abc.store
    data = oracle.read(oracle.parse("3x100K_d2"), 1, 0, 100 << 10)

    async def read() -> None:
        store = zarr.storage.FsspecStore.from_url("dgen://3x100K_d2", read_only=True)
        for wanted, expected in (
            (None, data),
            (request.RangeByteRequest(10, 70_000), data[10:70_000]),
            (request.OffsetByteRequest(1000), data[1000:]),
            (request.SuffixByteRequest(1000), data[-1000:]),
        ):
            got = await store.get("000001.bin", prototype, wanted)
            assert got is not None
            assert got.to_bytes() == expected
            (got,) = await store.get_partial_values(prototype, [("000001.bin", wanted)])
            assert got is not None
            assert got.to_bytes() == expected
        assert await store.get("zarr.json", prototype) is None
        assert await store.exists("000002.bin")
        assert await store.getsize("000002.bin") == len(data)
        names = [f"00000{file}.bin" for file in range(3)]
        assert [name async for name in store.list()] == names
        assert [name async for name in store.list_dir("")] == names

    asyncio.run(read())
    with pytest.raises(zarr.errors.GroupNotFoundError):
        zarr.open_group("dgen://3x100K_d2", mode="r")


def test_arrays() -> None:
    with fsspec.open("dgen://300K_d2_r7K.npy") as file:
        assert np.load(file).tobytes() == payload("300K_d2_r7K.npy")[:-4096]
    with fsspec.open("dgen://300K_d2_r7K.hdf5") as file, h5py.File(file) as opened:
        records = opened["records_0"][()]
        assert records.tobytes() == payload("300K_d2_r7K.hdf5")[: records.nbytes]
        assert records.nbytes > 200_000


def test_archives() -> None:
    with fsspec.open("dgen://1G_d4_r1M.tar") as file, tarfile.open(fileobj=file) as archive:
        member = archive.next()
        assert member is not None
        extracted = archive.extractfile(member)
        assert extracted is not None
        data = extracted.read()
    assert data[:70_000] == oracle.read_content(oracle.parse("1G_d4_r1M.tar"), 0, 0, 70_000)
    with fsspec.open(f"tar://{member.name}::dgen://5M_d4_r1M.tar") as file:
        assert file.read(70_000) == oracle.read_content(oracle.parse("5M_d4_r1M.tar"), 0, 0, 70_000)


@pytest.mark.parametrize("protocol", ["simplecache", "filecache"])
def test_caches(tmp_path: Path, protocol: str) -> None:
    options: Any = {protocol: {"cache_storage": str(tmp_path / "cache")}}
    for _ in range(2):
        with fsspec.open(f"{protocol}::dgen://70001_d2.bin", **options) as file:
            assert file.read() == oracle.read(oracle.parse("70001_d2"), 0, 0, 70_001)
    assert any(path.stat().st_size == 70_001 for path in (tmp_path / "cache").iterdir())


def test_mappings() -> None:
    files = fsspec.get_mapper("dgen://3x100K_d2")
    assert sorted(files) == [f"00000{file}.bin" for file in range(3)]
    assert files["000001.bin"] == oracle.read(oracle.parse("3x100K_d2"), 1, 0, 100 << 10)
    assert "000003.bin" not in files


@pytest.fixture(params=["file", "memory", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a folder that is not there yet."""
    if request.param != "s3":
        yield f"{request.param}://{tmp_path}/copy"
        return
    server: Server = request.getfixturevalue("seaweedfs")
    server.s3.create_bucket(Bucket="rsync")
    with server.configured():
        yield "s3://rsync/copy"
    server.s3.delete_bucket(Bucket="rsync")


def test_rsync(target: str) -> None:
    tree = "12x20001_d2_f5"
    assert len(fsspec.generic.rsync(f"dgen://{tree}", target)) == 12
    copies, root = fsspec.core.url_to_fs(target)
    content = oracle.parse(tree)
    try:
        assert copies.cat(root, recursive=True, on_error="omit") == {
            f"{root}/{oracle.tree_path(content, file)}": oracle.read(content, file, 0, 20_001)
            for file in range(12)
        }
        assert fsspec.generic.rsync(f"dgen://{tree}", target) == {}
    finally:
        copies.rm(root, recursive=True)
