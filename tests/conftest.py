"""What every test stands on: a home of its own, a loopback server, and the command line run in this process."""

import contextlib
import ctypes
import gc
import io
import os
import pty
import signal
import sys
import termios
import textwrap
import threading
import time
import tty
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the workers share the cores, and matrices are small

if sys.platform == "linux":
    # One arena for all threads: with glibc's eight a core, thousands of command lines in one process leave gigabytes of
    # holes in them, 2.6 MB each.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 1)
        ctypes.CDLL(None).mallopt(-3, 1 << 20)  # and what is large goes back to the system when it is freed

import pytest
from hypothesis import HealthCheck, settings
from server import Server
from spared import paying_in_full, spare

# How long an example takes says how busy the machine is, and the same examples are tried every time: a property that
# fails here fails everywhere, and the next time too.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("steady")

_collected = {"at": time.monotonic()}

CANARY = "sk-canary-Zq7Tn5vX2bLw8Kd4"


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def running_server():
    with Server(price_in="1", price_out="4") as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def kept_embedder():
    """Keep one embedder in use, which all that runs in this process shares: loaded a thousand times, it takes gigabytes."""
    from scrimp.routing.asking.stock import embedder

    return embedder("builtin", Path())


@pytest.fixture(scope="session", autouse=True)
def paid_once():
    """Have this process pay once for what all the command lines that it runs need."""
    with pytest.MonkeyPatch.context() as patch:
        spare(patch.setattr)
        yield


@pytest.fixture(scope="module", autouse=True)
def garbage_goes():
    """Have modules leave nothing behind: what is set aside when libraries come would be kept for thousands of tests.

    Every key that was ever read, for instance, which each error is searched for. Not after every module: it takes half a
    second, longer than most of them.
    """
    thresholds = gc.get_threshold()
    yield
    serving = [each.name for each in threading.enumerate() if "serve_forever" in each.name]
    assert not serving, (
        "a server whose socket is closed and whose thread is not ended keeps a processor busy to the end"
    )
    gc.set_threshold(*thresholds)
    if time.monotonic() - _collected["at"] > 15:
        gc.collect()
        gc.freeze()
        _collected["at"] = time.monotonic()


@pytest.fixture(scope="module")
def paid_in_full():
    """Have what is otherwise made once made each time: for the tests of just that."""
    with paying_in_full():
        yield


