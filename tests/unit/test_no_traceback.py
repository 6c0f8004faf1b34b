"""No command ends with a traceback, whatever it is given and wherever it runs."""

import fcntl
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from compiling import COMPILED_CODE
from mounting import DGENFS
from processes import INTERRUPT

ENDINGS = {0, 1, 2}

# Runs `main` with many arguments, each in a child of its own, in the folder sys.argv[1].
FUZZER = r"""
import os, random, signal, sys
from pathlib import Path
import dgenfs.api.publishing, dgenfs.mount.session, dgenfs.verifying.analyze
import dgenfs.verifying.verifier
from dgenfs.cli.main import main

COMMANDS = ["gen", "verify", "explain", "analyze", "mount", "umount"]
OPTIONS = {
    "gen": ["-o", "--output", "--offset", "--length", "--force"],
    "verify": ["--as", "--seeds", "--direct", "--exclude", "--json"],
    "analyze": ["--json"],
    "mount": ["-f", "--allow-other", "--workers-per-node", "--cache", "--io", "--data-plane",
              "--log-file", "-o"],
}
VALUES = [
    "", " ", "-", "--", "-1", "0", "1", "9" * 400, "1e9", "0x10", "\n", "%s%n", "{}", "[/x]",
    "\x1b[31m", b"\xff\xfe", b"caf\xe9", "\u202e", "\u0663K", "x" * 300, "y" * 5000, "*", "'",
    "4K", "1K_d2_c2", "3x1000", "3x1000/000001.bin", "3x1000/000009.bin", "000001.bin", "4K/none",
    "none/none", "loop", "pipe", "notes.img", "link", ".", "..", "/proc/version", "/proc/self/mem",
    "10X", "8E", "1..5M", "1K.sha256", "1,000M", "0-999", "0-1000", "1,2,3-4", "5-", "compiled",
    "pyfuse3", "direct", "cached", "a=b", "allow_other,ro", ",,", "[z-a]", "[!", "--help", "-h",
    "--version", "--no-such", "--json=x", "-ofoo",
]
HUNG = 30  # seconds

def command(chance):
    what = chance.choice([*COMMANDS, *COMMANDS, chance.choice(VALUES)])
    options = OPTIONS.get(what, ["--json"])
    words = [what]
    for _ in range(chance.randrange(5)):
        if chance.random() < 0.5:
            words.append(chance.choice(options))
        words.append(chance.choice(VALUES))
    return [word if isinstance(word, str) else os.fsdecode(word) for word in words]

def run(words, said):
    child = os.fork()
    if child == 0:
        signal.alarm(HUNG)
        said = os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.close(said)
        sys.argv = ["dgenfs", *words]
        main()
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
os.chdir(folder)
bad = 0
for seed in range(first, first + count):
    words = command(random.Random(seed))
    if "pipe" in words and "gen" in words:
        continue  # waits for a reader, as it should
    code = run(words, folder.parent / "said")
    said = (folder.parent / "said").read_bytes()
    if code not in (0, 1, 2) or b"Traceback" in said or b"unforeseen" in said:
        bad += 1
        print(seed, words, code, said[-2000:])
sys.exit(bad > 0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.img").write_bytes(b"x" * 5000)
    (folder / "loop").symlink_to("loop")
    (folder / "link").symlink_to("notes.img")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("first", [0, 1000])
def test_random_arguments(folder: Path, first: int) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "COLUMNS": "80",
        **COMPILED_CODE,
    }
    done = subprocess.run(
        [sys.executable, "-c", FUZZER, str(folder), str(first), "70"],
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-3000:]


def shell(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("dgenfs", DGENFS, 1)],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        errors="replace",
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **COMPILED_CODE, **variables},
    )


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("dgenfs --help >/dev/full", 1, "standard output: No space left on device"),
        ("dgenfs gen -h >/dev/full", 1, "standard output: No space left on device"),
        ("dgenfs >/dev/full", 1, "standard output: No space left on device"),
        ("dgenfs --help >&-", 1, "standard output: is closed"),
        ("dgenfs --version >&-", 1, "standard output: is closed"),
        ("dgenfs verify notes.img 2>&-", 2, None),
        ("dgenfs verify notes.img 2>/dev/full", 2, None),
        ("dgenfs verify notes.img <&- >&- 2>&-", 2, None),
        ("dgenfs --install-completion bash", 2, "/dev/null: File exists"),
        ("mkdir gone; cd gone; rmdir ../gone; dgenfs mount x", 2, "No such file or directory"),
        ("mkdir gone; cd gone; rmdir ../gone; dgenfs verify x", 2, "x: No such file or directory"),
        ("mkdir gone; cd gone; rmdir ../gone; dgenfs gen 1K", 2, "No such file or directory"),
    ],
)
def test_streams_and_folders(folder: Path, command: str, code: int, error: str | None) -> None:
    home = {"HOME": "/dev/null"} if "completion" in command else {}
    done = shell(command, folder, **home)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == code
    if error is not None:
        assert (done.stdout, done.stderr) == ("", f"dgenfs: {error}\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 1),
        (["gen", "-h"], 1),
        ([], 1),
        (["verify", "notes.img"], 2),
        (["verify", "notes.img", "--as", "5000"], 2),
        (["no-command"], 2),
    ],
)
def test_readers_that_leave(folder: Path, arguments: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [DGENFS, *arguments]
    silent = subprocess.run(command, cwd=folder, check=False, stdout=writer, stderr=writer)
    assert silent.returncode == code
    done = subprocess.run(command, cwd=folder, check=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") <= 1


@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "x", "LINES": "-1", "TERM": "none"},
        {"COLUMNS": "\u00b2", "TERMINAL_WIDTH": "x"},
        {"COLUMNS": "0", "FORCE_COLOR": "1"},
        {"COLUMNS": "1", "TERMINAL_WIDTH": "1", "LINES": "1"},
        {"COLUMNS": "9" * 30, "TERMINAL_WIDTH": "9" * 30},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "none", "PYTHONIOENCODING": "latin-1"},
        {"DGENFS_LOG": "trace", "TZ": "none", "HOME": "none"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_environments(folder: Path, variables: dict[str, str]) -> None:
    for command in ("dgenfs --help", "dgenfs explain 3x1000", r"dgenfs verify $'caf\xe9\x1b['"):
        done = shell(command, folder, **variables)
        assert "Traceback" not in done.stderr
        assert done.returncode == (2 if "caf" in command else 0), done.stderr
        assert "unforeseen" not in done.stderr


@pytest.mark.parametrize("variables", [{"_DGENFS_COMPLETE": "complete_bash"}])
def test_what_nobody_foresaw(folder: Path, variables: dict[str, str]) -> None:
    done = shell("dgenfs x", folder, **variables)
    assert done.returncode == 2
    assert done.stderr == (
        "dgenfs: unforeseen: KeyError: 'COMP_WORDS'; DGENFS_LOG=debug says where\n"
    )
    done = shell("dgenfs x", folder, DGENFS_LOG="debug", **variables)
    assert "Traceback" in done.stderr  # as asked for


@pytest.mark.parametrize("columns", [1, 3])
def test_a_narrow_terminal(folder: Path, columns: int) -> None:
    leader, follower = pty.openpty()
    size = columns.to_bytes(2, sys.byteorder)
    fcntl.ioctl(follower, termios.TIOCSWINSZ, b"\1\0" + size + bytes(4))
    for arguments in (["--help"], ["verify", "notes.img", "--as", "4K"], ["explain", "4K"]):
        with subprocess.Popen(
            [DGENFS, *arguments],
            cwd=folder,
            stdin=follower,
            stdout=follower,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TERM": "xterm"},
        ) as child:
            shown = b""
            while child.poll() is None:
                shown += read_ready(leader)
            assert child.stderr is not None
            assert child.stderr.read() == b""
            assert child.returncode == (1 if "verify" in arguments else 0)
    os.close(leader)
    os.close(follower)
    assert b"Traceback" not in shown


def read_ready(leader: int) -> bytes:
    return os.read(leader, 1 << 16) if select.select([leader], [], [], 0.05)[0] else b""


@pytest.mark.parametrize("megabytes", [24, 40, 100, 300])
def test_no_memory(folder: Path, megabytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = subprocess.run(
        [DGENFS, "verify", "notes.img", "--as", "4K"],
        cwd=folder,
        capture_output=True,
        check=False,
        preexec_fn=limit,
        text=True,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize(
    "module",
    ["dgenfs.cli", "typer", "rich.console", "dgenfs.cli.verification", "numba", "llvmlite.binding"],
)
def test_interrupted_while_it_loads(folder: Path, module: str) -> None:
    (folder / "sitecustomize.py").write_text(INTERRUPT)
    (folder / "4K").touch()
    done = shell("exec dgenfs verify 4K", folder, PYTHONPATH=str(folder), AT=module)
    assert done.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert (done.stdout, done.stderr) == ("", "")
