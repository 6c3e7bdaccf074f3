"""A home with a resident process of its own, a terminal, and what is asked of processes by the system."""

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from conftest import environment

from scrimp.cli.resident.client import connect
from scrimp.cli.resident.starting import Status

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
        # Nobody waits here, and the machine may stand still for longer than a user would.
        self.env["SCRIMP_RESIDENT_PATIENCE_S"] = "60"
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
        if (found := self.status()) is not None:
            return found.pid
        done = self.run("resident", "start", "--json", "-p", self.profile)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["pid"]

    def status(self):
        """What the resident says, asked by this process: a command line for it would take longer than most tests."""
        for path in self.runtime.glob("scrimp/*.sock"):
            with contextlib.suppress(OSError):
                connection = connect(str(path))
                try:
                    connection.ask({"kind": "status"})
                    return Status(connection.hear()[1:])
                finally:
                    connection.close()
        return None

    def served(self):
        """How many commands it has run, once it runs none."""
        pid = self.there().pid
        wait_for(lambda: not forks_of(pid))
        return self.there().n_served

    def there(self):
        """What the resident says, which must be there, however long it takes to answer."""
        deadline = time.monotonic() + 60
        while (found := self.status()) is None:
            left = [path.read_text() for path in self.runtime.glob("scrimp/*.note")]
            assert time.monotonic() < deadline, f"no resident answers: {left}"
            time.sleep(0.02)
        return found

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or b"Z" in stat_of(pid))

    def end(self):
        self.run("resident", "stop")
        shutil.rmtree(self.runtime)


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
