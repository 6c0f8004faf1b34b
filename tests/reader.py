"""A client of its own process: reads random ranges and compares them, until a read fails.

Run with Python's standard library alone, so that many start quickly:

    reader.py PATH REFERENCE PROGRESS [MICROSECONDS]

REFERENCE holds the first bytes of PATH, PROGRESS gets the number of reads so far. With MICROSECONDS
a signal that has a handler comes that often. Ends with 0 and the errno's name on standard output
when a call fails, with 3 at a wrong byte.
"""

import errno
import os
import random
import signal
import struct
import sys
from pathlib import Path

WRONG = 3
LENGTHS = (1, 4096, 4096, 65_536, 100_000, 1 << 20)


def main(path: str, reference: str, progress: str, microseconds: str = "0") -> int:
    wanted = Path(reference).read_bytes()
    random.seed(os.getpid())
    report = os.open(progress, os.O_WRONLY | os.O_CREAT)
    if period := int(microseconds) / 1e6:
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, period, period)
    count = 0
    try:
        file = os.open(path, os.O_RDONLY)
        while True:
            offset = random.randrange(len(wanted))
            length = min(random.choice(LENGTHS), len(wanted) - offset)
            end = offset + length
            while offset < end:  # short where the file system went during the read
                data = os.pread(file, end - offset, offset)
                if not data or data != wanted[offset : offset + len(data)]:
                    sys.stdout.write(f"wrong: {len(data)} bytes at {offset}\n")
                    return WRONG
                offset += len(data)
            count += 1
            os.pwrite(report, struct.pack("<Q", count), 0)
    except OSError as error:
        sys.stdout.write(errno.errorcode.get(error.errno or 0, str(error)) + "\n")
        return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
