import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import oracle
import pytest
from compiling import COMPILED_CODE
from mounting import DGENFS
from privileges import small_disk

from dgenfs.cli.arguments import target

NAME = "3M+5_d2_c2_s3.bin"
DATA = oracle.read(oracle.parse(NAME), 0, 0, 4 << 20)


def run(*arguments: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [DGENFS, *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "COLUMNS": "200", **COMPILED_CODE}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, check=False, env=environment, timeout=60, **options
    )


def test_gen_to_a_file(tmp_path: Path) -> None:
    done = run("gen", NAME, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / NAME).read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_gen_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    done = run("gen", NAME, "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert b"out: is there already; --force" in done.stderr
    assert (tmp_path / "out").read_bytes() == b"precious"
    assert run("gen", NAME, "-o", "out", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out").read_bytes() == DATA


def test_gen_into_a_directory(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    assert run("gen", NAME, "-o", "here", cwd=tmp_path).returncode == 0
    assert (tmp_path / "here" / NAME).read_bytes() == DATA


@pytest.mark.parametrize("arguments", [[], ["-o", "there"], ["--force"]])
def test_gen_over_a_directory(tmp_path: Path, arguments: list[str]) -> None:
    """It is not told to use --force, which does not help."""
    for folder in (tmp_path, tmp_path / "there"):
        (folder / "1K").mkdir(parents=True)
        (folder / "5x1K").mkdir()
    done = run("gen", "1K", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert b"1K: is a directory, no file or device that can be written over; rem" in done.stderr
    done = run("gen", "5x1K", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    told = b"is there already; remove it or give another path\n"
    if "--force" in arguments:
        told = b"without --offset, --length and -o -, and --force for URLs only\n"
    assert done.stderr.endswith(told)


def test_gen_a_range_to_standard_output(tmp_path: Path) -> None:
    done = run("gen", NAME, "-o", "-", "--offset", "1M-3", "--length", "1000", cwd=tmp_path)
    assert done.stdout == DATA[(1 << 20) - 3 :][:1000]
    done = run("gen", NAME, "-o", "-", "--offset", "3M", cwd=tmp_path)
    assert done.stdout == DATA[-5:]
    done = run("gen", NAME, "-o", "-", "--offset", "3M", "--length", "6", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"ends at 3145733" in done.stderr


def test_gen_the_end_of_the_largest_file(tmp_path: Path) -> None:
    done = run("gen", "8E-1", "-o", "-", "--offset", "8E-9", cwd=tmp_path)
    assert done.stdout == oracle.read(oracle.parse("8E-1"), 0, 2**63 - 9, 8)


def test_gen_to_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    command = f"{DGENFS} gen 10G -o - | head -c 10 | wc -c"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (b"10", b"")


def test_gen_chooses_no_name_of_other_content(tmp_path: Path) -> None:
    file = "5x1000/000003.bin"
    (tmp_path / "5x1000").mkdir()
    for arguments in (
        [file],
        [file, "-o", "."],
        ["1G", "--length", "4096"],
        ["4K", "--offset", "1", "-o", "5x1000"],
    ):
        done = run("gen", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.endswith(b"give a file's path as -o\n")
    assert done.stderr.startswith(b"dgenfs: 5x1000: is a directory, and 5x1000/4K in it names")
    assert list(tmp_path.rglob("*.bin")) == []
    assert run("gen", file, "-o", "5x1000", cwd=tmp_path).returncode == 0
    assert run("verify", file, cwd=tmp_path).returncode == 0
    assert run("gen", file, "-o", "file", cwd=tmp_path).returncode == 0
    assert run("gen", "4K", "--offset", "1", "-o", "part", cwd=tmp_path).returncode == 0
    assert (tmp_path / "part").stat().st_size == 4095


def test_gen_to_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen([DGENFS, "gen", NAME, "-o", "fifo"], cwd=tmp_path) as child:
        assert (tmp_path / "fifo").read_bytes() == DATA
        assert child.wait(10) == 0


def test_gen_a_tree(tmp_path: Path) -> None:
    name = "25x3000_d2_c2_f10.dat"
    assert run("gen", name, cwd=tmp_path).returncode == 0
    content = oracle.parse(name)
    found = {str(p.relative_to(tmp_path / name)): p for p in (tmp_path / name).rglob("*.*")}
    assert sorted(found) == [oracle.tree_path(content, file) for file in range(25)]
    for file in range(25):
        assert found[oracle.tree_path(content, file)].read_bytes() == oracle.read(
            content, file, 0, 3000
        )
    done = run("gen", name, cwd=tmp_path)
    assert done.returncode == 2
    assert b"is there already" in done.stderr
    one = run("gen", f"{name}/0001/000013.dat", "-o", "-", cwd=tmp_path)
    assert one.stdout == oracle.read(content, 13, 0, 3000)


@pytest.mark.parametrize("name", [NAME, "30x100K"])
def test_full_disk(tmp_path: Path, name: str) -> None:
    with small_disk(tmp_path / "disk", "2M") as disk:
        done = run("gen", name, cwd=disk)
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_gen_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen([DGENFS, "gen", "2G"], cwd=tmp_path, stderr=subprocess.PIPE) as child:
        part = tmp_path / "2G.part"
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_nohup_keeps_gen_going(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    command = f'trap "" HUP; {DGENFS} gen {NAME} -o fifo & wait'
    with subprocess.Popen(["sh", "-c", command], cwd=tmp_path, start_new_session=True) as child:
        with (tmp_path / "fifo").open("rb") as fifo:
            os.killpg(child.pid, signal.SIGHUP)
            assert fifo.read() == DATA
        assert child.wait(10) == 0


def test_verify(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(DATA)
    done = run("verify", path, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"{path}: identical, 3 MiB".encode() in done.stdout
    damaged = bytearray(DATA)
    damaged[8192:16384] = bytes(8192)
    damaged[1 << 20 : (1 << 20) + 4096] = DATA[:4096]
    path.write_bytes(damaged[:-100])
    done = run("verify", path, cwd=tmp_path)
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "zeros" in text
    assert "misplaced" in text
    assert "missing tail" in text
    # The content repeats every 97 units of 16 KiB, and that copy of its start is the nearer one.
    assert "at 1589248 (+540672)" in text


def test_verify_in_json(tmp_path: Path) -> None:
    good, bad = tmp_path / NAME, tmp_path / "copy"
    good.write_bytes(DATA)
    bad.write_bytes(DATA[:1000] + bytes([DATA[1000] ^ 4]) + DATA[1001:])
    done = run("verify", good, bad, "--as", NAME, "--json", "--direct", cwd=tmp_path)
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["identical"] is False
    first, second = result["reports"]
    assert (first["identical"], first["extents"]) == (True, [])
    assert (second["path"], second["wrong_bytes"]) == (str(bad), 1)
    (extent,) = second["extents"]
    assert (extent["start"], extent["end"], extent["kind"]) == (1000, 1001, "bit flips")
    assert second["totals"]["bit flips"] == {"extents": 1, "wrong_bytes": 1, "wrong_bits": 1}


def test_verify_other_seeds(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(DATA)
    name = NAME.replace("s3", "s4")
    done = run("verify", "copy", "--as", name, "--seeds", "0,2-9", "--json", cwd=tmp_path)
    (extent,) = json.loads(done.stdout)["reports"][0]["extents"]
    assert (extent["kind"], extent["seed"], extent["belongs_at"]) == (
        "other seed",
        3,
        extent["start"],
    )


def test_verify_a_tree(tmp_path: Path) -> None:
    name = "9x5000_d2"
    run("gen", name, cwd=tmp_path)
    assert run("verify", name, cwd=tmp_path).returncode == 0
    assert run("verify", ".", cwd=tmp_path / name).returncode == 0
    assert run("verify", "000004.bin", cwd=tmp_path / name).returncode == 0
    (tmp_path / name / "000002.bin").unlink()
    (tmp_path / name / "notes.txt").touch()
    (tmp_path / name / "000003.bin").write_bytes(b"x" * 5000)
    done = run("verify", name, cwd=tmp_path)
    assert done.returncode == 1
    assert "7 of 9 files identical, 1 different, 1 missing, 1 unexpected" in done.stdout.decode()
    report = json.loads(run("verify", name, "--json", cwd=tmp_path).stdout)["reports"][0]
    assert report["missing"] == ["000002.bin"]
    assert report["unexpected"] == ["notes.txt"]
    assert report["different"][0]["extents"][0]["kind"] == "unknown"


def test_a_path_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(DATA)
    done = run("verify", "none", "copy", "--as", NAME, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"dgenfs: none: No such file or directory\n"
    assert done.stdout == b"copy: identical, 3 MiB\n"
    done = run("verify", "none", "copy", "--as", NAME, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert (found["identical"], found["reports"][0]["identical"]) == (False, True)


def test_paths_that_are_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"caf\xe9 [red]"))
    (tmp_path / path).write_bytes(DATA[:-1])
    done = run("verify", path, "--as", NAME, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(b"caf\\xe9 [red]: different")
    for command in ("verify", "explain", "analyze", "gen"):
        done = run(command, os.fsdecode(b"\xff[/]"), cwd=tmp_path)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gen", "10G-d4"], "10G_d4_c1.bin"),
        (["gen", "1G.sha256"], "checksum"),
        (["explain", "1G.bin.sha256"], "'1G.bin.sha256' is not a name: '.sha256': names the check"),
        (["explain", "1G.bin.sha256"], "the nearest name is 1G_d1_c1.bin"),
        (["explain", "5x1K/000005.bin"], "5x1K_d1_c1/ holds 000000.bin to 000004.bin"),
        (["gen", "5x1K", "-o", "-"], "tree"),
        (["gen", "1K", "--offset", "x"], "'x' is not a size"),
        (["gen", "1K", "-o", "none/1K"], "No such file"),
        (["verify", "none.txt"], "dgenfs: none.txt: No such file or directory\n"),
        (["verify", "/proc/version"], "'version' is not a name"),
        (["verify", "1K"], "No such file"),
        (["verify", "."], "not a name"),
        (["verify", ".", "--as", "1K"], "not a tree"),
        (["verify", "/proc/version", "--as", "1K", "--direct"], "O_DIRECT"),
        (["verify", "1K", "--direct", "--buffered"], "are opposites; leave out one"),
        (["verify", "1K", "--threads", "0"], "Invalid value for '--threads'"),
        (["verify", "1K", "--seeds", "a-b"], "--seeds"),
        (["verify", "1K", "--seeds", "1,9-2"], "'9-2' is no seed and no range"),
        (["verify", "1K", "--seeds", "5-"], "'5-' is no seed and no range"),
        (["verify", "1K", "--seeds", "1" * 5000], "is no seed and no range"),
        (["explain", "10G-s12345678901234567"], "10G_d1_c1_s12345678901234567.bin"),
        (["verify", "1K", "--seeds", "18446744073709551616"], "--seeds"),
        (["verify", "1K", "--seeds", "7,0-18446744073709551615"], "more than 100,000"),
        (["verify"], "Missing argument"),
        (["explain", "10G_b5K"], "power of two"),
        (["analyze", "none"], "No such file"),
        (["analyze", "/dev/null"], "regular file"),
    ],
)
def test_bad_usage(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_bad_log_level() -> None:
    done = subprocess.run(
        [DGENFS, "explain", "1K"], env={"DGENFS_LOG": "loud"}, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"'loud' is no level" in done.stderr


def test_explain(tmp_path: Path) -> None:
    text = run("explain", "1024M_c2_d4.dat", cwd=tmp_path).stdout.decode()
    content = oracle.parse("1G_d4_c2.bin")
    assert "1G_d4_c2.bin" in text
    assert f"{content.key:016x}" in text
    assert f"{content.units}, of which {content.content_units} distinct" in text
    tree = run("explain", "1000x1M_d2_f10", cwd=tmp_path).stdout.decode()
    assert run("explain", "1000x1M_d2_f10/0001/000017.bin", cwd=tmp_path).stdout.decode() == tree
    assert "0099/000999.bin" in tree


def test_explain_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tails of one byte are counted by the kernel that makes them."""
    compiled = run("explain", "4097_d2", cwd=tmp_path)
    monkeypatch.setitem(COMPILED_CODE, "NUMBA_DISABLE_JIT", "1")
    done = run("explain", "4097_d2", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, compiled.stdout, b"")


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "5053066_d1000_c1",
            {
                "dedup": "1000 named, 1233.6587 given",
                "rounding": "up to 25.6 % off; within 2 %: 4076K_d1000_c1.bin",
                "a store of 4 KiB chunks sees": "743.754:1 dedup",
            },
        ),
        (
            "3x100000_d2",
            {"rounding": "up to 6.7 % off; within 2 %: 2x100KB_d2_c1 and 3x96K_d2_c1"},
        ),
        ("100x523962_d6", {"a store of 128 KiB chunks sees": "5.882:1 dedup"}),
        (
            "1M_d4_c2",
            {
                "lz4 and zstd see": "2.00:1 (within 3.5 %, chunks of 4 KiB to 1 MiB)",
                "zstd finds repetition": "8.00:1 in 1 MiB",
            },
        ),
        ("256M_d2_c1", {"borg and restic see": "1.933:1 ± 5 %, 1.959:1"}),
        ("0_d1", {"content-defined chunks see": "1.000:1 (8 KiB on average)"}),
    ],
)
def test_explained_ratios(tmp_path: Path, name: str, rows: dict[str, str]) -> None:
    lines = run("explain", name, cwd=tmp_path).stdout.decode().splitlines()
    found = dict(line.strip().split("  ", 1) for line in lines)
    for row, text in rows.items():
        assert found[row].strip() == text
    assert ("rounding" in found) == ("rounding" in rows)


def test_analyze(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    text = run("analyze", "file", cwd=tmp_path).stdout.decode()
    assert "zstd" in text
    found = json.loads(run("analyze", ".", "--json", cwd=tmp_path).stdout)
    by_chunk = {one["chunk"]: one["ratio"] for one in found["dedup"]}
    assert by_chunk[4096] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("name", ["64M", "[/x]/64M"])
def test_progress_on_a_terminal_only(tmp_path: Path, name: str) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen([DGENFS, "gen", name], cwd=tmp_path, stderr=follower) as child:
        os.close(follower)
        shown = b""
        while chunk := read_terminal(leader):
            shown += chunk
        assert child.wait(10) == 0
    os.close(leader)
    assert name.encode() in shown


def read_terminal(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:
        # The kernel's way to say that the other end is closed.
        return b""


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout == b"dgenfs 0.1.0, content format v1\n"


def test_an_output_that_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        target(str(tmp_path / "loop"), "1K")
