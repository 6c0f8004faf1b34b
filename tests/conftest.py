"""What holds for every test."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest
import servers
from hypothesis import settings
from servers import Server

# An example is slow when it is the first to load a kernel, or when the machine is busy.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.rclone_s3(tmp_path_factory.mktemp("rclone_s3")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.rclone_sftp(tmp_path_factory.mktemp("rclone_sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.rclone_http(tmp_path_factory.mktemp("rclone_http")) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what servers said beside what failed."""
    report = yield
    if report.failed:
        found: dict[str, Any] = getattr(item, "funcargs", {})
        for name, value in found.items():
            if isinstance(value, Server):
                report.sections.append((f"log of {name}", value.log[-20_000:]))
    return report
