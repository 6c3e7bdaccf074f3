"""Processes by name: the living, the dead, and a number used again."""

import os
import subprocess
import sys
from dataclasses import replace

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
