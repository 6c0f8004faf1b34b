import os
import threading

import pytest

from dgenfs.machine.gate import CLOSED, FORKS, Gate, wait_until_left


def close(gate: Gate) -> None:
    gate.words[CLOSED] = 1
    if gate.forks == FORKS[0]:
        wait_until_left(gate.address)


def test_nobody_enters_a_closed_gate() -> None:
    gate = Gate()
    for _ in range(2):  # several may be inside
        assert gate.enter()
    for _ in range(2):
        gate.leave()
    close(gate)
    assert not gate.enter()


def test_who_closes_waits_for_who_is_inside() -> None:
    gate = Gate()
    inside, leave = threading.Event(), threading.Event()
    order = []

    def write() -> None:
        assert gate.enter()
        inside.set()
        leave.wait()
        order.append("left")
        gate.leave()

    def closing() -> None:
        close(gate)
        order.append("closed")

    writer, closer = threading.Thread(target=write), threading.Thread(target=closing)
    writer.start()
    inside.wait()
    closer.start()
    while not gate.words[CLOSED]:
        pass
    assert not gate.enter()
    leave.set()
    writer.join()
    closer.join()
    assert order == ["left", "closed"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_waits_for_nobody() -> None:
    gate = Gate()
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        assert gate.enter()
        inside.set()
        leave.wait()
        gate.leave()

    writer = threading.Thread(target=write)
    writer.start()
    inside.wait()
    child = os.fork()
    if not child:
        close(gate)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    leave.set()
    writer.join()
