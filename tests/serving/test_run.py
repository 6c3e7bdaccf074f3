"""A command whose model calls go through scrimp: its environment, its streams, its signals, its exit code, its cap."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib

import pytest
from conftest import environment
from serving.conftest import write_profile

AGENT = """
import sys
import openai
client = openai.OpenAI()
for n in range(int(sys.argv[1])):
    try:
        reply = client.chat.completions.create(
            model=sys.argv[2], messages=[{"role": "user", "content": f"Name colour number {n}."}]
        )
    except openai.APIStatusError as error:
        print("refused", error.status_code)
        sys.exit(9)
    print("answered by", reply.model)
"""


@pytest.fixture
def run(tmp_path, server):
    """Run a command line with `scrimp run`: `run(flags, command, small="ok")`."""

    def call(flags, command, *, stdin=None, **profile):
        home = tmp_path / "home"
        path = write_profile(tmp_path / "run.toml", server, **profile)
        argv = [sys.executable, "-m", "scrimp.cli", "run", "-p", path, *flags, "--", *command]
        done = subprocess.run(
            [str(word) for word in argv],
            env=environment(home, ANTHROPIC_AUTH_TOKEN="sk-own", OPENAI_API_KEY="sk-own"),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=120,
        )
        done.home = home
        return done

    return call


@pytest.fixture
def agent(tmp_path):
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    return path


def ledger(home, sql):
    with sqlite3.connect(home / "scrimp.db") as conn:
        return conn.execute(sql).fetchall()


def test_a_program_goes_through_and_is_summed_up(run, agent, server):
    done = run([], [sys.executable, agent, 3, "gpt-of-its-own"], small="ok", large="ok")
    assert (done.returncode, done.stdout) == (0, "answered by small\n" * 3), done.stderr
    assert "3 answers (small 3) for $" in done.stderr
    assert len(server.chats) == 3
    assert ledger(done.home, "SELECT count(DISTINCT run_id), sum(charged_nano) FROM reservations") == [
        (1, server.cost_nano)
    ]


def test_one_cap_over_the_session(run, agent, server):
    done = run(["--max-cost", "0.004", "--tag", "nightly"], [sys.executable, agent, 99, "scrimp"], small="ok@tokens=50")
    assert done.returncode == 9
    assert done.stdout.endswith("refused 402\n")
    assert "1 refused by a cap" in done.stderr
    assert server.chats
    assert server.cost_nano <= 4_000_000
    assert ledger(done.home, "SELECT sum(charged_nano) FROM reservations WHERE tag = 'nightly'") == [
        (server.cost_nano,)
    ]


def test_streams_environment_and_exit_code_are_the_commands(run):
    script = (
        "import os, sys, json; sys.stdout.write(sys.stdin.read().upper());"
        "json.dump({k: v for k, v in os.environ.items() if k[:6] in ('OPENAI', 'ANTHRO')}, sys.stderr); sys.exit(7)"
    )
    done = run(["-q", "-m", "scrimp/best"], [sys.executable, "-c", script], stdin="quiet please")
    assert (done.returncode, done.stdout) == (7, "QUIET PLEASE")
    env = json.loads(done.stderr)
    assert env["OPENAI_BASE_URL"] == env["ANTHROPIC_BASE_URL"] + "/v1"
    assert env["OPENAI_API_KEY"] == env["ANTHROPIC_API_KEY"] != "sk-own"
    assert "ANTHROPIC_AUTH_TOKEN" not in env
    assert env["ANTHROPIC_MODEL"] == "scrimp/best"


CLAUDE = """
import json, os, sys
json.dump(dict(os.environ), sys.stdout)
"""


def test_claude_code_is_given_a_token_that_it_does_not_ask_about(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CLAUDE_CODE_USE_BEDROCK", "1")
    path = tmp_path / "claude"
    path.write_text(f"#!{sys.executable}\n{CLAUDE}")
    path.chmod(0o755)
    done = run([], [path])
    env = json.loads(done.stdout)
    assert env["ANTHROPIC_AUTH_TOKEN"] == env["OPENAI_API_KEY"] != "sk-own"
    assert not env.keys() & {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"}
    assert env["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "100000"
    assert "ANTHROPIC_MODEL" not in env


def test_codex_is_given_options_since_it_reads_no_variable(run, tmp_path):
    path = tmp_path / "codex"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([sys.argv, os.environ['OPENAI_BASE_URL']]))"
    )
    path.chmod(0o755)
    argv, url = json.loads(run([], [path, "exec", "hi"]).stdout)
    assert argv[-2:] == ["exec", "hi"]
    given = tomllib.loads("\n".join(argv[2:-2:2]))
    assert given == {
        "model": "scrimp",
        "model_provider": "scrimp",
        "model_context_window": 100_000,
        "model_providers": {
            "scrimp": {"name": "scrimp", "base_url": url, "env_key": "OPENAI_API_KEY", "wire_api": "responses"}
        },
    }
    assert set(argv[1:-2:2]) == {"-c"}


@pytest.mark.parametrize(("command", "code"), [(["no-such-command-here"], 127), (["/dev/null"], 127)])
def test_what_cannot_be_run(run, command, code):
    done = run([], command)
    assert done.returncode == code
    assert command[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_a_signal_ends(run):
    done = run([], [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"])
    assert done.returncode == 128 + signal.SIGTERM


def test_options_after_the_command_are_its_own(run):
    done = run([], [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--max-cost", "-p", "--help"])
    assert done.stdout == "['--max-cost', '-p', '--help']\n"


def test_a_model_that_is_none_is_refused_before_anything_runs(run):
    done = run(["-m", "scrimp/bst"], [sys.executable, "-c", "print('ran')"])
    assert done.returncode == 2
    assert done.stdout == ""
    assert "scrimp/best" in done.stderr


def test_ctrl_c_is_the_commands_affair(tmp_path, server):
    """Both are in the terminal's foreground: what the command does with Ctrl-C decides, and then the summary comes."""
    script = "import time, sys\ntry:\n  print('ready', flush=True)\n  time.sleep(30)\nexcept KeyboardInterrupt:\n  print('saved')\n  sys.exit(3)"
    path = write_profile(tmp_path / "run.toml", server)
    argv = [sys.executable, "-m", "scrimp.cli", "run", "-p", str(path), "--", sys.executable, "-c", script]
    pid, master = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, environment(tmp_path / "home"))
    said = b""
    deadline = time.monotonic() + 60
    while b"ready" not in said:
        assert time.monotonic() < deadline
        said += os.read(master, 1024)
    os.write(master, b"\x03")
    try:
        while piece := os.read(master, 1024):
            said += piece
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 3
    assert b"saved" in said
    assert b"0 answers for $0" in said
