"""What each file of a tree costs common clients in requests, as docs/performance.md has it."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting import Mount, mounted
from processes import run

FILES = 500
SEEDS = itertools.count(1)  # each client gets a tree that the kernel does not know
SMALL = {"OPEN": 1, "RELEASE": 1}
OPEN_ALL = "import os, sys\nfor file in os.scandir(sys.argv[1]):\n open(file, 'rb').read()"
COPY_TREE = "import shutil, sys\nshutil.copytree(*sys.argv[1:])"
CLIENTS = {
    "find": (("find", "{tree}", "-size", "+1k"), {}),
    "du": (("du", "-s", "{tree}"), {}),
    "ls -l": (("ls", "-l", "{tree}"), {"GETXATTR": 2}),
    "cp -r": (("cp", "-r", "{tree}", "{copy}"), SMALL),
    "cp -a": (("cp", "-a", "{tree}", "{copy}"), {**SMALL, "LISTXATTR": 2, "GETXATTR": 1}),
    "rsync -a": (("rsync", "-a", "{tree}/", "{copy}"), SMALL),
    "tar": (("sh", "-c", "tar cf - {tree} | cat"), SMALL),
    "cat": (("sh", "-c", "cat {tree}/*"), SMALL),
    "open": ((sys.executable, "-c", OPEN_ALL, "{tree}"), {**SMALL, "IOCTL": 1}),
    "copytree": (
        (sys.executable, "-c", COPY_TREE, "{tree}", "{copy}"),
        {**SMALL, "IOCTL": 1, "LISTXATTR": 1},
    ),
}


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("requests"), limit=200) as mount:
        yield mount


@pytest.mark.parametrize("client", CLIENTS)
def test_requests_of_a_small_file(mount: Mount, tmp_path: Path, client: str) -> None:
    command, expected = CLIENTS[client]
    places = {
        "tree": mount.path / f"{FILES}x4K_s{next(SEEDS)}",
        "copy": tmp_path / "copy",
    }
    before = mount.settled()["requests"]
    run(*(str(argument).format(**places) for argument in command), seconds=30)
    after = mount.settled()["requests"]
    found = {name: round((after[name] - before.get(name, 0)) / FILES) for name in after}
    # At most: other versions of a client ask for less.
    assert not {name: n for name, n in found.items() if n > expected.get(name, 0)}
    assert all(found[name] == n for name, n in SMALL.items() if name in expected)
