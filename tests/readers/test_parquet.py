"""Parquet files, read by Arrow (C++), DuckDB (C++) and Polars (Rust)."""

import random
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest
from containers import parquet as oracle

CONTENT = random.Random(4).randbytes(2**20)


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    """A column of records of one length, or a single one of what fits."""
    assert path.stat().st_size == size
    file = pyarrow.parquet.ParquetFile(path)
    n, length = file.metadata.num_rows, file.schema.column(0).length
    record = record or 128 << 10
    assert length == record or (length < record and n == 1)
    assert file.schema_arrow == pyarrow.schema(
        [pyarrow.field("data", pyarrow.binary(length), nullable=False)]
    )
    expected = [content[i * length : (i + 1) * length] for i in range(n)]

    groups = [file.read_row_group(i) for i in range(file.num_row_groups)]
    assert {len(group) for group in groups[:-1]} <= {min(1024, (2**31 - 1) // length)}
    assert [row for group in groups for row in group["data"].to_pylist()] == expected
    for i in range(file.num_row_groups):
        column = file.metadata.row_group(i).column(0)
        assert (column.compression, column.statistics) == ("UNCOMPRESSED", None)
        assert column.num_values == len(groups[i])
    for table in (pyarrow.parquet.read_table(path), pyarrow.dataset.dataset(path).to_table()):
        assert table["data"].to_pylist() == expected

    with duckdb.connect() as connection:
        query = connection.execute("SELECT data FROM read_parquet(?)", [str(path)])
        assert [row for (row,) in query.fetchall()] == expected
        query = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(path)])
        assert query.fetchall() == [(n,)]

    assert polars.read_parquet(path)["data"].to_list() == expected
    tail = polars.scan_parquet(path).slice(n // 2).collect()
    assert tail["data"].to_list() == expected[n // 2 :]


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(
    ("size", "record"),
    [
        (106, None),
        (107, 1),
        (1000, 1),
        (60_000, 1),
        (100_001, 30),
        (65_535, 1000),
        (65_536, 1000),
        (70_000, None),
        (300_000, None),
        (2**20, 7),
        (2**20, 63),
        (2**20, 64),
        (2**20, 101),
        (2**20, None),
        (2**20, 2**16),
        (2**20 - 1, 2**16 + 1),
        (2**20, 2**20),
        (2**20, 600_000),
    ],
)
def test_rows(tmp_path: Path, size: int, record: int | None, repeats: bool) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(oracle.file(size, record, repeats, CONTENT))
    check(path, size, record, CONTENT)
