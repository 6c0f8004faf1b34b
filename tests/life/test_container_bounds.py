"""Trees of containers made and verified with every index checked."""

import sys
from pathlib import Path

from processes import run

PROGRAM = """
import sys
from pathlib import Path
from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.names.catalog import Directory
from dgenfs.verifying.verifier import Verifier

for name in sys.argv[2:]:
    spec = Spec.parse(name)
    path = Path(sys.argv[1]) / name
    write_tree(spec, path, lambda _: None)
    with Verifier() as verifier:
        assert verifier.verify_tree(path, Directory(spec)).identical, name
        with (path / spec.path(1)).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"?")  # which is the last byte of none
        (different,) = verifier.verify_tree(path, Directory(spec)).different
        assert different.extents[-1].end == spec.size, different
print("done")
"""


def test_trees_of_containers(tmp_path: Path) -> None:
    extensions = ("npy", "npz", "tfrecord", "h5", "parquet", "safetensors", "tar")
    trees = [f"3x{size}_d1.5_c2_r900" for size in ("20000", "4M")]
    names = [f"{tree}.{extension}" for tree in trees for extension in extensions]
    environment = ("NUMBA_BOUNDSCHECK=1", f"NUMBA_CACHE_DIR={tmp_path / 'cache'}")
    done = run("env", *environment, sys.executable, "-c", PROGRAM, tmp_path, *names, seconds=300)
    assert (done.out, done.err) == (b"done\n", "")
