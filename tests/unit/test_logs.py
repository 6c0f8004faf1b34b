import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dgenfs import logs


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    package = logging.getLogger("dgenfs")
    before = (package.handlers[:], package.propagate, package.level)
    yield
    logs.configure("warning")
    package.handlers[:], package.propagate = before[0], before[1]
    package.setLevel(before[2])


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        ("", {"dgenfs": logging.WARNING}),
        ("debug", {"dgenfs": logging.DEBUG}),
        ("TRACE", {"dgenfs": logs.TRACE}),
        ("dgenfs.verify=debug,info", {"dgenfs": logging.INFO, "dgenfs.verify": logging.DEBUG}),
        ("verify=trace", {"dgenfs": logging.WARNING, "dgenfs.verify": logs.TRACE}),
        (" off , verify = error", {"dgenfs": 51, "dgenfs.verify": logging.ERROR}),
        ("dgenfs=info", {"dgenfs": logging.INFO}),
    ],
)
def test_levels(value: str, levels: dict[str, int]) -> None:
    assert logs.parse_levels(value) == levels


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ("loud", "'loud' is no level: use trace, debug"),
        ("verify=", "'' is no level"),
        ("=debug", "'' is no module"),
        ("a b=debug", "'a b' is no module"),
        ("verify=debug=info", "'verify=debug' is no module"),
    ],
)
def test_errors_name_the_part(part: str, rule: str) -> None:
    with pytest.raises(logs.LogConfigError, match=f": '{part}': {rule}"):
        logs.configure(f"info,{part}")


def test_an_error_changes_nothing() -> None:
    logs.configure("info")
    package = logging.getLogger("dgenfs")
    before = (package.handlers[:], package.level)
    with pytest.raises(logs.LogConfigError):
        logs.configure("loud")
    assert (package.handlers, package.level) == before


@pytest.mark.parametrize(
    ("word", "level"), [("warn", logging.WARNING), ("Warning", logging.WARNING)]
)
def test_both_names_of_a_warning(word: str, level: int) -> None:
    assert logs.parse_levels(word) == {"dgenfs": level}


def test_trace_is_a_level_below_debug() -> None:
    assert logs.TRACE < logging.DEBUG
    assert logging.getLevelName(logs.TRACE) == "TRACE"


def test_lines_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("a") as file:
        for _ in range(2):
            logs.configure("verify=trace", log=file)
        logging.getLogger("dgenfs.verify").log(logs.TRACE, "request %d", 7)
        logging.getLogger("dgenfs.other").info("not this")
    (line,) = path.read_text().splitlines()
    time, rest = line.split(" ", 1)
    assert datetime.fromisoformat(time).isoformat(timespec="milliseconds") == time
    assert rest == "TRACE dgenfs.verify [MainThread] request 7"


def test_the_applications_handlers_stay() -> None:
    package = logging.getLogger("dgenfs")
    own = logging.NullHandler()
    package.addHandler(own)
    logs.configure("info")
    before = len(package.handlers)
    logs.configure("info")
    assert own in package.handlers
    assert len(package.handlers) == before


def test_off_silences_errors(tmp_path: Path) -> None:
    with (tmp_path / "log").open("a") as file:
        logs.configure("off", log=file)
        logging.getLogger("dgenfs.verify").critical("not this")
    assert (tmp_path / "log").read_text() == ""


def test_a_second_call_resets_the_first() -> None:
    logs.configure("verify=trace")
    logs.configure("info")
    assert logging.getLogger("dgenfs.verify").getEffectiveLevel() == logging.INFO


def test_warnings_to_standard_error_by_default() -> None:
    program = (
        "import logging; from dgenfs import logs; logs.configure(); logs.configure(); "
        "log = logging.getLogger('dgenfs.x'); log.warning('seen'); log.info('hidden')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout == ""
    assert done.stderr.count("seen") == 1
    assert "hidden" not in done.stderr


def test_import_leaves_the_root_logger_alone() -> None:
    program = (
        "import logging; root = logging.getLogger(); before = root.level; import dgenfs.logs; "
        "assert (root.handlers, root.level) == ([], before); "
        "(handler,) = logging.getLogger('dgenfs').handlers; "
        "assert type(handler) is logging.NullHandler"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
