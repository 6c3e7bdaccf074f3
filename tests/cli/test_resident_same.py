"""What the resident process runs cannot be told from what runs by itself."""

import fcntl
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import CANARY
from residence import SCRIMP, OnTerminal, fork_for, forks_of, hangs, kept, link, stat_of, wait_for

from scrimp.routing.router.in_force import SHIPPED, load_router
from scrimp.routing.router.learned import ArmLayer
from scrimp.routing.router.versions import write_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# ---- the same, cold and warm

CHANGING = re.compile(
    rb"\b[0-9a-hjkmnp-tv-z]{26}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.Z+]*|\d+\.\d s\b|\"(latency_s|ttft_s)\": [0-9.]+"
)

TABLE = [
    ["ask", "-p", "PROFILE", "-m", "echo", "hello"],
    ["ask", "-p", "PROFILE", "-m", "echo", "--json", "--check", "has:nothing of the kind", "hello"],
    ["ask", "-p", "PROFILE", "-m", "nobody", "hello"],
    ["ask", "-p", "no-such-profile", "hello"],
    ["ask", "--no-such-option"],
    ["ask", "--help"],
    ["ask", "-p", "PROFILE", "--max-cost", "0.000000001", "hello"],
    ["ask", "-p", "KEYLESS", "hello"],
    ["ask", "-p", "BROKEN", "hello"],
    ["ask", "-p", "FAILING", "hello"],
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


def comparable(said):
    """What a command said, without ids and times. The embedder, loaded whole, differs in the seventh digit."""
    return re.sub(rb"\d+\.\d{5,}", lambda found: b"%.4f" % float(found[0]), CHANGING.sub(b"~", said))


def test_commands_say_the_same_cold_and_warm(house, server):
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
            a, b = (comparable(getattr(done, name)) for done in (cold, warm))
            assert a == b, words
        for word, code in CODES.items():
            assert word not in words or cold.returncode == code, (words, cold)
    assert house.resident() == pid


# Without a resident: test_environment.py, test_stdin.py.


def test_a_closed_pipe_and_closed_streams(house, server):
    before = house.served()
    reader, writer = os.pipe()
    os.close(reader)
    client = house.start("log", "export", stdout=writer)
    os.close(writer)
    assert (client.wait(60), client.stderr.read()) == (141, b"")
    client.stderr.close()
    ask = f"{' '.join(SCRIMP)} ask -q -p {house.profile} -m echo"
    script = f"{ask} hello <&-; echo $?; {ask} hello >&-; echo $?; {ask} hello 2>&-; echo $?; {ask} hello >/dev/full; echo $?"
    done = subprocess.run(["bash", "-c", script], env=house.env, cwd=house.work, capture_output=True, timeout=120)
    assert done.stdout.split() == [b"hello", b"0", b"0", b"hello", b"0", b"0"], done
    assert b"standard output" in done.stderr
    assert house.served() >= before + 2


def test_whose_standard_input_it_is(house, server):
    """The callers that count are the client's, not the resident's: a loop keeps its lines, a pipe is read."""
    server.reset()
    before = house.served()
    ask = f"{' '.join(SCRIMP)} ask -q -p {house.profile} -m echo"
    done = subprocess.run(
        ["bash", "-c", f"printf 'one\\ntwo\\n' | while read x; do {ask} $x; done; echo text | {ask} say"],
        env=house.env, cwd=house.work, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [request.prompt for request in server.chats] == [
        "one",
        "two",
        "===== FILE standard input\ntext\n===== END\n\nsay",
    ]
    assert house.served() == before + 3


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


def test_hard_limits_hold(house, server):
    """A client that may open few files has a fork that may open no more, and may not raise that."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 50))

    client = hangs(house, server, name="limited", preexec_fn=limit)
    try:
        limits = Path(f"/proc/{fork_for(house, client)}/limits").read_text()
        assert re.search(r"Max open files +40 +50 ", limits), limits
    finally:
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=30)


DRAWS = """
import os, random, sys
import numpy
from scrimp.cli.resident import child, client
from scrimp.cli.resident.seen import Seen

class Loaded:
    seen = Seen()

numpy.random.seed(1), random.seed(1)
request = client.command_line(0o22)
for _ in range(2):
    if not (pid := os.fork()):
        child._become(request, [os.dup(0), os.dup(1), os.dup(2), os.open(".", os.O_RDONLY)], Loaded)
        print(random.random(), numpy.random.random(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_each_fork_draws_its_own(house, server):
    """Ids of requests, and what Python's and numpy's own generators give in two forks of one parent."""
    done = subprocess.run([sys.executable, "-c", DRAWS], capture_output=True, env=house.env, cwd=house.work, timeout=60)
    first, second = (line.split() for line in done.stdout.splitlines())
    assert first[0] != second[0], done
    assert first[1] != second[1], done
    for _ in range(2):
        assert house.run("ask", "-q", "-p", house.profile, "-m", "echo", "hello").returncode == 0
    first, second = house.json("log", "list", "-n", "2")["rows"]
    assert first["id"] != second["id"]


def test_a_router_that_is_promoted_decides_the_next_command(house, server):
    path = house.write("promoted", small="ok", other="ok")
    routers = house.home / "routers"
    shipped = load_router(SHIPPED, routers)
    layer = ArmLayer(np.append(np.zeros(len(shipped.weights.tokens) - 1), 6.0), 100, 0.1, calibrated=True)

    def decided(*, warm=True):
        done = house.run("route", "-p", path, "--seed", "1", "--json", "Prove that 2 is prime", warm=warm)
        assert done.returncode == 0, done.stderr
        return comparable(done.stdout)

    before = decided()
    served = house.served()
    write_version(routers, shipped.with_layers({"other": layer}, "mine"), {})
    assert decided() == before, "made, and not in force"
    assert house.run("router", "promote", "mine").returncode == 0
    after = decided()
    assert house.run("router", "rollback").returncode == 0
    assert decided() == before
    assert house.served() == served + 3
    assert house.run("router", "promote", "mine").returncode == 0
    assert after == decided(warm=False) != before
    assert house.run("router", "rollback").returncode == 0


# ---- a terminal


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
