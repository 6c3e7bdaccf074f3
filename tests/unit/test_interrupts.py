"""Signals that end a command: where they may be raised, and that none is lost."""

import signal
import threading
import time

import pytest

from scrimp.cli.interrupts import Terminated, as_interrupts

IN_THE_MIDST = """
before()
signal.raise_signal(signal.SIGTERM)
after()
"""


def raised_within(seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.parametrize("where", ["<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"])
def test_none_is_raised_while_python_holds_the_lock_of_its_imports(where):
    """What Python does between taking the lock and the `try` that gives it back cannot be seen from without."""
    lock = threading.Lock()
    names = {"signal": signal, "before": lock.acquire, "after": lock.release}
    with as_interrupts() as received:
        exec(compile(IN_THE_MIDST, where, "exec"), names)
        assert not lock.locked()
        with pytest.raises(Terminated):
            raised_within(10)
    assert received == [signal.SIGTERM]


def test_elsewhere_it_is_raised_at_once():
    lock = threading.Lock()
    names = {"signal": signal, "before": lock.acquire, "after": lock.release}
    with as_interrupts() as received, pytest.raises(Terminated):
        exec(compile(IN_THE_MIDST, "elsewhere", "exec"), names)
    assert lock.locked()
    assert received == [signal.SIGTERM]


def test_a_wait_for_anothers_import_is_no_hiding_place():
    """Of a signal that is put off again and again, nobody would ever hear."""
    waiting = compile("while True: sleep(0.005)", "<frozen importlib._bootstrap>", "exec")
    with as_interrupts() as received:
        threading.Timer(0.05, signal.raise_signal, (signal.SIGTERM,)).start()
        with pytest.raises(Terminated):
            exec(waiting, {"sleep": time.sleep})
    assert received == [signal.SIGTERM]
