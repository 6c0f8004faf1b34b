"""The compiled request loop on a socket in place of /dev/fuse, under random and malformed requests.

Every answer is compared with what a model in plain Python expects, and content with the oracle. The
loop's memory lies between pages that may not be touched. A crash is the crash of this process:

    python -m life.fuzz_requests --count 10000000 --seed 7

Runs with tests as a folder of PYTHONPATH; prints one line and ends with 0 if all was right.
"""

import argparse
import struct
import sys
import time

import numpy as np

from dgenfs.kernels import cache, counters
from dgenfs.kernels.fuse import Opcode
from dgenfs.mount import inodes
from life.fuzz_loop import ANSWER_SECONDS, COMPUTING
from life.fuzz_messages import Requests
from life.fuzz_model import Expected, Wrong

BATCH = 24  # requests under way at once


def run(requests: Requests, count: int) -> None:
    """Send ``count`` requests and check what comes of them."""
    for batch in range(-(-count // BATCH)):
        if batch % 40 == 39:
            requests.change_names()
        expected = Expected()
        for _ in range(min(BATCH, count - batch * BATCH)):
            requests.loop.kernel.send(requests.one(expected))
        requests.loop.receive(expected)
    finish(requests)


def finish(requests: Requests) -> None:
    """Nothing is left over, and the counters agree."""
    loop = requests.loop
    for end in (loop.kernel, loop.control):
        end.setblocking(False)
        try:
            while True:
                message = end.recv(1 << 21)
                # What a RELEASE made the loop say comes behind its reply.
                if end is loop.control or struct.unpack_from("<i", message, 4)[0] <= 0:
                    raise Wrong(f"one message too many: {message[:64].hex()}")
                loop.notice(message)
        except BlockingIOError:
            end.settimeout(ANSWER_SECONDS)
    loop.close()
    if loop.ends != [0] * len(loop.counters):
        raise Wrong(f"workers ended with {loop.ends}")
    total = np.sum(loop.counters, axis=0).tolist()
    found = {name: total[counters.REQUESTS + Opcode[name]] for name in Opcode.__members__}
    found["bytes"], found["errors"] = total[counters.BYTES], total[counters.ERRORS]
    slack = found["GETXATTR"] - requests.answered["GETXATTR"]
    if not 0 <= slack <= requests.unsure:
        raise Wrong(f"{slack} of {requests.unsure} GETXATTR")
    found["GETXATTR"] -= slack
    if found != {name: requests.answered[name] for name in found}:
        raise Wrong(f"counted {found}, sent {dict(requests.answered)}")
    latencies = sum(total[counters.LATENCY : counters.LATENCY + counters.LATENCIES])
    if not sum(own[counters.REQUESTS + Opcode.READ] for own in loop.counters[-COMPUTING:]):
        raise Wrong("no READ was put off")
    if (latencies, total[counters.REFUSED], total[counters.BUSY_WITH]) != (found["READ"], 0, 0):
        raise Wrong(f"{latencies} latencies, {total[counters.REFUSED]} replies refused")
    if loop.cache.slots[:, cache.PINS].any():
        raise Wrong("blocks are still in use")


def main() -> int:
    parser = argparse.ArgumentParser(description="Random requests to the compiled loop.")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    inodes.FORGOTTEN = 0  # handles of a name are stale once the kernel has forgotten it
    requests = Requests(arguments.seed, arguments.workers)
    started = time.monotonic()
    run(requests, arguments.count)
    seconds = time.monotonic() - started
    answered = ", ".join(f"{name} {count}" for name, count in sorted(requests.answered.items()))
    sys.stdout.write(f"{arguments.count} requests in {seconds:.1f} s: {answered}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
