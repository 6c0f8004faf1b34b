"""Compiled code on disk is run, so it is never what another user could have put there."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from compiling import COMPILED, LOADED, PROGRAM, Copy
from privileges import AS_NOBODY, NOBODY

BY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="runs as root and as another user")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_code_is_kept_for_the_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    for umask in (0, 0o177):
        copy = Copy(tmp_path / f"{umask}", "HOME")
        copy.start(umask=umask)
        made = [copy.place.parent, *copy.place.parent.rglob("*")]
        assert any(path.is_file() for path in made)
        for path in made:
            assert path.stat().st_mode & 0o777 == (0o600 if path.is_file() else 0o700), path


# Leaves code that makes a folder when it is loaded.
PLANT = """
import os, pickle
from numba.core import caching, serialize
class Planted:
    def __reduce__(self):
        return os.mkdir, ({marker!r},)
caching.dumps = serialize.dumps = lambda _: pickle.dumps(Planted())
"""


@dataclass
class Attack:
    """Code that another user left where root will look."""

    copy: Copy
    folder: Path
    marker: Path

    def plant(self, place: Path) -> None:
        """Let nobody start as root will, with ``place`` for NUMBA_CACHE_DIR."""
        program = PLANT.format(marker=str(self.marker)) + PROGRAM
        self.copy.start(program, before=AS_NOBODY, environment={"NUMBA_CACHE_DIR": str(place)})
        assert any(path.is_file() for path in place.rglob("*"))

    def check(self, place: Path, *warning: str) -> None:
        """Start as root: what was planted does not run, and the warning says what it must."""
        out, warnings = self.copy.start(environment={"NUMBA_CACHE_DIR": str(place)})
        assert not self.marker.exists()
        assert out == COMPILED
        assert warnings.count("\n") == bool(warning), warnings
        for part in warning:
            assert part in warnings


@pytest.fixture
def attack(copy: Copy, tmp_path: Path) -> Attack:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return Attack(copy, folder, tmp_path / "marker")


@BY_ROOT
def test_a_folder_that_another_user_made_is_not_used(attack: Attack) -> None:
    attack.plant(attack.folder)
    attack.check(
        attack.folder,
        f"{attack.folder / 'dgenfs'}: belongs to user {NOBODY}",
        "user 0",
        "XDG_CACHE_HOME",
    )


@BY_ROOT
def test_a_link_to_a_folder_is_not_followed(attack: Attack, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    attack.plant(attack.folder)
    for folder in attack.folder.iterdir():
        (theirs / folder.name).symlink_to(folder)
    attack.check(theirs, f"{theirs / 'dgenfs'}: is a link")


@BY_ROOT
def test_a_folder_that_was_open_to_others(attack: Attack, tmp_path: Path) -> None:
    """Refused while it is open, and what others left in it is refused after."""
    ours = tmp_path / "ours"
    attack.check(ours)
    attack.plant(attack.folder)
    (ours / "dgenfs").chmod(0o777)
    for file in (attack.folder / "dgenfs").iterdir():
        as_nobody = ("cp", "--remove-destination", str(file), str(ours / "dgenfs"))
        subprocess.run([*AS_NOBODY, *as_nobody], check=True)
    attack.check(ours, f"{ours / 'dgenfs'}: may be written by others (mode 0777)")
    (ours / "dgenfs").chmod(0o700)
    attack.check(ours)
    assert {path.stat().st_uid for path in (ours / "dgenfs").iterdir()} == {0}


@BY_ROOT
def test_root_leaves_nothing_in_the_home_of_another_user(copy: Copy, tmp_path: Path) -> None:
    """As with sudo -E; the user would be locked out."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    environment = {"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": "", "HOME": str(home)}
    out, warnings = copy.start(environment=environment)
    assert out == COMPILED
    assert f"{home}/.cache/dgenfs: would be made in a folder of user {NOBODY}" in warnings
    assert list(home.iterdir()) == []
    for out in (COMPILED, LOADED):
        assert copy.start(environment=environment, before=AS_NOBODY) == (out, "")
