"""The resident process: what it runs cannot be told from what runs by itself, and whatever dies, the ledger holds."""

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pytest
from conftest import CANARY, environment

SCRIMP = [sys.executable, "-m", "scrimp.cli"]
ARM = """
[[arms]]
name = "{name}"
model = "openai/{behaviour}"
api_base = "{url}"
tier = "small"
max_output_tokens = 200
timeout_s = 20
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
{extra}
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class House:
    """A home with a resident process, and the means to run commands with it and without."""

    def __init__(self, folder, server):
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        self.work = folder / "work"
        self.work.mkdir()
        self.url = server.base_url
        self.runtime = Path(tempfile.mkdtemp(prefix="scrimp-test-", dir="/tmp"))
        self.env = environment(self.home, XDG_RUNTIME_DIR=str(self.runtime), HOME=str(folder), TERM="xterm")
        for name in [name for name in self.env if name.endswith("_API_KEY") or name == "CI"]:
            del self.env[name]
        self.profile = self.write("test", ok="ok", echo="echo")

    def write(self, name, *, extra="", arm_extra="", caps="per_day_usd = 1.0", **arms):
        path = self.home.parent / f"{name}.toml"
        text = "".join(
            ARM.format(name=arm, behaviour=behaviour, url=self.url, extra=arm_extra) for arm, behaviour in arms.items()
        )
        path.write_text(f'name = "{name}"\n[caps]\n{caps}\n{extra}\n{text}')
        return str(path)

    def run(self, *argv, warm=True, env=(), **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "cwd": self.work, "timeout": 120, **kwargs}
        if "input" in kwargs:
            del kwargs["stdin"]
        env = {**self.env, **({} if warm else {"SCRIMP_RESIDENT": "0"}), **dict(env)}
        return subprocess.run([*SCRIMP, *map(str, argv)], capture_output=True, env=env, **kwargs)

    def start(self, *argv, env=(), program=SCRIMP, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return subprocess.Popen([*program, *map(str, argv)], env={**self.env, **dict(env)}, cwd=self.work, **kwargs)

    def json(self, *argv, **kwargs):
        return json.loads(self.run(*argv, "--json", **kwargs).stdout)

    def resident(self):
        """Start it, or find it started; return its process."""
        done = self.run("resident", "start", "--json", "-p", self.profile)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["pid"]

    def served(self):
        return self.json("resident", "status")["n_served"]

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or b"Z" in stat_of(pid))

    def end(self):
        self.run("resident", "stop")
        shutil.rmtree(self.runtime)


@pytest.fixture(scope="module")
def house(tmp_path_factory, running_server):
    running_server.reset()
    found = House(tmp_path_factory.mktemp("house"), running_server)
    found.resident()
    assert found.run("ask", "-q", "-p", found.profile, "-m", "echo", "the first").returncode == 0
    yield found
    found.end()


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def stat_of(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    return b""


def link(pid, name):
    return str(Path(f"/proc/{pid}/{name}").readlink())


def forks_of(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def fork_for(house, client):
    """The fork that runs a client's command, once it has its standard output."""
    pid = house.resident()
    found = []

    def look():
        for each in forks_of(pid):
            with contextlib.suppress(OSError):
                if link(each, "fd/1") == link(client.pid, "fd/1"):
                    found.append(each)
        return found

    wait_for(look)
    return found[0]


def hangs(house, server, *, name="hangs", behaviour="hang-headers@hang_s=30", **kwargs):
    """Ask an arm that does not answer; return the client once the call is under way."""
    n = len(server.chats)
    client = house.start("ask", "-p", house.write(name, small=behaviour), "hello", **kwargs)
    wait_for(lambda: len(server.chats) > n, 60)
    return client


# ---- the same, cold and warm

CHANGING = re.compile(
    rb"\b[0-9a-hjkmnp-tv-z]{26}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.Z+]*|\d+\.\d s\b|\"(latency_s|ttft_s)\": [0-9.]+"
)

