"""What storage makes of files."""

import re
import subprocess
from pathlib import Path

from dgenfs import DataGenerator, Spec


def written(spec: Spec, folder: Path) -> Path:
    """A file with the content of ``spec``."""
    data = bytearray(spec.size)
    DataGenerator(spec).fill_chunk(data)
    path = folder / spec.name
    path.write_bytes(data)
    return path


def written_files(spec: Spec, folder: Path) -> Path:
    """A folder with the files of ``spec``."""
    folder.mkdir(parents=True)
    data = bytearray(spec.size)
    for file in range(spec.files):
        DataGenerator(spec, file=file, threads=1).fill_chunk(data)
        (folder / f"{file:06}").write_bytes(data)
    return folder


def fio_dedupe(path: Path, chunk: int) -> float:
    """Chunks at fixed offsets for one distinct chunk, as fio-dedupe counts them."""
    # -B 0 -c 1: every chunk is compared, not guessed at by a Bloom filter or a hash.
    command = ["fio-dedupe", "-B", "0", "-c", "1", "-p", "0", "-b", str(chunk), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"Extents=([0-9]+), Unique extents=([0-9]+)", done.stdout)
    assert found, done.stdout
    return int(found[1]) / int(found[2])
