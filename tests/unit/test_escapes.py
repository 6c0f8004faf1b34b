"""Paths that are no text, or more than text, in what the commands say."""

import base64
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mounting import DGENFS

from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_tree
from dgenfs.escapes import escaped

NASTY = b"a\n\x1b[31m\x9b\xe9\x7f\xe2\x80\xae \\ [red]"
SHOWN = r"a\n\x1b[31m\x9b\xe9\x7f\u202e \ [red]"
UTF8 = b"line\n\x1b]0;t\x07\xe2\x80\xa8"


def run(*arguments: str | bytes, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DGENFS, *arguments],
        cwd=cwd,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], **variables},
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10G_d4.bin", "10G_d4.bin"),
        ("with space, 'quotes' and \\", "with space, 'quotes' and \\"),
        ("caf\u00e9 \u4e2d\U0001f600", "caf\u00e9 \u4e2d\U0001f600"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\x00\x1b[2J\x7f", r"\x00\x1b[2J\x7f"),
        ("\x85\x9b\u2028\u202e", r"\x85\x9b\u2028\u202e"),
        ("\udce9\udcff", r"\xe9\xff"),
        ("\ud800", r"\ud800"),
        (os.fsdecode(NASTY), SHOWN),
    ],
)
def test_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert escaped(shown) == shown


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A file and a tree of nasty names, and a tree with such names in it."""
    data = bytearray(4096)
    DataGenerator("4K").fill_chunk(data)
    for name in (b"4K", NASTY, UTF8):
        (tmp_path / os.fsdecode(name)).write_bytes(data)
    write_tree(Spec.parse("3x1000"), tmp_path / "3x1000", lambda _: None)
    (tmp_path / "3x1000" / os.fsdecode(NASTY)).touch()
    (tmp_path / "3x1000" / "other").touch()
    return tmp_path


def test_no_command_prints_them_raw(copies: Path) -> None:
    verified = run("verify", NASTY, "--as", "4K", cwd=copies)
    assert (verified.stdout, verified.stderr) == (f"{SHOWN}: identical, 4 KiB\n", "")
    short = run("verify", NASTY, "--as", "5000", cwd=copies)
    assert short.stdout.splitlines()[0].startswith(f"{SHOWN}: different, ")
    tree = run("verify", "3x1000", cwd=copies)
    assert f"unexpected: {SHOWN}\n" in tree.stdout
    log = {"DGENFS_LOG": "debug"}
    for done in (
        verified,
        short,
        tree,
        run("verify", NASTY, cwd=copies),
        run("verify", NASTY, "--as", "4K", cwd=copies, **log),
        run("verify", b"none" + NASTY, cwd=copies),
        run("verify", "4K", "--as", NASTY, cwd=copies),
        run("verify", "4K", "--seeds", NASTY, cwd=copies),
        run("analyze", b"none" + NASTY, cwd=copies),
        run("explain", NASTY, cwd=copies),
        run("gen", NASTY, cwd=copies),
        run("gen", "4K", "-o", NASTY, cwd=copies),
        run("gen", "4K", "-o", b"none" + NASTY + b"/x", cwd=copies),
        run("gen", "4K", "--offset", NASTY, cwd=copies),
        run("mount", NASTY, cwd=copies),
        run("mount", NASTY, "-f", cwd=copies, **log),
        run("umount", NASTY, cwd=copies),
    ):
        check_printable(done)
        assert SHOWN in done.stdout + done.stderr, done.args
    # Of Typer and of a variable, which say it in their own way.
    check_printable(run(NASTY, cwd=copies))
    check_printable(run("verify", b"--" + NASTY, cwd=copies))
    check_printable(run("explain", "4K", cwd=copies, DGENFS_LOG=os.fsdecode(NASTY)))


def check_printable(done: subprocess.CompletedProcess[str]) -> None:
    assert done.stdout + done.stderr
    for line in (done.stdout + done.stderr).split("\n"):
        assert line.isprintable(), (done.args, line)


def test_progress(copies: Path) -> None:
    leader, follower = pty.openpty()
    name = os.fsdecode(b"x\n\x1b[31m/64M")
    with subprocess.Popen([DGENFS, "gen", name, "-o", "out"], cwd=copies, stderr=follower) as child:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        assert child.wait(10) == 0
    os.close(leader)
    assert rb"x\n\x1b[31m/64M" in shown
    assert b"\x1b[31m/64M" not in shown.replace(rb"\x1b[31m/64M", b"")


def texts(value: Any) -> list[str]:
    """All texts in a value of JSON."""
    if isinstance(value, dict):
        return [*value, *(text for one in value.values() for text in texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_json_is_utf8_and_has_the_exact_bytes(copies: Path, locale: str) -> None:
    done = run(
        *("verify", NASTY, UTF8, "3x1000", b"none" + NASTY, "--json"),
        *("--as", "4K"),
        cwd=copies,
        LC_ALL=locale,
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert done.returncode == 2
    found = json.loads(done.stdout)
    for text in texts(found):
        text.encode()  # no lone surrogate
    nasty, plain = found["reports"]
    assert nasty["path"] == "a\n\x1b[31m\\x9b\\xe9\x7f\u202e \\ [red]"
    assert base64.b64decode(nasty["path_b64"]) == NASTY
    assert (plain["path"].encode(), "path_b64" in plain) == (UTF8, False)
    tree, none = found["unchecked"]
    assert (tree["path"], "path_b64" in tree) == ("3x1000", False)
    assert base64.b64decode(none["path_b64"]) == b"none" + NASTY
    assert none["reason"] == "No such file or directory: the pattern matched nothing"


def test_json_of_a_tree(copies: Path) -> None:
    done = run("verify", "3x1000", "--json", cwd=copies)
    (tree,) = json.loads(done.stdout)["reports"]
    assert sorted(tree["unexpected"])[1] == "other"
    assert {base64.b64decode(path) for path in tree["unexpected_b64"]} == {NASTY, b"other"}
    coded = [base64.b64decode(path) for path in tree["unexpected_b64"]]
    assert [path == "other" for path in tree["unexpected"]] == [path == b"other" for path in coded]
