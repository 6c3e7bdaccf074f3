from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from scrimp.profiles.collector import paused

OVERLAPPING = """
import gc, threading
from scrimp.profiles.collector import paused
entered, leave = threading.Event(), threading.Event()
def other():
    with paused():
        entered.set()
        leave.wait()
thread = threading.Thread(target=other)
with paused(ours={ours}):
    thread.start()
    entered.wait()
    import colorsys
    before = [[] for _ in range(5000)]
assert not gc.isenabled()
leave.set()
thread.join()
assert gc.isenabled()
assert (gc.get_freeze_count() >= 5000) is {ours}, gc.get_freeze_count()
assert gc.get_count()[0] < 1000
gc.disable()
with paused():
    pass
assert not gc.isenabled(), "whoever turned it off wants it off"
"""


@pytest.mark.parametrize("ours", [True, False])
def test_the_last_pause_to_end_turns_the_collector_on(ours: bool) -> None:
    done = subprocess.run([sys.executable, "-c", OVERLAPPING.format(ours=ours)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_pause_in_which_nothing_is_imported_leaves_what_is_young_young() -> None:
    script = "import gc\nfrom scrimp.profiles.collector import paused\nwith paused(ours=True):\n  young = [[] for _ in range(600)]\n"
    script += (
        "assert gc.get_freeze_count() == 0\nassert not any(each is young for each in gc.get_objects(generation=2))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_pause_ends_with_an_error_too() -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise OSError("x")

    with pytest.raises(OSError, match="x"), paused():
        fail()
    assert gc.isenabled()
