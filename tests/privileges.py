"""Commands that only root may run, for the tests that need a device or a full disk."""

import os
import subprocess


def as_root(*command: str) -> str:
    """Run a command as root and return its standard output."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
