"""The resident process: loads everything once, then forks for each client, and tells it how its fork ended.

One thread from beginning to end: a fork has only the thread that forks, and what another one held stays held for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from .where import is_private, socket_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrimp.profiles.paths import Paths

    from .seen import Seen

__all__ = ["IDLE_S", "REFUSED", "REPLACE", "Loaded", "main", "note_file"]

IDLE_S: Final = 15 * 60.0
"""How long a resident waits for its next client before it leaves."""

REPLACE: Final = 3
"""What a fork exits with when its parent is out of date."""

REFUSED: Final = 4
"""What a fork exits with that has run no command."""

_BACKLOG: Final = 512
_LIBRARIES: Final = ("litellm", "openai", "httpx", "httpcore", "pydantic", "rich", "typer", "encodings", "jsonschema")
"""Whose modules the parent imports when a fork had to: they keep no threads, and what they read is written down."""

_ENGINE: Final = "xllamacpp"
"""Never imported in the parent: it may start threads, or take hold of a graphics card. Its weights' hash is kept."""

_COMMANDS: Final = (
    "main", "app", "ask", "asking", "route", "redo", "rate", "log", "spend", "report", "models", "prices", "abilities",
    "budget", "caps", "profile", "resident.child",
)  # fmt: skip
"""Modules of the commands that are taken (`client.takes`)."""


class CannotStartError(Exception):
    """There can be no resident process here; the message says why."""


class Loaded:
    """What forks inherit, besides what is in memory.

    Attributes
    ----------
    paths, seen
        The home, and what loading has asked of the environment.
    began
        When it was ready, in seconds of the monotonic clock.
    n_served
        Commands so far.
    lessons
        Where the parent hears from its forks.
    """

    def __init__(self, paths: Paths, seen: Seen) -> None:
        self.paths = paths
        self.seen = seen
        self.began = time.monotonic()
        self.n_served = 0
        self.lessons, self._tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.lessons.setblocking(False)
        self._tell.setblocking(False)
        self._code = code_stamp()

    def learn(self, modules: set[str]) -> None:
        """In a fork: tell the parent what had still to be imported, of libraries that it has in part."""
        known = {"scrimp", _ENGINE, *(name for name in _LIBRARIES if name in sys.modules)}
        names = [name for name in sorted(modules) if name.partition(".")[0] in known]
        if names:
            with contextlib.suppress(OSError):
                self._tell.send("\n".join(names).encode())

    def hear(self) -> None:
        """In the parent: import what a fork had to, for the next ones.

        Raises
        ------
        CannotStartError
            If that has left a thread behind.
        """
        with contextlib.suppress(BlockingIOError):
            names = self.lessons.recv(1 << 16).decode().split("\n")
            with self.seen.watching(), contextlib.suppress(Exception):
                if _ENGINE in names:
                    from scrimp.routing.asking import stock

                    stock.local_weights()
                for name in names:
                    if name not in sys.modules and name.partition(".")[0] != _ENGINE:
                        importlib.import_module(name)
            _set_aside()
            self._code |= {file: stamp for file, stamp in code_stamp().items() if file not in self._code}

    def out_of_date(self) -> bool:
        """Tell whether any of our code, or what is installed beside it, has changed on disk."""
        return self._code != code_stamp(self._code)


def code_stamp(known: dict[str, tuple[int, int, int]] | None = None) -> dict[str, tuple[int, int, int]]:
    """Return what changes when code does: our files that are loaded, and the folders that packages are installed in.

    A package that is installed, removed or replaced makes or removes a folder of its own beside the others.
    """
    if known is None:
        ours = [getattr(each, "__file__", None) for name, each in [*sys.modules.items()] if name.startswith("scrimp.")]
        files = [*filter(None, ours), *(entry for entry in sys.path if os.path.isdir(entry)), sys.executable]  # noqa: PTH112
    else:
        files = [*known]
    stamp = {}
    for file in files:
        try:
            found = os.stat(file)  # noqa: PTH116 - some 200 of them in each fork
        except OSError:
            stamp[file] = (0, 0, 0)
        else:
            stamp[file] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return stamp


def note_file(path: str) -> Path:
    """Return where it is written why there is no resident, for the socket of a path."""
    return Path(f"{path}.note")


def main() -> NoReturn:
    """Be the resident process of this environment's home and user, if there is none; `argv[1]` names its embedder."""
    path = socket_path()
    if path is None:
        sys.exit("no home folder of this user's own")
    os.umask(0o077)
    try:
        with _only_one(path) as lock:
            _serve(path, lock, sys.argv[1] if len(sys.argv) > 1 else "builtin")
    except Exception as error:
        with contextlib.suppress(OSError):
            known = isinstance(error, (CannotStartError, OSError))
            note_file(path).write_text(f"{error if known else repr(error)}\n", encoding="utf-8")
        raise
    os._exit(0)  # libraries that take themselves apart take seconds


@contextlib.contextmanager
def _only_one(path: str) -> Iterator[int]:
    """Hold the lock of a socket's path for as long as this process lives; leave where another one holds it."""
    import fcntl

    folder = Path(path).parent
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not is_private(str(folder), os.geteuid()):
        raise CannotStartError(f"{folder} is not a folder of this user's own, closed to others")
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os._exit(0)
    yield lock


def _serve(path: str, lock: int, embedding: str) -> None:
    loaded = _load(path, embedding)
    listener = _listen(path)
    note_file(path).unlink(missing_ok=True)
    loop = _Loop(path, listener, lock, loaded)
    loop.run()