@pytest.fixture
def server(running_server):
    running_server.reset()
    return running_server


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A fresh SCRIMP_HOME, an empty working directory, and no keys."""
    for name in list(os.environ):
        if name.startswith("SCRIMP_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("SCRIMP_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def unimported():
    """Have modules be imported anew, by the beginnings of their names; what was imported before is back afterwards."""
    before, dropped = {}, set()

    def forget(beginnings):
        for name in [name for name in sys.modules if name.startswith(beginnings)]:
            parent, _, child = name.rpartition(".")
            if hasattr(sys.modules.get(parent), child):
                delattr(sys.modules[parent], child)
            yield name, sys.modules.pop(name)

    def drop(*beginnings):
        before.update(forget(beginnings))
        dropped.update(beginnings)

    yield drop
    dict(forget(tuple(dropped)))  # what was imported meanwhile knows others of the same names
    sys.modules.update(before)
    for name, module in before.items():
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)


@pytest.fixture
def scrimp(home, capfd, monkeypatch):
    """Run a command line in this process: `scrimp("ask", "hello", stdin=...)` returns a `Done`.

    What is `typed` comes from a standard input that is a terminal.
    """
    from scrimp.cli import session
    from scrimp.cli.app import run

    def call(*argv, stdin=None, typed=None):
        session.keys.cache_clear()
        capfd.readouterr()
        if typed is not None:
            master, handle = pty.openpty()
            _say_nothing_back(handle)
            os.write(master, typed.encode() + b"\x04")
        elif stdin is None:
            handle = os.open(os.devnull, os.O_RDONLY)
        else:
            path = home.parent / "stdin"
            path.write_bytes(stdin if isinstance(stdin, bytes) else stdin.encode())
            handle = os.open(path, os.O_RDONLY)
        with os.fdopen(handle, "rb") as raw, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", _Stdin(raw, tty=typed is not None))
            code = run([str(word) for word in argv])
        if typed is not None:
            os.close(master)
        os.environ.pop("SCRIMP_DEBUG", None)  # what `--debug` sets is for the process that ends here
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    return call


def _say_nothing_back(slave):
    """Have a terminal hand on whole lines, and echo none of them."""
    modes = termios.tcgetattr(slave)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, modes)


class _Stdin:
    """Standard input over a file: what the program asks of it, and no more."""

    def __init__(self, raw, *, tty):
        self.buffer = raw
        self.tty = tty

    def fileno(self):
        return self.buffer.fileno()

    def isatty(self):
        return self.tty

    def readline(self):
        return self.buffer.readline().decode()


class Terminal:
    """One end of a pseudo-terminal as a text stream, and what arrived at the other."""

    def __init__(self):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.stream = io.TextIOWrapper(io.FileIO(slave, "w"), encoding="utf-8", write_through=True)
        self.data = bytearray()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.master, 65_536)
            except OSError:
                return
            if not data:
                return
            self.data += data

    def end(self):
        self.stream.close()
        self.reader.join(10)
        os.close(self.master)
        return self.data.decode()


@pytest.fixture
def on_terminal(scrimp, monkeypatch):
    """Run a command line with stdout, stderr or both on a terminal of their own; return its code and both texts."""

    def call(*argv, out=True, err=True, columns=4000, typed=None):
        ends = {name: Terminal() for name, wanted in (("stdout", out), ("stderr", err)) if wanted}
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm-256color")
            patch.setenv("COLUMNS", str(columns))
            for name, end in ends.items():
                patch.setattr(f"sys.{name}", end.stream)
            done = scrimp(*argv, typed=typed)
        got = {name: end.end() for name, end in ends.items()}
        return done.code, got.get("stdout", done.out), got.get("stderr", done.err)

    return call


@pytest.fixture
def profile(home, server, tmp_path):
    """Write a profile over the loopback server: `profile(small="ok", large="echo", caps=...)` returns its path."""

    def write(*, caps="per_day_usd = 1.0", extra="", key_env=None, name="test", **behaviours):
        prices = {"small": (1, 4), "medium": (3, 12), "large": (10, 40)}
        text = f'name = "{name}"\n[caps]\n{caps}\n'
        for arm, behaviour in (behaviours or {"small": "ok"}).items():
            tier = arm if arm in prices else "small"
            price_in, price_out = prices[tier]
            text += textwrap.dedent(f"""
                [[arms]]
                name = "{arm}"
                model = "openai/{behaviour}"
                api_base = "{server.base_url}"
                tier = "{tier}"
                max_output_tokens = 200
                tags = ["json", "vision", "pdf"]
                context_window = 100000
                timeout_s = 5
                price = {{ input_usd_per_mtok = {price_in}, output_usd_per_mtok = {price_out} }}
            """)
            if key_env:
                text += f'key_env = "{key_env}"\n'
        path = tmp_path / f"{name}.toml"
        path.write_text(text + extra)
        return path

    return write


# Started in the background by a shell, which ignores both: what is started here would not see what a terminal sends either.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a scrimp run as a process of its own."""
    # With bytecode that is kept: compiled anew, LiteLLM alone takes a process ten seconds.
    left_out = ("SCRIMP_", "OPENAI", "ANTHROPIC", "PYTHONDONTWRITEBYTECODE")
    # Nor what libraries have set in this process since: nobody starts a command with that, and a resident would not do.
    left_out += ("LITELLM_", "ORT_", "TOKENIZERS_", "KMP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "SCRIMP_HOME": str(home), **extra}
