"""Processes by name: the living, the dead, and a number used again."""

import json
import os
import subprocess
import sys
from dataclasses import astuple, replace

import pytest

from scrimp.routing.ledger.process import Holder, Process, boot_id, look, this_process


def test_this_process_is_alive_and_named():
    me = this_process()
    assert me.pid == os.getpid()
    assert me.started
    assert me.boot_id == boot_id()
    assert look(me) is Holder.ALIVE


def test_a_number_used_again_is_another_process():
    me = this_process()
    assert look(replace(me, started="12")) is Holder.DEAD


def test_another_boot_is_long_gone():
    assert look(replace(this_process(), boot_id="another")) is Holder.DEAD


def test_a_process_whose_start_was_not_recorded_is_told_by_its_number():
    assert look(Process(os.getpid(), None, boot_id())) is Holder.ALIVE


def test_a_dead_process_and_a_zombie_are_dead():
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    alive = Process(child.pid, None, boot_id())
    assert look(alive) is Holder.ALIVE
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert look(alive) is Holder.DEAD
    child.wait()
    child.stdin.close()
    assert look(alive) is Holder.DEAD


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_has_its_own_name():
    read, write = os.pipe()
    me = this_process()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - in the child
        os.write(write, str(this_process().pid).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        assert int(pipe.read()) == pid != me.pid


# ---- elsewhere


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, Holder.ALIVE),
        ({"boot_id": "another"}, Holder.DEAD),  # this machine, before it was restarted
        ({"boot_id": "another", "host": "other/0123"}, Holder.ELSEWHERE),
        ({"boot_id": "another", "host": None, "namespace": None}, Holder.DEAD),  # as older ledgers have it
        ({"namespace": "pid:[1]"}, Holder.ELSEWHERE),
        ({"namespace": "pid:[1]", "pid": 1, "started": "1"}, Holder.ELSEWHERE),
        ({"namespace": "pid:[1]", "host": "container/0123"}, Holder.ELSEWHERE),
        ({"host": "renamed/0123"}, Holder.ALIVE),  # the same boot: it was given another name since
        ({"host": None, "namespace": None}, Holder.ALIVE),
        ({"host": None, "namespace": None, "started": "12"}, Holder.DEAD),
        ({"boot_id": None}, Holder.DEAD),
        ({"boot_id": None, "host": "other/0123"}, Holder.ELSEWHERE),
    ],
)
def test_what_cannot_be_seen_from_here_is_neither_dead_nor_alive(changed, found):
    assert look(replace(this_process(), **changed)) is found


LOOK = (
    "import json, sys; from scrimp.routing.ledger.process import Process, look, this_process\n"
    "from dataclasses import astuple\n"
    "print(json.dumps([astuple(this_process()), look(Process(*json.loads(sys.argv[1]))).value]))"
)


@pytest.mark.parametrize("flags", [("--mount-proc",), ()], ids=["its own /proc", "the /proc of another namespace"])
def test_another_pid_namespace_is_elsewhere_both_ways(flags):
    command = ["unshare", "--pid", "--fork", *flags, sys.executable, "-c", LOOK, json.dumps(astuple(this_process()))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip("no namespaces can be made here")
    theirs, seen = json.loads(done.stdout)
    assert theirs[0] == 1
    assert seen == "elsewhere"
    assert look(Process(*theirs)) is Holder.ELSEWHERE