def _load(path: str, embedding: str) -> Loaded:
    """Load what commands need, in one thread, and set it aside from the collector: its pages stay shared."""
    from scrimp.profiles.collector import paused
    from scrimp.profiles.paths import paths
    from scrimp.routing.asking import stock

    from .seen import Seen

    if (kind := stock.network_folder(Path(path).parent)) is not None:
        raise CannotStartError(f"{Path(path).parent} is on a network ({kind}): a socket there is no use to anybody")
    home = paths()
    seen = Seen()
    # What they do beside the main thread they can do in it: results are the same, since matrices are small.
    alone = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    with paused(ours=True), seen.watching():
        before = {name: os.environ.get(name) for name in alone}
        os.environ.update(alone)
        _import_commands()
        stock.lay_in(home, embedding)
        for name, value in before.items():  # read by now, and no part of what commands are given
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    _set_aside()
    return Loaded(home, seen)


def _set_aside() -> None:
    """Keep what is loaded from the collector, so that its pages stay shared.

    Raises
    ------
    CannotStartError
        If loading it has left a thread behind.
    """
    n_threads = _threads()
    if n_threads > 1:
        raise CannotStartError(f"a library keeps {n_threads - 1} threads of its own: it is not safe to fork")
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc's own: what loading has freed goes back to the system
        ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()


def _import_commands() -> None:
    for name in _COMMANDS:
        importlib.import_module(f"scrimp.cli.{name}")


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        import threading

        return threading.active_count()


def _listen(path: str) -> socket.socket:
    """Listen at a path, over what a process that was killed has left there."""
    part = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part)  # noqa: PTH108
    listener.bind(part)
    os.chmod(part, 0o600)  # noqa: PTH101
    listener.listen(_BACKLOG)
    os.rename(part, path)  # noqa: PTH104
    listener.setblocking(False)
    return listener


class _Loop:
    """Accepts, forks and reaps, until nobody came for long, it is told to leave, or it is out of date."""

    def __init__(self, path: str, listener: socket.socket, lock: int, loaded: Loaded) -> None:
        self.path = path
        self.loaded = loaded
        self.listener: socket.socket | None = listener
        self.lock = lock
        self.children: dict[int, socket.socket] = {}
        self.waiting: deque[socket.socket] = deque()
        self.idle_s = float(os.environ.get("SCRIMP_RESIDENT_IDLE_S", IDLE_S))
        self.inode = os.stat(path).st_ino  # noqa: PTH116
        self.leaving = False
        self.wakeup, wake = socket.socketpair()
        self.wake = wake
        for end in (self.wakeup, wake):
            end.setblocking(False)

    def run(self) -> None:
        """Serve; returns once the last fork has ended."""
        signal.set_wakeup_fd(self.wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        poll = select.poll()
        poll.register(self.wakeup, select.POLLIN)
        poll.register(self.loaded.lessons, select.POLLIN)
        poll.register(self.listener.fileno(), select.POLLIN)  # type: ignore[union-attr]  # it listens from the start
        last = time.monotonic()
        while self.listener is not None or self.children or self.waiting:
            ready = {fd for fd, _ in poll.poll(0 if self.waiting else min(self.idle_s, 60.0) * 1000)}
            with contextlib.suppress(BlockingIOError):
                self.wakeup.recv(4096)
            self._reap()
            if self.listener is not None and self.listener.fileno() in ready and not self.leaving:
                self._accept()
            if self.waiting:
                self._fork_for(self.waiting.popleft())
            elif not self.leaving:
                self.loaded.hear()
            if self.children or self.waiting:
                last = time.monotonic()
            idle = time.monotonic() - last >= self.idle_s
            if self.listener is not None and (self.leaving or idle or not self._in_place()):
                poll.unregister(self.listener.fileno())
                poll.unregister(self.loaded.lessons)
                self._stop_listening()

    def _leave(self, *_: object) -> None:
        self.leaving = True

    def _in_place(self) -> bool:
        """Tell whether the socket still stands at its path: nobody comes by another."""
        try:
            return os.stat(self.path).st_ino == self.inode  # noqa: PTH116
        except OSError:
            return False

    def _stop_listening(self) -> None:
        """Make room for a successor. Whoever was not accepted yet is cut off, and runs without us."""
        if self._in_place():
            os.unlink(self.path)  # noqa: PTH108
        assert self.listener is not None  # noqa: S101 - asked before
        self.listener.close()
        self.listener = None
        os.close(self.lock)

    def _accept(self) -> None:
        """Accept all who have come, and tell them that they are served in turn."""
        assert self.listener is not None  # noqa: S101 - asked before
        with contextlib.suppress(OSError):  # no more, or no descriptors left
            while True:
                connected, _ = self.listener.accept()
                self.waiting.append(connected)
                with contextlib.suppress(OSError):
                    connected.send(b"coming\n")

    def _fork_for(self, connected: socket.socket) -> None:
        from scrimp.routing.asking import stock

        stock.fresh(self.loaded.paths)
        try:
            pid = os.fork()
        except OSError:  # no memory, no processes left: the client runs it itself
            connected.close()
            return
        if pid:
            self.children[pid] = connected
            return
        from .child import be

        for each in (*self.children.values(), *self.waiting, self.wakeup, self.wake):
            each.close()
        if self.listener is not None:
            self.listener.close()
            os.close(self.lock)
        be(connected, self.loaded)

    def _reap(self) -> None:
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connected = self.children.pop(pid, None)
            if connected is None:
                continue
            self.loaded.n_served += os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
            if os.WIFSIGNALED(status):
                with contextlib.suppress(OSError):
                    connected.send(b"killed %d\n" % os.WTERMSIG(status), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            elif os.WEXITSTATUS(status) == REPLACE:
                self.leaving = True
            connected.close()