TABLE = [
    ["ask", "-p", "PROFILE", "-m", "echo", "hello"],
    ["ask", "-p", "PROFILE", "-m", "echo", "--json", "hello"],
    ["ask", "-q", "-n", "-x", "-p", "PROFILE", "--seed", "1", "hello"],
    ["ask", "-p", "PROFILE", "-m", "echo", "--check", "has:nothing of the kind", "hello"],
    ["ask", "-p", "PROFILE", "-m", "nobody", "hello"],
    ["ask", "-p", "no-such-profile", "hello"],
    ["ask", "--no-such-option"],
    ["ask", "--help"],
    ["ask", "-p", "PROFILE", "--max-cost", "0.000000001", "hello"],
    ["ask", "-p", "KEYLESS", "hello"],
    ["ask", "-p", "BROKEN", "hello"],
    ["ask", "-p", "FAILING", "hello"],
    ["ask", "-p", "PROFILE"],
    ["route", "-p", "PROFILE", "--seed", "1", "Prove that 2 is prime"],
    ["route", "-p", "PROFILE", "--seed", "1", "--json", "-x", "Prove that 2 is prime"],
    ["log"],
    ["log", "list", "--json"],
    ["log", "show", "nothing-of-that-id"],
    ["log", "export"],
    ["spend", "-p", "PROFILE"],
    ["spend", "--json"],
    ["report"],
    ["models", "-p", "PROFILE"],
    ["budget"],
    ["profile", "show", "PROFILE"],
    ["rate", "no-such-id", "good"],
]  # fmt: skip
CODES = {
    "--check": 7,
    "--max-cost": 3,
    "KEYLESS": 4,
    "BROKEN": 78,
    "nobody": 2,
    "no-such-profile": 2,
    "--no-such-option": 2,
}


def test_commands_say_the_same_cold_and_warm(house, server):
    house.run("ask", "-q", "-p", house.profile, "-m", "echo", "a first one", warm=False)
    (house.home.parent / "broken.toml").write_text("name = 3\n")
    places = {
        "PROFILE": house.profile,
        "KEYLESS": house.write("keyless", small="ok", arm_extra='key_env = "NO_SUCH_VARIABLE"'),
        "BROKEN": str(house.home.parent / "broken.toml"),
        "FAILING": house.write("failing", small="401"),
    }
    pid = house.resident()
    for words in TABLE:
        argv = [places.get(word, word) for word in words]
        before = house.served()
        # What the log says must not differ by the command itself: the ledger is put back between the two.
        with kept(house):
            cold = house.run(*argv, warm=False)
        with kept(house):
            warm = house.run(*argv)
        assert house.served() == before + 1, f"not run by the resident: {words}"
        assert warm.returncode == cold.returncode, (words, cold, warm)
        for name in ("stdout", "stderr"):
            a, b = (CHANGING.sub(b"~", getattr(done, name)) for done in (cold, warm))
            assert a == b, words
        for word, code in CODES.items():
            assert word not in words or cold.returncode == code, (words, cold)
    assert house.resident() == pid


@contextlib.contextmanager
def kept(house):
    """Put the ledger back as it was."""
    aside = house.home.parent / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for file in house.home.glob("scrimp.db*"):
        shutil.copy2(file, aside)
    yield
    for file in house.home.glob("scrimp.db*"):
        file.unlink()
    for file in aside.iterdir():
        shutil.copy2(file, house.home)


@pytest.mark.parametrize("warm", [True, False])
def test_a_closed_pipe_and_closed_streams(house, server, warm):
    reader, writer = os.pipe()
    os.close(reader)
    client = house.start("log", "export", stdout=writer, env={} if warm else {"SCRIMP_RESIDENT": "0"})
    os.close(writer)
    assert (client.wait(60), client.stderr.read()) == (141, b"")
    client.stderr.close()
    switch = "" if warm else "SCRIMP_RESIDENT=0 "
    ask = f"{switch}{' '.join(SCRIMP)} ask -q -p {house.profile} -m echo"
    script = f"{ask} hello <&-; echo $?; {ask} hello >&-; echo $?; {ask} hello 2>&-; echo $?; {ask} hello >/dev/full; echo $?"
    done = subprocess.run(["bash", "-c", script], env=house.env, cwd=house.work, capture_output=True, timeout=120)
    assert done.stdout.split() == [b"hello", b"0", b"0", b"hello", b"0", b"0"], done
    assert b"standard output" in done.stderr


