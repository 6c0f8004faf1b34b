"""dgenfs gen, killed at any moment: nothing is half there, and the next run finds nothing amiss."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from privileges import small_disk

KILLED = """
import os, signal, sys
from pathlib import Path
from privileges import NOBODY
from writing import is_whole, names_in, remove, write

folder, name, other = Path("."), sys.argv[1], sys.argv[2]
out = Path("out")


def is_killed(name, moment):
    child = os.fork()
    if not child:
        left = moment

        def count(event, arguments):
            nonlocal left
            if event == "open" and str(arguments[0]).startswith(("/proc", "/sys")):
                return
            if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        write(name, out)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


write(name, out)  # so that all is loaded
remove(out)
if os.geteuid() == 0:
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
moment = 1
while is_killed(name, moment):
    if out.exists():
        assert is_whole(out, name)
        remove(out)
    is_killed(other, moment)  # over what was left, in the same way
    if not out.exists():
        write(other, out)
    assert is_whole(out, other)
    for left in names_in(folder):
        # In the instant of renaming: whole, and under a name that none takes for another.
        assert left == "out" or left.startswith(".dgenfs-") and any(
            is_whole(folder / left, one) for one in (name, other)
        ), (moment, left)
        remove(folder / left)
    moment += 1
assert is_whole(out, name)
print(moment)
"""


@pytest.mark.parametrize(
    ("name", "other"), [("70K_s1", "60K_s2"), ("5x2K_f3_s1", "3x1K_s2"), ("3x1K_s1", "60K_s2")]
)
def test_killed_at_any_moment(tmp_path: Path, name: str, other: str) -> None:
    tests = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with small_disk(tmp_path / "disk", "2M") as disk:  # sticky, and not ours
        command = [sys.executable, "-c", KILLED, name, other]
        done = subprocess.run(
            command, cwd=disk, env=tests, capture_output=True, check=False, timeout=100
        )
    assert (done.returncode, done.stderr) == (0, b"")
    assert int(done.stdout) > 6
