"""Started in a bad place: whatever is wrong with streams, folders or settings, an answer that was paid for is not lost."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from warm_worker import Worker

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.paths import paths

PLACES = {
    "stdin closed": {"streams": {0: "closed"}},
    "stdout closed": {"streams": {1: "closed"}},
    "stdout full": {"streams": {1: "full"}},
    "stdout unread": {"streams": {1: "unread"}},
    "stderr closed": {"streams": {2: "closed"}},
    "stderr full": {"streams": {2: "full"}},
    "stderr unread": {"streams": {2: "unread"}},
    "all closed": {"streams": {0: "closed", 1: "closed", 2: "closed"}},
    "no working directory, no home, a zone in POSIX's spelling, everything masked": {
        "gone": True,
        "unset": ["HOME", "USER", "LOGNAME", "LANG"],
        "env": {"TZ": "CET-1CEST", "LC_ALL": "C", "PYTHONTZPATH": ""},
        "umask": 0o777,
    },
    "a home that is a file, relative XDG folders, a zone that is none, nothing masked": {
        "env": {"HOME": __file__, "XDG_STATE_HOME": "here", "XDG_CONFIG_HOME": "here", "TZ": "garbage"},
        "umask": 0,
    },
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


def said_on_stderr(worker):
    return Path(f"{worker.out}.err").read_text()


@pytest.mark.parametrize("place", PLACES)
def test_a_bad_place_costs_no_answer(place, worker, home, server, profile, tmp_path):
    """`ask`, `spend` and `batch`: the run's own exit code, the ledger settled, and where the answer is, if not here."""
    spoil = {**PLACES[place]}
    if "gone" in spoil:
        spoil["gone"] = str(tmp_path / "gone")
    out = spoil.get("streams", {}).get(1)
    small = profile(small="ok")
    (tmp_path / "in.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    answers = tmp_path / "out.jsonl"

    def run(*argv):
        code, said = worker.run(*argv, home=home, spoil=spoil)
        errors = said_on_stderr(worker)
        assert "Traceback" not in errors
        assert "Error" not in errors
        return code, said, errors

    code, said, errors = run("ask", "-p", small, "hi")
    assert (code, said.strip() != "", len(server.chats)) == (141 if out == "unread" else 0, out is None, 1), errors
    if out is not None and 2 not in spoil["streams"]:
        (line,) = [line for line in errors.splitlines() if "standard output" in line]
        which = line.partition("scrimp log show ")[2].rstrip(")")
        assert "ok" in worker.run("log", "show", which, home=home)[1]
    code, said, errors = run("spend", "-p", small)
    assert (code, said != "") == ({None: 0, "unread": 141}.get(out, 1), out is None), errors
    code, said, errors = run("batch", tmp_path / "in.jsonl", "-p", small, "-o", answers, "--yes", "--json")
    assert (code, said != "") == (141 if out == "unread" else 0, out is None), errors
    assert [json.loads(line)["status"] for line in answers.read_text().splitlines()] == ["ok", "ok"]
    with sqlite3.connect(home / "scrimp.db") as conn:
        assert conn.execute("SELECT status, count(*) FROM reservations GROUP BY 1").fetchall() == [("settled", 3)]
    assert (home / "scrimp.db").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_an_answer_that_is_not_kept_is_said_to_be_lost(worker, home, server, profile):
    spoil = {"streams": {1: "full"}}
    code, _ = worker.run("ask", "-p", profile(small="ok"), "--no-log", "hi", home=home, spoil=spoil)
    assert (code, "the answer is lost, since no text is kept of it" in said_on_stderr(worker)) == (0, True)


def test_a_failed_check_stands_though_nothing_can_be_written(worker, home, server, profile):
    spoil = {"streams": {1: "unread"}}
    argv = ("ask", "-p", profile(small="ok"), "--check", "has:zebra", "hi")
    assert worker.run(*argv, home=home, spoil=spoil)[0] == 7


@pytest.mark.parametrize("stream", ["1", "2"])
@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["spend", "--short"], ["nonsense"]])
def test_a_closed_stream_is_no_traceback(worker, home, argv, stream):
    code, said = worker.run(*argv, home=home, spoil={"streams": {stream: "full"}})
    assert "Traceback" not in said_on_stderr(worker) + said
    assert code == (2 if argv == ["nonsense"] else 1 if stream == "1" else 0)


def test_a_process_of_its_own_with_nothing_open(home, server, profile):
    """The first lines of the process itself, which no fork goes through: no descriptor is handed to the ledger."""
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m scrimp.cli ask -p "{profile(small="ok")}" hi <&- >&- 2>&-; echo $?'],
        capture_output=True,
        text=True,
        env=environment(home, TZ="UTC0"),
        timeout=120,
    )
    assert (done.stdout, done.stderr, len(server.chats)) == ("0\n", "", 1)


# ---- where files live


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SCRIMP_HOME": "~no-such-user/x"}, "SCRIMP_HOME is '~no-such-user/x'"),
        ({"SCRIMP_HOME": "relative"}, "SCRIMP_HOME is 'relative'"),
    ],
)
def test_a_home_that_cannot_be_found_is_said(env, said, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match=said):
        paths(env)


def test_a_home_starts_with_a_tilde_or_from_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert paths({"SCRIMP_HOME": "~/x"}).ledger == tmp_path / "x" / "scrimp.db"
    assert paths({"SCRIMP_HOME": "x"}).ledger == tmp_path / "x" / "scrimp.db"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's id")
def test_a_user_without_a_home_gets_no_folder_called_tilde():
    code = (
        "import os, platformdirs.unix, platformdirs\n"
        "from scrimp.profiles.paths import paths\nfrom scrimp.profiles.errors import ConfigError\n"
        "platformdirs.user_config_dir('x')\nos.setuid(4242)\nos.environ.pop('HOME')\n"
        "try:\n    paths({})\nexcept ConfigError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "your home folder is not known: HOME is not set to a whole path\n", done.stderr