@pytest.mark.parametrize("warm", [True, False])
def test_whose_standard_input_it_is(house, server, warm):
    """The callers that count are the client's, not the resident's: a loop keeps its lines, a pipe is read."""
    server.reset()
    ask = f"{'' if warm else 'SCRIMP_RESIDENT=0 '}{' '.join(SCRIMP)} ask -q -p {house.profile} -m echo"
    done = subprocess.run(
        ["bash", "-c", f"printf 'one\\ntwo\\n' | while read x; do {ask} $x; done; echo text | {ask} say"],
        env=house.env, cwd=house.work, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [request.prompt for request in server.chats] == ["one", "two", "say\n\ntext"]


def test_time_zone_and_locale_are_the_clients(house, server):
    """A new ledger's days are those of the zone that its first command has."""
    zones = {}
    for zone in ("Asia/Tokyo", "America/Los_Angeles"):
        with kept(house):
            for file in house.home.glob("scrimp.db*"):
                file.unlink()
            done = house.run("ask", "-q", "-p", house.profile, "-m", "echo", "hello", env={"TZ": zone})
            assert done.returncode == 0, done.stderr
            zones[zone] = house.json("spend", warm=False)["zone"]
    assert zones == {zone: zone for zone in zones}
    before = house.served()
    assert (
        house.run("ask", "-q", "-p", house.profile, "-m", "echo", "æ", env={"LC_ALL": "C.UTF-8"}).stdout.decode()
        == "æ\n"
    )
    assert house.served() == before + 1


def test_a_fork_is_where_its_client_is(house, server):
    """Folder, umask, limits, priority, signals, streams, environment: as the system shows them of both processes."""
    gone = house.work / "gone"
    gone.mkdir()

    def prepare():
        os.umask(0o027)
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.chdir(gone)
        gone.rmdir()

    client = hangs(house, server, preexec_fn=prepare, env={"OPENAI_API_KEY": CANARY, "EMPTY": ""})
    try:
        fork = fork_for(house, client)
        for name in ("limits", "environ"):
            ours, theirs = (Path(f"/proc/{pid}/{name}").read_bytes() for pid in (client.pid, fork))
            assert ours == theirs or name == "environ"
        # What a process has set since it began is not in its `environ`, and the fork's is that of the resident.
        assert CANARY.encode() not in theirs
        ours, theirs = (
            dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            for pid in (client.pid, fork)
        )
        for name in ("Umask", "SigIgn", "SigBlk", "Uid", "Gid", "Groups", "CapEff", "NoNewPrivs", "Seccomp"):
            assert ours[name] == theirs[name], name
        assert os.getpriority(os.PRIO_PROCESS, fork) == os.getpriority(os.PRIO_PROCESS, client.pid) >= 3
        for name in ("cwd", "fd/0", "fd/1", "fd/2"):
            ours, theirs = (link(pid, name) for pid in (client.pid, fork))
            assert ours == theirs
        assert "deleted" in link(fork, "cwd")
    finally:
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=30)


def test_a_file_limit_stops_a_call_as_without(house, server):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    sent = len(server.chats)
    done = house.run("ask", "-p", house.profile, "hello", preexec_fn=limit)
    assert done.returncode == 78
    assert b"not sent" in done.stderr
    assert len(server.chats) == sent


# ---- a terminal


class OnTerminal:
    """A command at a terminal of its own, which controls it."""

    def __init__(self, house, *argv, **kwargs):
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = house.start(*argv, stdin=follower, stdout=follower, stderr=follower, preexec_fn=take, **kwargs)
        os.close(follower)
        self.said = b""

    def type(self, data):
        os.write(self.leader, data)

    def hear(self, what, seconds=60):
        deadline = time.monotonic() + seconds
        while what not in self.said:
            assert time.monotonic() < deadline, self.said
            if select.select([self.leader], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.leader, 4096)
                except OSError:
                    break
        assert what in self.said, self.said

    def end(self):
        code = self.process.wait(60)
        with contextlib.suppress(OSError):
            while select.select([self.leader], [], [], 0.2)[0] and (part := os.read(self.leader, 4096)):
                self.said += part
        os.close(self.leader)
        return code


@pytest.mark.parametrize("key", [b"\x03", b"\x1c"], ids=["ctrl-c", "ctrl-backslash"])
def test_an_interrupt_at_the_terminal(house, server, key):
    """Ctrl-C: 130, and the call is billed as interrupted. Ctrl-\\ ends the client at once: its fork is interrupted too."""
    server.reset()
    path = house.write("streams", small="hang-stream@hang_s=30")
    at = OnTerminal(house, "ask", "-p", path, "hello")
    wait_for(lambda: server.chats, 60)
    fork_for(house, at.process)
    time.sleep(0.3)
    at.type(key)
    code = at.end()
    assert code == (130 if key == b"\x03" else -signal.SIGQUIT)
    wait_for(lambda: house.json("log", warm=False)["rows"][0]["status"] == "interrupted")
    assert house.json("spend", "-p", path)["rows"][0]["unverified_usd"] > 0
    if key == b"\x03":
        assert b"is charged for this prompt" in at.said


