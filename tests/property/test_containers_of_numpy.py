"""npy and npz against their oracles; sizes that no test could write, by what is said of them."""

import hashlib
from types import ModuleType

import pytest
from containers import contents, npy, npz
from containers.expanding import expand
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.content.containers.formats import FORMATS
from dgenfs.content.containers.frames import Container

ORACLES = {"npy": npy, "npz": npz}
HUGE = [2**32 - 1, 2**32, 2**40, 2**62 + 1, 2**63 - 1]
# r is any from 1 up; of the round ones some fill the file with records to the byte.
RECORDS = st.none() | st.integers(1, 1 << 20) | st.sampled_from([1, 8, 4096, 65536, 2**63 - 1])

by_format = pytest.mark.parametrize(("extension", "slow"), ORACLES.items(), ids=ORACLES)


def well_formed(container: Container, size: int) -> None:
    assert container.size == size
    assert container.first == 4096
    assert all(run.size for run in container.runs)
    assert len(container.runs) <= 6
    whole = (container.records - 1) * container.record + container.last
    assert container.payload == whole + container.rest
    for start, run in zip(container.starts, container.runs, strict=True):
        if run.payload is not None:
            assert (start + len(run.head) - run.payload) % 4096 == 0


@by_format
@given(data=st.data(), record=RECORDS)
def test_bytes(extension: str, slow: ModuleType, data: st.DataObject, record: int | None) -> None:
    least = FORMATS[extension].least
    assert least == slow.LEAST
    size = data.draw(st.integers(least, least + 300) | st.integers(least, len(contents.SAMPLE)))
    container = FORMATS[extension].container(size, record, data.draw(st.booleans()))
    well_formed(container, size)
    assert expand(container, contents.SAMPLE) == slow.file(size, record, False, contents.SAMPLE)


@by_format
@given(size=st.sampled_from(HUGE) | st.integers(2**32 - 300, 2**63 - 1), record=RECORDS)
def test_any_size(extension: str, slow: ModuleType, size: int, record: int | None) -> None:
    container = FORMATS[extension].container(size, record, False)
    well_formed(container, size)
    if extension == "npz":
        r, n, _, rest = slow.shape(size, record)
        assert (container.record, container.records, container.rest) == (r, n, rest)


@by_format
def test_vectors(extension: str, slow: ModuleType) -> None:
    for name, sha256 in slow.VECTORS.items():
        size, record, repeats, content = contents.named(name)
        data = slow.file(size, record, repeats, content)
        assert hashlib.sha256(data).hexdigest() == sha256
        assert expand(FORMATS[extension].container(size, record, repeats), content) == data
