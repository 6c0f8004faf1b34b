"""Mounts whose control files are looked at."""

import json
from collections.abc import Iterator

import pytest
from control_files import write
from mounting import PLANES, RETUNED, Mount, mounted


@pytest.fixture(scope="module", params=PLANES)
def used(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    options = ["--data-plane", request.param, "--cache", "8M", *RETUNED]
    with mounted(tmp_path_factory.mktemp("control"), "1T", *options, limit=240) as mount:
        yield mount


@pytest.fixture
def mount(used: Mount) -> Mount:
    """With new workers and an empty cache, as if nothing had been done before."""
    write(
        used.path / ".topology",
        json.dumps({"workers_per_node": 2, "cache_bytes": 8 << 20}).encode(),
    )
    return used


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """For tests of what both planes have in common."""
    with mounted(
        tmp_path_factory.mktemp("shared"), "1T", "--cache", "8M", *RETUNED, limit=120
    ) as mount:
        yield mount