def test_ctrl_z_stops_both_and_going_on_ends_well(house, server):
    """In a shell with job control: elsewhere the signal of the terminal stops nobody."""
    server.reset()
    ask = f"{' '.join(SCRIMP)} ask -q -p {house.write('slow', small='ok@latency_ms=2500')} hello"
    at = OnTerminal(house, f"set -m; {ask}; echo code $?; read; fg; echo code $?", program=["bash", "-c"])
    wait_for(lambda: server.chats, 60)
    pid = house.resident()
    (fork,) = [each for each in forks_of(pid) if stat_of(each) == b"S"]
    (client,) = forks_of(at.process.pid)
    at.type(b"\x1a")
    at.hear(b"code 148")
    wait_for(lambda: (stat_of(client), stat_of(fork)) == (b"T", b"T"))
    at.type(b"\n")
    at.hear(b"code 0")
    assert at.end() == 0, at.said
    assert len(server.chats) == 1


def test_what_is_typed_is_read(house, server):
    """A prompt that is typed in, and a question that waits for yes or no; lines are drawn as wide as the terminal."""
    server.reset()
    at = OnTerminal(house, "ask", "-q", "-p", house.profile, "-m", "echo", "-")
    fork_for(house, at.process)
    time.sleep(0.3)
    at.type(b"typed in\n\x04")
    assert at.end() == 0, at.said
    assert server.chats[0].prompt == "typed in"
    assert at.said.count(b"typed in") == 2  # the terminal's echo, and the answer
    before = house.served()
    at = OnTerminal(house, "log", "rm", "last")
    at.hear(b"[y/N]")
    at.type(b"n\n")
    assert at.end() != 0
    cold, warm = (OnTerminal(house, "log", env=env) for env in ({"SCRIMP_RESIDENT": "0"}, {}))
    assert (cold.end(), warm.end()) == (0, 0)
    assert cold.said == warm.said
    assert house.served() == before + 2


def test_in_the_background_a_terminals_input_is_left_alone(house):
    """A shell's `scrimp ask &` is stopped when it reads the terminal: so it is not run where it would not be."""
    script = f"set -m; {' '.join(SCRIMP)} log > /dev/null & wait; echo done"
    before = house.served()
    leader, follower = pty.openpty()

    def take():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    subprocess.run(
        ["bash", "-c", script], stdin=follower, stdout=subprocess.DEVNULL, env=house.env, preexec_fn=take, timeout=60
    )
    os.close(leader), os.close(follower)
    assert house.served() == before


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
        done = house.run("ask", "-q", "-p", house.profile, "-m", "echo", "alone")
        assert (done.returncode, done.stdout) == (0, b"alone\n"), done.stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: not forks_of(pid))
    assert [request.prompt for request in server.chats].count("alone") == 1, "it was run twice"


def test_fifty_at_once(house, server):
    server.reset()
    before = house.served()
    clients = [house.start("ask", "-q", "-p", house.profile, "-m", "echo", f"number {n}") for n in range(50)]
    said = [client.communicate(timeout=280) for client in clients]
    assert [client.returncode for client in clients] == [0] * 50, said
    assert sorted(out for out, _ in said) == sorted(f"number {n}\n".encode() for n in range(50))
    assert len(server.chats) == 50
    rows = house.json("log", "list", "-n", "50")["rows"]
    assert len({row["id"] for row in rows}) == 50
    assert house.served() > before + 25, "most of them in time"


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


OTHERWISE = {
    "variable read at import": {"env": {"MAX_SHORT_SIDE_FOR_IMAGE_HIGH_RES": "700"}},
    "variable of a C library": {"env": {"OMP_NUM_THREADS": "3"}},
    "how Python is started": {"env": {"PYTHONHASHSEED": "1"}},
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_what_would_run_otherwise_is_run_by_itself(house, server, what):
    before = house.served()
    done = house.run("ask", "-q", "-p", house.profile, "-m", "echo", "hello", **OTHERWISE[what])
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    assert house.served() == before


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
            assert OnTerminal(house, "ask", "-p", profile, "-m", "ok", "hello", env=env).end() == 0
        house.run("ask", "-q", "-p", house.profile, "hello")  # no terminal
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
        assert house.run("ask", "-q", "-p", house.profile, "-m", "echo", "hello").stdout == b"hello\n"
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
