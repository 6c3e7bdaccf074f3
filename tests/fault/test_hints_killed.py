"""A batch that dies between the two calls of a row with a hint in front goes on as it was begun."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from conftest import environment

from scrimp.routing.asking.hint_files import read_hint

STEPS = "1. Keep the register."


@pytest.mark.parametrize("edited", [False, True])
def test_a_killed_row_goes_on_with_its_hint(scrimp, profile, server, home, tmp_path, edited):
    path = home / "hints" / "french.md"
    path.parent.mkdir(parents=True)
    path.write_text(f"---\nabout: translations\n---\n{STEPS}\n")
    hint = read_hint(path)
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows.write_text(json.dumps({"prompt": "Translate this"}) + "\n")
    chosen = profile(small="ok", large="ok")
    argv = ("--plan", "small ? checks > large", "--check", "re:never", "--use-hint", "french", "-p", str(chosen), "-y")
    command = [sys.executable, "-m", "scrimp.cli", "batch", str(rows), "-o", str(out), *argv]
    died = subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE)
    server.on_chat = lambda n: os.kill(died.pid, signal.SIGKILL) if n == 2 else None
    _, said = died.communicate(timeout=120)
    assert died.returncode == -signal.SIGKILL, said
    server.on_chat = None
    before = len(server.chats)
    if edited:
        path.write_text(path.read_text().replace("register", "tense"))
    resumed = scrimp("batch", "--resume", "--retry-unknown", "-o", out)
    assert resumed.code == 6, resumed.err  # the check never passes
    last = server.chats[-1].prompt
    assert len(server.chats) == before + 1
    assert server.chats[0].prompt == f"{hint.framed()}\n\nTranslate this"
    with sqlite3.connect(home / "scrimp.db") as conn:
        found = conn.execute("SELECT hint, hinted, hint_propensity FROM requests").fetchall()
    if edited:  # not with another text in the middle: then it says nothing of either
        assert last == "Translate this"
        assert found == [(hint.id, None, None)]
    else:
        assert last == server.chats[0].prompt
        assert found == [(hint.id, 1, None)]
