"""Types what a page says: scrimp's command lines in this process, all else in a shell."""

import contextlib
import io
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from console_blocks import WIDTH

ROOT = Path(__file__).parents[1]

_PLAIN = re.compile(r"[^|&;<>()$`*?~]*")
"""A line that needs no shell, quoted parts left out."""


class Terminal(io.TextIOWrapper):
    """A file that says it is a terminal: tables are drawn, and what goes to both streams stays in its order."""

    def isatty(self):
        return True


class Typist:
    """Somebody at a terminal of 80 columns, in a fresh clone, with no keys.

    Homes are in a folder whose name is always as long: a line that names a file breaks where it did.
    """

    def __init__(self):
        self.n = 0
        self.servers = []
        self.ports = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="home", dir="/tmp")))
        kept = dict(os.environ)
        self._stack.callback(lambda: (os.environ.clear(), os.environ.update(kept), time.tzset()))
        self._stack.callback(os.chdir, Path.cwd())
        for name in list(os.environ):
            if name.startswith(("SCRIMP_", "LC_")) or name.endswith("_API_KEY"):
                del os.environ[name]
        os.environ |= {
            "COLUMNS": str(WIDTH), "LINES": "24", "TERM": "dumb", "TZ": "UTC", "LANG": "C.UTF-8", "NO_COLOR": "1",
            "SCRIMP_RESIDENT": "0", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        time.tzset()
        self._stack.callback(self._end_servers)
        self.move()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def move(self):
        """Go to another home, and to a fresh clone."""
        self._end_servers()
        self.ports.clear()
        self.n += 1
        home = self.folder / str(self.n)
        self.clone = home / "scrimp"
        (self.clone / "docs").mkdir(parents=True)
        shutil.copytree(ROOT / "docs" / "examples", self.clone / "docs" / "examples")
        for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / each for each in ("tests", "bench", "LICENSE"))):
            (self.clone / path.relative_to(ROOT)).symlink_to(path)
        os.environ |= {"HOME": str(home), "SCRIMP_HOME": str(home / ".scrimp")}
        os.chdir(self.clone)

    def type(self, text):
        """Run a command; return its exit code and the lines that it shows, without blank ones at the end."""
        text = re.sub(r"\\\n\s*", "", text)
        if text.endswith("&"):
            return 0, self._start(text.removesuffix("&").strip())
        for page, real in self.ports.items():
            text = text.replace(page, real)
        words = shlex.split(text, comments=True)
        unquoted = re.sub(r"'[^']*'|\"[^\"$`]*\"", "", text.partition(" #")[0])
        if words[:1] == ["scrimp"] and _PLAIN.fullmatch(unquoted):
            code, shown = self._scrimp(words[1:])
        else:
            done = subprocess.run(
                ["bash", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=120, text=True,
            )  # fmt: skip
            code, shown = done.returncode, done.stdout
        return code, self._as_shown(shown)

    def _as_shown(self, text):
        for page, real in self.ports.items():
            text = text.replace(real, page)
        text = text.replace(str(self.clone) + "/", "").replace(str(self.clone.parent), "~")
        return [_left_of(line) for line in text.rstrip("\n").split("\n")] if text.strip() else []

    def _scrimp(self, argv):
        from scrimp.cli import session
        from scrimp.cli.app import run

        session.keys.cache_clear()
        # What explores draws anew each time, and once in fifty takes another arm; here it draws as most do.
        steady = mock.patch.object(session, "make_rng", lambda seed: random.Random(0 if seed is None else seed))
        kept = sys.stdin, sys.stdout, sys.stderr
        with steady, Path(os.devnull).open() as nothing, (self.folder / "shown").open("w+b", buffering=0) as file:
            shown = Terminal(file, encoding="utf-8", write_through=True)
            sys.stdin, sys.stdout, sys.stderr = nothing, shown, shown
            try:
                code = run(argv)
            finally:
                sys.stdin, sys.stdout, sys.stderr = kept
            shown.flush()
            file.seek(0)
            text = file.read().decode()
            shown.detach()
        return code, text

    def _start(self, text):
        """Start a server on a free port in place of the one that is named; return what it says first."""
        port = re.search(r"--port (\d+)", text)[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.ports[port] = str(free.getsockname()[1])
        for path in (self.clone / "docs" / "examples").glob("*.toml"):
            path.write_text(path.read_text().replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[port]}"))
        argv = shlex.split(text.replace(port, self.ports[port]))
        self.servers.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL))
        return self._as_shown(self.servers[-1].stdout.readline())

    def _end_servers(self):
        for server in self.servers:
            server.terminate()
            server.wait(30)
            server.stdout.close()
        self.servers.clear()


def _left_of(line):
    """Return what a terminal shows of a line that was written over, without its trailing blanks."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line.removesuffix("\r"))
    shown = ""
    for part in line.split("\r"):
        kept, erased, rest = part.partition("\x1b[K")
        shown = kept + rest if erased else kept + shown[len(kept) :]
    return shown.rstrip()
