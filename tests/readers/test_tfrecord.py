"""TFRecord files are read by the readers that others use."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from containers import tfrecord as oracle
from containers.contents import SAMPLE
from tensorboard.compat.tensorflow_stub import errors
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tfrecord import example_pb2, tfrecord_loader
from tfrecord.tools.tfrecord2idx import create_index

CASES = [
    (55, 1, False),
    (56, None, False),
    (1000, 1, True),
    (5001, 7, False),
    (20_000, 8064, False),
    (65_535, 65_535, True),
    (65_536, 65_536, False),
    (200_000, None, True),
    (300_000, 70_000, True),
    (300_001, 70_000, False),
    (600_000, 65_536, True),
]


def examples(path: Path) -> list[bytes]:
    """All records; raises DataLossError if a CRC is wrong."""
    reader = PyRecordReader_New(str(path))
    found: list[bytes] = []
    while True:
        try:
            reader.GetNext()
        except errors.OutOfRangeError:
            return found
        found.append(reader.record())


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    """Every reader has the same payload of the file: what its content begins with."""
    images = by_tensorboard(path, size)
    payload = b"".join(images)
    assert payload == content[: len(payload)]
    assert all(len(image) == (record or 131_072) for image in images[:-1])
    assert by_tfrecord(path) == images


def by_tensorboard(path: Path, size: int) -> list[bytes]:
    """TensorBoard's reader, which checks CRCs, and Protocol Buffers."""
    images = []
    for data in examples(path):
        size -= 16 + len(data)
        features = example_pb2.Example.FromString(data).features.feature
        assert features.keys() - {"pad"} == {"image", "size"}
        images.append(features["image"].bytes_list.value[0])
        assert list(features["size"].int64_list.value) == [len(images[-1])]
        assert "pad" not in features or not any(features["pad"].bytes_list.value[0])
    assert size == 0
    return images


def by_tfrecord(
    path: Path, index: Path | None = None, share: tuple[int, int] | None = None
) -> list[bytes]:
    """The tfrecord package; with an index, one of so many shares."""
    name = str(index) if index else None
    loaded = tfrecord_loader(str(path), name, {"image": "byte", "size": "int"}, share)
    return [bytes(example["image"]) for example in loaded]


def check_index(path: Path, index: Path) -> None:
    """The index is what DALI's tool makes, in the copy of it that the tfrecord package has."""
    with TemporaryDirectory() as made:
        create_index(str(path), f"{made}/index")
        assert index.read_bytes() == Path(made, "index").read_bytes()
    if index.read_bytes().count(b"\n") > 1:  # the package reads no index of one line
        first, second = (by_tfrecord(path, index, (share, 2)) for share in range(2))
        assert first + second == by_tfrecord(path)


@pytest.mark.parametrize(("size", "record", "repeats"), CASES)
def test_readers(size: int, record: int | None, repeats: bool, tmp_path: Path) -> None:
    path, index = tmp_path / "x.tfrecord", tmp_path / "x.tfrecord.idx"
    path.write_bytes(oracle.file(size, record, repeats, SAMPLE))
    index.write_bytes(oracle.index(path.read_bytes()))
    check(path, size, record, SAMPLE)
    check_index(path, index)


@pytest.mark.parametrize("at", [0, 9, 40, -1])
def test_a_wrong_byte_is_noticed(at: int, tmp_path: Path) -> None:
    data = bytearray(oracle.file(1000, 100, False, SAMPLE))
    data[at] ^= 1
    path = tmp_path / "x.tfrecord"
    path.write_bytes(data)
    with pytest.raises(errors.DataLossError):
        examples(path)
