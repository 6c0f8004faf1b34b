"""Sets of a profile beside each other, and how large those of records are."""

from contextlib import suppress
from pathlib import Path

import pytest

from dgenfs.content.containers import EXTENSIONS
from dgenfs.names.data_set import DataSet
from dgenfs.names.grammar import SpecError
from dgenfs.names.profile import read


def made(folder: Path, text: str) -> DataSet:
    path = folder / "profile.toml"
    path.write_text(text)
    return read(str(path))


def set_of(**keys: object) -> str:
    lines = [f"{key} = {value!r}" for key, value in keys.items()]
    return "\n".join(["[[set]]", *lines, ""])


@pytest.mark.parametrize(
    ("name", "files", "other"),
    [("disk", 1, "disk.vmdk"), ("a{index}", 0, "a1"), ("a1", 0, "a1"), ("disk{index}", 9, "disk9")],
)
def test_names_that_are_nearly_alike(tmp_path: Path, name: str, files: int, other: str) -> None:
    sets = [set_of(files=files, size=1, name=name), set_of(files=1, size=1, name=other)]
    for text in ("".join(sets), "".join(reversed(sets))):
        listed = [name for name, _ in made(tmp_path, text).top.entries()]
        assert other in listed
        assert len(set(listed)) == len(listed) == files + 1


@pytest.mark.parametrize("record", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_files_are_the_smallest_with_so_many_records(
    tmp_path: Path, extension: str, record: int
) -> None:
    for records in (1, 2, 5):
        text = set_of(files=1, format=extension, records=records, record=record)
        file = made(tmp_path, text).sets[0]
        container = file.spec(0).container
        assert container is not None
        assert container.record == record
        assert container.records >= records
        assert container.payload >= records * record
        with suppress(SpecError):
            smaller = file.spec_of(file.size(0) - 1, 0).container
            assert smaller is not None
            assert smaller.records < records or smaller.payload < records * record


def test_names_at_the_top_that_are_taken_below(tmp_path: Path) -> None:
    text = set_of(files=1, size=1, directory="x", name=".stats")
    assert made(tmp_path, text).top.find(["x", ".stats"])
