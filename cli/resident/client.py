"""The thin end: have the resident process run a command line, and be to the shell what runs it.

Imported before anything else of ours, on every command that the resident takes: the standard library alone.
docs/decisions/0020 has the protocol.
"""

from __future__ import annotations

import array
import marshal
import os
import signal
import socket
import sys

from .where import is_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

__all__ = ["GO", "LIMITS", "PATIENCE_S", "Connection", "command_line", "connect", "identity", "run_there"]

PATIENCE_S = 2.0
"""How long the resident may take to say that it is there, before the command is run without it."""

BUSY_S = 30.0
"""How long it may then take to fork: when many come at once, each waits for its turn, and all are done sooner."""

GO = b"go\n"
"""What the client says once it will not run the command itself any more."""

LOST, NOT_HERE = 130, None

LIMITS = ("CORE", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK", "AS", "MEMLOCK", "RSS")
"""Resource limits that are carried over, by the end of their names."""

_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")

left = False
"""Whether a resident was found that is of no use to any command: it was killed, hangs, or is out of date."""


def run_there(path: str, umask: int) -> int | None:
    """Have the resident run this process's command line; return its exit code.

    None where it cannot: no resident, another version, another environment. Then nothing has been done or read.
    """
    global left  # noqa: PLW0603  # asked for once the command is done
    if _in_background():
        return NOT_HERE
    try:
        connection = connect(path)
    except OSError:  # it was killed, or is ending
        left = True
        return NOT_HERE
    folder = -1
    try:
        folder = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        connection.ask(command_line(umask), (0, 1, 2, folder))
        word, *rest = connection.hear()
    except (OSError, ValueError):  # it was killed, or hangs: it has not been told to go, and never will be
        left = True
        connection.close()
        return NOT_HERE
    finally:
        if folder >= 0:
            os.close(folder)
    if word != "ready":
        left = rest[:1] == ["old"]
        connection.close()
        return NOT_HERE
    return _stand_by(connection, int(rest[0]))


def connect(path: str) -> Connection:
    """Connect to the resident, and have it say that it is there.

    Nothing is sent before: what lies unread in the connection of a process that hangs (a pipe's end, say) would stay
    open for as long as it hangs.

    Raises
    ------
    OSError
        If none listens there, it is not this user's own, or it says nothing.
    """
    uid = os.geteuid()
    if not is_private(os.path.dirname(path), uid):  # noqa: PTH120
        raise PermissionError(path)
    connection = Connection(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        connection.socket.settimeout(_patience())
        connection.socket.connect(path)
        ours = connection.peer()[1] == uid
        there = ours and connection.hear() == ["coming"]
        connection.socket.settimeout(BUSY_S)
    except BaseException:
        connection.close()
        raise
    if not there:
        connection.close()
        raise (ConnectionError if ours else PermissionError)(path)
    return connection


def _patience() -> float:
    try:  # asked for here and not on import, which the resident does too: each has its own
        return float(os.environ["SCRIMP_RESIDENT_PATIENCE_S"])
    except (KeyError, ValueError):
        return PATIENCE_S


class Connection:
    """A connection between a client and the resident: one request, then lines of words."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._rest = b""

    def ask(self, request: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send a request, and descriptors with it."""
        body = marshal.dumps(request)
        data = b"scrimp %08x %08x\n" % (sys.hexversion, len(body)) + body
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([data], beside)
        self.socket.sendall(data[sent:])

    def hear(self) -> list[str]:
        """Return the words of the next line; `["gone"]` where the other end is gone.

        Raises
        ------
        OSError
            If it takes longer than the socket's patience.
        """
        while b"\n" not in self._rest:
            try:
                part = self.socket.recv(4096)
            except ConnectionResetError:
                part = b""
            if not part:
                return ["gone"]
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace").split(" ") or [""]

    def peer(self) -> tuple[int, int]:
        """Return the process and the user at the other end, as the system tells them; a process of 0 is not known."""
        if hasattr(socket, "SO_PEERCRED"):
            found = array.array("i")
            found.frombytes(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * found.itemsize))
            return found[0], found[1]
        # struct xucred of macOS and the BSDs: a version, then the user.
        words = array.array("I")
        words.frombytes(self.socket.getsockopt(0, 1, 76))
        return 0, words[1]

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def command_line(umask: int) -> dict[str, Any]:
    """Return what the resident has to know of this process to run its command line in its place."""
    import resource

    streams = (sys.stdin, sys.stdout, sys.stderr)
    return {
        "kind": "run",
        "who": identity(),
        "argv": [os.fsencode(word) for word in sys.argv[1:]],
        "env": dict(os.environb),
        "umask": umask,
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [
            (name, *resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
            for name in LIMITS
            if hasattr(resource, f"RLIMIT_{name}")
        ],
        "ignored": [each for each in _signals() if signal.getsignal(each) is signal.SIG_IGN],
        "blocked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "streams": [
            (each.encoding, each.errors, each.line_buffering, getattr(each, "write_through", False)) for each in streams
        ],
    }


def identity() -> tuple[str, ...]:
    """Return what has to be the same of two processes for one to run a command of the other's."""
    return (
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))),  # noqa: PTH100, PTH120
        sys.prefix,
        sys.version,
        str(tuple(sys.flags)),
        str(sys.warnoptions),
        sys.getfilesystemencoding(),
    )


def _signals() -> list[int]:
    return [int(getattr(signal, name)) for name in (*_FORWARDED, "SIGQUIT", "SIGTSTP", "SIGUSR1", "SIGUSR2")]


def _in_background() -> bool:
    """Tell whether a terminal's input is another process group's.

    Reading it would stop this process, but not a fork of another session: that would take the input away.
    """
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # no terminal, or not the one that controls this process
        return False


def _stand_by(connection: Connection, child: int) -> int | None:
    """Let the child begin, and pass on to it what signals come; return its exit code, or end by what ended it."""
    signals = _pass_on(child)
    try:
        connection.socket.settimeout(None)
        try:
            connection.socket.sendall(GO)
        except OSError:
            return NOT_HERE  # it is gone, and has not begun
        word, *rest = connection.hear()
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    if word == "exit":
        return int(rest[0])
    if word == "killed":
        number = int(rest[0])
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + number
    sys.stderr.write(
        "scrimp: the process that ran this command was lost: if a call was under way, it counts as spent "
        "(scrimp spend --open)\n"
    )
    return LOST


def _pass_on(child: int) -> dict[int, Any]:
    """Have signals passed on to the child; return the handlers there were."""

    def forward(number: int, _frame: FrameType | None) -> None:
        _kill(child, number)

    def stop(number: int, _frame: FrameType | None) -> None:
        # The child's group is nobody's job: it would not stop by the terminal's own signal.
        _kill(child, signal.SIGSTOP)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, stop)
        _kill(child, signal.SIGCONT)

    before: dict[int, Any] = {}
    for name in (*_FORWARDED, "SIGTSTP"):
        number = getattr(signal, name)
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, stop if name == "SIGTSTP" else forward)
    return before


def _kill(child: int, number: int) -> None:
    try:
        os.killpg(child, number)
    except OSError:  # it has ended
        return
